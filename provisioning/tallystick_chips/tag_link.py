"""The link on a tag: NDEF bytes, where a 424 mirrors into them, and what a phone reads out of them. Pure.

`https://host/01/GTIN/21/SERIAL?p=<32 hex>&c=<16 hex>` on a 424, with `&t=CC` before c on a TagTamper;
`...?m=<UID>x<counter>` on an NTAG21x. The URI record is the first and only one: phones act on no other.
"""

import re
from dataclasses import dataclass

from tallystick_chips.errors import OrderError
from tallystick_chips.tag_order import CHIPS, TYPE2_CHIPS, Chip, TagOrder
from tallystick_provisioning import item
from tallystick_provisioning.errors import TagAnswerError
from tallystick_provisioning.item import Item

P_CHARACTERS = 32
C_CHARACTERS = 16
SEAL_CHARACTERS = 2
MIRROR_CHARACTERS = 14 + 1 + 6  # UID, x, counter
# Bytes of the NDEF message that fit. 424: a file of 256 with the length in front. NTAG21x: the data area without what
# the factory put there, the TLV's head and, where there is room for it, its terminator.
ROOM_BYTES: dict[Chip, int] = {"ntag213": 137, "ntag215": 492, "ntag216": 868, "ntag424": 254, "ntag424tt": 254}
MAX_URL_CHARACTERS = 1000  # of a link that is parsed: beyond any tag
_SHORT_RECORD_BYTES = 255
_URI_HTTPS = 4  # NFC Forum URI record: the code for https://
_HTTPS = "https://"
_PARTS = re.compile(
    r"https://(?P<host>[^/?#]+)(?P<path>/01/[0-9]{14}/21/[^/?#]+)\?"
    r"(?:p=(?P<p>[0-9A-Fa-f]*)(?:&t=(?P<t>[A-Za-z0-9]{0,2}))?&c=(?P<c>[0-9A-Fa-f]*)|m=(?P<m>[0-9A-Fa-fx]*))"
)
SEALS = {"C": "closed", "O": "open", "I": "invalid"}


@dataclass(frozen=True, slots=True)
class Link:
    """An NDEF message with places for what the chip mirrors. Offsets count from the first byte of the message."""

    message: bytes
    mirror: int  # p, or m
    seal: int | None = None
    mac_input: int | None = None
    mac: int | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What a phone sees."""

    url: str
    host: str
    path: str
    p: str | None
    c: str | None
    mirror: str | None
    seal: str | None  # both letters: ever, now

    @property
    def mac_input(self) -> bytes:
        """The text between SDMMACInputOffset and c."""
        return f"{self.seal}&c=".encode() if self.seal is not None else b""


def build(order: TagOrder) -> Link:
    """The link of an order; ItemError or OrderError when no such tag can carry it."""
    host = item.check_host(order.host)
    checked = item.item(order.item.gtin, order.item.serial)
    head = checked.url(host).removeprefix(_HTTPS)
    if order.chip in TYPE2_CHIPS:
        return _checked(order.chip, *_assemble([head + "?m=", "0" * MIRROR_CHARACTERS]))
    pieces = [head + "?p=", "0" * P_CHARACTERS]
    if order.chip == "ntag424tt":
        pieces += ["&t=", "0" * SEAL_CHARACTERS]
    return _checked(order.chip, *_assemble([*pieces, "&c=", "0" * C_CHARACTERS]))


def _assemble(pieces: list[str]) -> tuple[bytes, list[int]]:
    """The message, and the offset of each second piece in it: counted in the encoded bytes, prefix and header in."""
    texts = [piece.encode("ascii") for piece in pieces]
    payload = bytes([_URI_HTTPS]) + b"".join(texts)
    short = len(payload) <= _SHORT_RECORD_BYTES
    length = len(payload).to_bytes(1 if short else 4, "big")
    header = bytes([0xD1 if short else 0xC1, 1]) + length + b"U"
    offsets, at = [], len(header) + 1
    for index, text in enumerate(texts):
        if index % 2:
            offsets.append(at)
        at += len(text)
    return header + payload, offsets


def _checked(chip: Chip, message: bytes, offsets: list[int]) -> Link:
    if len(message) > ROOM_BYTES[chip]:
        raise OrderError(
            f"the link needs {len(message)} bytes and an {CHIPS[chip]} holds {ROOM_BYTES[chip]}: "
            "take a shorter host or serial, or a larger tag"
        )
    if chip in TYPE2_CHIPS:
        return Link(message, offsets[0])
    seal, mac = (offsets[1] if len(offsets) == 3 else None), offsets[-1]
    return Link(message, offsets[0], seal, mac if seal is None else seal, mac)


def read_message(message: bytes) -> Read:
    """The link in an NDEF message as a phone takes it; TagAnswerError when there is none of ours."""
    return parse(_uri(message))


def _uri(message: bytes) -> str:
    """The URI of the first record: URI records with prefix https:// are all that we write."""
    short = bool(message) and message[0] == 0xD1
    head = 3 if short else 6
    if len(message) < head + 2 or message[0] not in (0xD1, 0xC1) or message[1] != 1 or message[head] != ord("U"):
        raise TagAnswerError("the tag holds no link of ours: its first record is no URI")
    length = int.from_bytes(message[2:head], "big")
    payload = message[head + 1 : head + 1 + length]
    if len(payload) != length or not payload.isascii() or payload[0] != _URI_HTTPS:
        raise TagAnswerError("the tag holds no link of ours: its URI is damaged or not https")
    return _HTTPS + payload[1:].decode("ascii")


def parse(url: str) -> Read:
    """The parts of one of our links; TagAnswerError for any other."""
    found = _PARTS.fullmatch(url) if len(url) <= MAX_URL_CHARACTERS else None
    if found is None:
        raise TagAnswerError("the tag holds no link of ours")
    return Read(url, found["host"], found["path"], found["p"], found["c"], found["m"], found["t"])


def names(read: Read, host: str, thing: Item) -> bool:
    """Whether the link names this item at this host."""
    return read.host == host and read.path == thing.path
