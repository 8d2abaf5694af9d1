"""The EEPROM of NTAG213, NTAG215 and NTAG216: pages, one-time bits, lock bits (data sheet NTAG213/215/216, 8.5).

Only what a tag keeps without power is here, and the rules for writing to it; who may read or write is ntag21x's.
"""

from dataclasses import dataclass

from tallystick_emulators.errors import BadEeprom

PAGE = 4  # bytes
UID_BYTES = 7
LOCK_PAGE = 2
CC_PAGE = 3
FIRST_USER_PAGE = 4
COUNTER_MAX = 0xFFFFFF
MAGIC = b"NTAG21x\x01"


@dataclass(frozen=True)
class Model:
    """Where things lie. Lock bit n of the dynamic lock bytes covers `pages_per_lock_bit` pages from page 16 on."""

    name: str
    version: bytes
    dynamic_lock_page: int
    capacity: int  # CC byte 2, in units of 8 bytes
    first_pages: bytes  # pages 4 and 5 at delivery
    pages_per_lock_bit: int

    @property
    def cfg0(self) -> int:
        return self.dynamic_lock_page + 1

    @property
    def pages(self) -> int:
        return self.dynamic_lock_page + 5

    @property
    def lock_bits(self) -> int:
        """How many of the 16 dynamic lock bits exist."""
        return -(-(self.dynamic_lock_page - 16) // self.pages_per_lock_bit)


def _model(name: str, size: int, dynamic: int, capacity: int, first: str, pages_per_lock_bit: int) -> Model:
    version = bytes([0x00, 0x04, 0x04, 0x02, 0x01, 0x00, size, 0x03])
    return Model(name, version, dynamic, capacity, bytes.fromhex(first), pages_per_lock_bit)


MODELS = {
    one.name: one
    for one in (
        _model("NTAG213", 0x0F, 0x28, 0x12, "0103A00C340300FE", 2),
        _model("NTAG215", 0x11, 0x82, 0x3E, "0300FE0000000000", 16),
        _model("NTAG216", 0x13, 0xE2, 0x6D, "0300FE0000000000", 16),
    )
}


class Memory:
    """All pages, the read counter and the counter of wrong passwords."""

    def __init__(self, model: Model, uid: bytes) -> None:
        self.model = model
        self.counter = 0
        self.wrong_passwords = 0
        self.data = bytearray(model.pages * PAGE)
        check0, check1 = 0x88 ^ uid[0] ^ uid[1] ^ uid[2], uid[3] ^ uid[4] ^ uid[5] ^ uid[6]
        self.data[:16] = bytes([*uid[:3], check0, *uid[3:], check1, 0x48, 0, 0, 0xE1, 0x10, model.capacity, 0x00])
        self.data[16:24] = model.first_pages
        delivered = "000000BD" + "040000FF" + "00050000" + "FFFFFFFF" + "00000000"
        self.data[model.dynamic_lock_page * PAGE :] = bytes.fromhex(delivered)

    @property
    def uid(self) -> bytes:
        return bytes(self.data[:3] + self.data[4:8])

    def page(self, number: int) -> bytes:
        return bytes(self.data[number * PAGE : number * PAGE + PAGE])

    def write(self, page: int, new: bytes, config_locked: bool) -> bool:
        """Write as the chip does; False when it refuses. Lock and CC bits can only be set."""
        model = self.model
        if page < LOCK_PAGE or page >= model.pages:
            return False
        if page == LOCK_PAGE:
            self._set_static_locks(new[2], new[3])
        elif page == CC_PAGE:
            if self._is_static_locked(CC_PAGE):
                return False
            self._put(page, bytes(old | one for old, one in zip(self.page(page), new, strict=True)))
        elif page == model.dynamic_lock_page:
            self._set_dynamic_locks(new)
        elif page in (model.cfg0, model.cfg0 + 1):
            if config_locked:
                return False
            self._put(page, new)
        elif page > model.cfg0:
            self._put(page, new)
        elif self.is_locked(page):
            return False
        else:
            self._put(page, new)
        return True

    def tear(self, page: int, new: bytes) -> None:
        """Power went while `new` was written: erased, not yet programmed. Lock and CC pages are protected (10.4)."""
        if FIRST_USER_PAGE <= page < self.model.pages and page != self.model.dynamic_lock_page:
            self._put(page, bytes(2) + new[2:])

    def is_locked(self, page: int) -> bool:
        """Whether a lock bit covers this page of user memory or CC."""
        if page < 16:
            return self._is_static_locked(page)
        bit = (page - 16) // self.model.pages_per_lock_bit
        return bool(self._dynamic_bits() >> bit & 1)

    def _put(self, page: int, data: bytes) -> None:
        self.data[page * PAGE : page * PAGE + PAGE] = data

    def _is_static_locked(self, page: int) -> bool:
        return bool(int.from_bytes(self.data[10:12], "little") >> page & 1)

    def _set_static_locks(self, low: int, high: int) -> None:
        """Bits 0..2 freeze the lock bits of CC, pages 4 to 9, pages 10 to 15; what they freeze counts from before."""
        old = int.from_bytes(self.data[10:12], "little")
        frozen = sum(mask for bit, mask in ((0, 0x0008), (1, 0x03F0), (2, 0xFC00)) if old >> bit & 1)
        self.data[10:12] = (old | (low | high << 8) & ~frozen).to_bytes(2, "little")

    def _dynamic_bits(self) -> int:
        at = self.model.dynamic_lock_page * PAGE
        return int.from_bytes(self.data[at : at + 2], "little")

    def _set_dynamic_locks(self, new: bytes) -> None:
        """Byte 2 freezes the lock bits in pairs; bits that do not exist stay 0, byte 3 stays BDh."""
        at, count = self.model.dynamic_lock_page * PAGE, self.model.lock_bits
        old, freezing = self._dynamic_bits(), self.data[at + 2]
        frozen = sum(0b11 << 2 * bit for bit in range(8) if freezing >> bit & 1)
        bits = old | int.from_bytes(new[:2], "little") & ((1 << count) - 1) & ~frozen
        freezing |= new[2] & ((1 << -(-count // 2)) - 1)
        self.data[at : at + 3] = bits.to_bytes(2, "little") + bytes([freezing])

    def to_bytes(self) -> bytes:
        counters = self.counter.to_bytes(3) + self.wrong_passwords.to_bytes(1)
        return MAGIC + self.model.name.encode() + counters + bytes(self.data)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Memory":
        """The memory that was saved; BadEeprom for anything else."""
        model = MODELS.get(data[8:15].decode("ascii", "replace"))
        if not data.startswith(MAGIC) or model is None or len(data) != 19 + model.pages * PAGE:
            raise BadEeprom("not the EEPROM of an emulated NTAG213, NTAG215 or NTAG216")
        memory = cls(model, bytes(UID_BYTES))
        memory.counter, memory.wrong_passwords = int.from_bytes(data[15:18]), data[18]
        memory.data[:] = data[19:]
        return memory
