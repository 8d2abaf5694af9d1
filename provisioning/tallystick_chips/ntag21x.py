"""The reader's side of an NTAG213, NTAG215 or NTAG216: pages, password, mirror, locks. One activation, one object.

After a NAK the chip falls back to its idle state and needs a fresh activation.
"""

from dataclasses import dataclass

from tallystick_chips.tag_order import Chip
from tallystick_provisioning import nfc
from tallystick_provisioning.errors import TagAnswerError, TagStatusError

PAGE_BYTES = 4
READ_PAGES = 4  # one READ
LOCK_PAGE, CONTAINER_PAGE, FIRST_PAGE = 2, 3, 4
FACTORY_PASSWORD, FACTORY_PACK = b"\xff" * 4, b"\0\0"
FACTORY_CONFIG = bytes.fromhex("040000FF")
FACTORY_ACCESS = bytes.fromhex("00050000")
PASSWORD_BYTES, PACK_BYTES, SIGNATURE_BYTES = 4, 2, 32
READ_ONLY = 0x0F  # CC byte 3: phones do not write here
_ACK = 0x0A
_MIRROR_BOTH = 0xC4  # UID and counter; strong modulation as from the factory
_COUNTER_ON, _CONFIG_LOCKED = 0x10, 0x40
_OPEN = 0xFF  # AUTH0: no page is protected


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie on one kind of tag (NTAG213/215/216 data sheet, 8.5)."""

    chip: Chip
    size_code: int  # of GET_VERSION
    capacity: int  # of the capability container
    dynamic_locks: int  # page
    lock_bytes: bytes  # all dynamic lock bits, and the bits that block them
    head: bytes  # what the factory put in front of the NDEF TLV
    first_pages: bytes  # as from the factory

    @property
    def config(self) -> int:
        """The page with mirror and AUTH0; behind it access, password, PACK."""
        return self.dynamic_locks + 1

    @property
    def data_bytes(self) -> int:
        """The user memory."""
        return (self.dynamic_locks - FIRST_PAGE) * PAGE_BYTES

    @property
    def container(self) -> bytes:
        """The capability container as from the factory."""
        return bytes([0xE1, 0x10, self.capacity, 0x00])


_LOCK_CONTROL = bytes.fromhex("0103A00C34")
LAYOUTS: dict[Chip, Layout] = {
    "ntag213": Layout(
        "ntag213", 0x0F, 0x12, 40, bytes.fromhex("FF0F3F"), _LOCK_CONTROL, bytes.fromhex("0103A00C340300FE")
    ),
    "ntag215": Layout("ntag215", 0x11, 0x3E, 130, bytes.fromhex("FF000F"), b"", bytes.fromhex("0300FE0000000000")),
    "ntag216": Layout("ntag216", 0x13, 0x6D, 226, bytes.fromhex("FF3F7F"), b"", bytes.fromhex("0300FE0000000000")),
}


def layout_of(version: bytes) -> Layout | None:
    """The layout behind an answer to GET_VERSION; None when it is none of the three."""
    for layout in LAYOUTS.values():
        if version == bytes([0x00, 0x04, 0x04, 0x02, 0x01, 0x00, layout.size_code, 0x03]):
            return layout
    return None


class Ntag21x:
    """Commands to one activated tag."""

    def __init__(self, tag: nfc.Tag) -> None:
        self._tag = tag

    def version(self) -> bytes:
        """The eight bytes of GET_VERSION."""
        return self._ask(b"\x60", 8)

    def signature(self) -> bytes:
        """The maker's signature over the UID."""
        return self._ask(b"\x3c\x00", SIGNATURE_BYTES)

    def read(self, page: int, pages: int = READ_PAGES) -> bytes:
        """`pages` pages from `page` on."""
        data = b""
        for first in range(page, page + pages, READ_PAGES):
            data += self._ask(bytes([0x30, first]), READ_PAGES * PAGE_BYTES)
        return data[: pages * PAGE_BYTES]

    def write(self, page: int, data: bytes) -> None:
        """One page; TagStatusError when it is locked or protected."""
        answer = self._tag.transceive(bytes([0xA2, page]) + data)
        if answer != bytes([_ACK]):
            raise self._refusal(f"WRITE of page {page}", answer)

    def authenticate(self, password: bytes) -> bytes:
        """PWD_AUTH: the two bytes PACK; TagStatusError when the password is wrong."""
        return self._ask(b"\x1b" + password, PACK_BYTES)

    def _ask(self, command: bytes, length: int) -> bytes:
        answer = self._tag.transceive(command)
        if len(answer) != length:
            raise self._refusal(f"command {command[0]:02X}", answer)
        return answer

    def _refusal(self, what: str, answer: bytes) -> TagStatusError | TagAnswerError:
        if len(answer) == 1 and answer[0] & 0xFA == 0:
            return TagStatusError(f"the tag refuses {what} (NAK {answer[0]:X})", answer[0])
        return TagAnswerError(f"the tag answers {what} with {len(answer)} bytes that make no sense")


# --- what is to stand in the pages: pure


def data_pages(layout: Layout, message: bytes) -> list[bytes]:
    """The user memory from page 4 on with this NDEF message in it, as whole pages."""
    length = bytes([len(message)]) if len(message) < 255 else b"\xff" + len(message).to_bytes(2, "big")
    text = layout.head + b"\x03" + length + message
    if len(text) < layout.data_bytes:
        text += b"\xfe"
    text += bytes(-len(text) % PAGE_BYTES)
    return [text[at : at + PAGE_BYTES] for at in range(0, len(text), PAGE_BYTES)]


def message_of(layout: Layout, data: bytes) -> bytes:
    """The NDEF message in the user memory; TagAnswerError when there is none."""
    at = 0
    while at + 2 <= len(data):
        kind, length, head = data[at], data[at + 1], 2
        if kind == 0x00:
            at += 1
            continue
        if length == 0xFF:
            length, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
        value = data[at + head : at + head + length]
        if kind == 0x03 and len(value) == length:
            return value
        if kind != 0x01 and kind != 0x02:
            break
        at += head + length
    raise TagAnswerError(f"the {layout.chip} holds no NDEF message")


def message_start(layout: Layout, message: bytes) -> int:
    """The byte of the tag's memory where this message begins."""
    return FIRST_PAGE * PAGE_BYTES + len(layout.head) + (2 if len(message) < 255 else 4)


def config_page(mirror_byte: int) -> bytes:
    """Mirror UID and counter at this byte of the memory; from the lock bytes on, writing needs the password."""
    return bytes([_MIRROR_BOTH | mirror_byte % PAGE_BYTES << 4, 0, mirror_byte // PAGE_BYTES, LOCK_PAGE])


def access_page(old: bytes, *, locked: bool) -> bytes:
    """Reading free, counter on, wrong passwords uncounted; `locked`: nobody changes these settings any more."""
    return bytes([_COUNTER_ON | (_CONFIG_LOCKED if locked else 0)]) + old[1:]


def is_protected(config: bytes, layout: Layout) -> bool:
    """Whether some page needs a password."""
    return config[3] < layout.config + PAGE_BYTES


def is_config_locked(access: bytes) -> bool:
    """Whether the settings are locked for good."""
    return bool(access[0] & _CONFIG_LOCKED)
