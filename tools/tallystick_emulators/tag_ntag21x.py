"""Emulated NTAG213, NTAG215 and NTAG216, as their data sheet says: a pure state machine, commands in, answers out.

An answer of one byte is a 4-bit ACK or NAK. After a NAK the tag is mute until it is activated anew, as the chip falls
back to its idle state. AUTH0 and PROT take effect with the next activation, as nfcpy's order of writing needs it; users
of some chips saw them take effect at once, so a tag can be told to do that. CFGLCK waits for the next activation.
"""

from tallystick_emulators import tag_signature
from tallystick_emulators.tag_field import Family
from tallystick_emulators.tag_ntag21x_memory import COUNTER_MAX, MODELS, PAGE, UID_BYTES, Memory

ACK = b"\x0a"
NAK_ARGUMENT = b"\x00"  # unknown command, wrong length, page or password, no permission
NAK_TOO_MANY = b"\x04"  # the limit of wrong passwords is reached

ACCESS_PROT, ACCESS_CFGLCK, ACCESS_CNT_EN, ACCESS_CNT_PROT, ACCESS_AUTHLIM = 0x80, 0x40, 0x10, 0x08, 0x07
MIRROR_UID, MIRROR_COUNTER = 0x40, 0x80


class Ntag21x:
    """One tag. `signature` replaces the originality signature that the emulator makes. `protects_at_once`: what is
    written to AUTH0 and PROT counts at once, and not from the next activation on."""

    family: Family = "type2"

    def __init__(
        self, model: str, uid: bytes, signature: bytes | None = None, *, protects_at_once: bool = False
    ) -> None:
        if model not in MODELS or len(uid) != UID_BYTES:
            raise ValueError(f"model: one of {', '.join(MODELS)}; uid: {UID_BYTES} bytes")
        self._memory = Memory(MODELS[model], uid)
        self._signature = signature
        self._protects_at_once = protects_at_once
        self.power_off()

    @property
    def model(self) -> str:
        return self._memory.model.name

    @property
    def uid(self) -> bytes:
        return self._memory.uid

    @property
    def presented_uid(self) -> bytes:
        return self.uid

    def to_bytes(self) -> bytes:
        return self._memory.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, signature: bytes | None = None) -> "Ntag21x":
        """The tag that was saved, without power; BadEeprom for anything else."""
        memory = Memory.from_bytes(data)
        tag = cls(memory.model.name, memory.uid, signature)
        tag._memory = memory
        return tag

    def power_off(self) -> None:
        self._active = self._authenticated = self._counted = self._config_locked = False
        self._awaits_data: int | None = None  # the page of a COMPATIBILITY_WRITE between its two parts
        self._auth0, self._prot = 0xFF, False

    def activate(self) -> None:
        self.power_off()
        self._active = True
        self._protect()
        self._config_locked = bool(self._config()[1][0] & ACCESS_CFGLCK)

    def _protect(self) -> None:
        cfg0, cfg1 = self._config()
        self._auth0, self._prot = cfg0[3], bool(cfg1[0] & ACCESS_PROT)

    def answer(self, command: bytes) -> bytes | None:
        if not self._active:
            return None
        if self._awaits_data is not None:
            page, self._awaits_data = self._awaits_data, None
            answer = self._write(page, command[:PAGE]) if len(command) == 16 else NAK_ARGUMENT
        elif command == b"\x50\x00":  # HALT: never answered
            answer = None
        else:
            answer = self._dispatch(command)
        if answer is None or (len(answer) == 1 and answer != ACK):
            self.power_off()
        return answer

    def answer_torn(self, command: bytes) -> None:
        """WRITE is torn, except where the chip protects: static locks, CC, dynamic locks. All else is as if done."""
        page = command[1] if len(command) == 6 and command[0] == 0xA2 else self._awaits_data
        new = command[2:6] if len(command) == 6 else command[:PAGE]
        before = Memory.from_bytes(self._memory.to_bytes())
        if self.answer(command) == ACK and page is not None and before.data != self._memory.data:
            self._memory = before
            self._memory.tear(page, new)

    def _dispatch(self, command: bytes) -> bytes:
        code, rest = (command[0], command[1:]) if command else (None, b"")
        if code == 0x60 and not rest:
            return self._memory.model.version
        if code == 0x30 and len(rest) == 1:
            return self._read(rest[0])
        if code == 0x3A and len(rest) == 2:
            return self._fast_read(rest[0], rest[1])
        if code == 0xA2 and len(rest) == 5:
            return self._write(rest[0], rest[1:])
        if code == 0xA0 and len(rest) == 1 and self._may_write(rest[0]):
            self._awaits_data = rest[0]
            return ACK
        if command == b"\x39\x02":
            return self._read_counter()
        if code == 0x1B and len(rest) == 4:
            return self._authenticate(rest)
        if command == b"\x3c\x00":
            return self._signature or tag_signature.sign_21x(self.uid)
        return NAK_ARGUMENT

    # --- reading

    def _read(self, page: int) -> bytes:
        """16 bytes; behind the last page that may be read it goes on at page 0."""
        end = self._memory.model.pages
        if self._prot and not self._authenticated:
            end = min(end, self._auth0)
        if page >= end:
            return NAK_ARGUMENT
        shown = self._shown()
        return b"".join(shown[(page + i) % end * PAGE : (page + i) % end * PAGE + PAGE] for i in range(4))

    def _fast_read(self, first: int, last: int) -> bytes:
        hidden = self._prot and not self._authenticated and last >= self._auth0
        if first > last or last >= self._memory.model.pages or hidden:
            return NAK_ARGUMENT
        return self._shown()[first * PAGE : last * PAGE + PAGE]

    def _shown(self) -> bytes:
        """All pages as a reader sees them: counted, mirrored, without password and PACK."""
        memory, model = self._memory, self._memory.model
        cfg0, cfg1 = self._config()
        if cfg1[0] & ACCESS_CNT_EN and not self._counted:
            memory.counter = min(memory.counter + 1, COUNTER_MAX)
            self._counted = True
        shown = bytearray(memory.data)
        shown[(model.cfg0 + 2) * PAGE :] = bytes(2 * PAGE)
        text = self._mirror_text(cfg0[0], bool(cfg1[0] & ACCESS_CNT_EN))
        at = cfg0[2] * PAGE + (cfg0[0] >> 4 & 3)
        if text and cfg0[2] > 3 and at + len(text) <= model.dynamic_lock_page * PAGE:
            shown[at : at + len(text)] = text
        return bytes(shown)

    def _mirror_text(self, mirror: int, counting: bool) -> bytes:
        parts = [self.uid.hex().upper()] if mirror & MIRROR_UID else []
        if mirror & MIRROR_COUNTER and counting:
            parts.append(f"{self._memory.counter:06X}")
        return "x".join(parts).encode()

    def _read_counter(self) -> bytes:
        access = self._config()[1][0]
        hidden = access & ACCESS_CNT_PROT and not self._authenticated
        if not access & ACCESS_CNT_EN or hidden:
            return NAK_ARGUMENT
        return self._memory.counter.to_bytes(3, "little")

    # --- writing

    def _write(self, page: int, new: bytes) -> bytes:
        if not (self._may_write(page) and self._memory.write(page, new, self._config_locked)):
            return NAK_ARGUMENT
        if self._protects_at_once:
            self._protect()
        return ACK

    def _may_write(self, page: int) -> bool:
        return 2 <= page < self._memory.model.pages and (self._authenticated or page < self._auth0)

    # --- password

    def _authenticate(self, password: bytes) -> bytes:
        memory, cfg0 = self._memory, self._memory.model.cfg0
        limit = self._config()[1][0] & ACCESS_AUTHLIM
        if limit and memory.wrong_passwords >= limit:
            return NAK_TOO_MANY
        if password != memory.page(cfg0 + 2):
            memory.wrong_passwords += bool(limit)
            return NAK_ARGUMENT
        memory.wrong_passwords = 0
        self._authenticated = True
        return memory.page(cfg0 + 3)[:2]

    def _config(self) -> tuple[bytes, bytes]:
        cfg0 = self._memory.model.cfg0
        return self._memory.page(cfg0), self._memory.page(cfg0 + 1)
