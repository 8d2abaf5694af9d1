"""Which thing a tag names: a GTIN and a serial number, as a GS1 Digital Link. No I/O."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from tallystick_provisioning.errors import ItemError

MAX_SERIAL_CHARACTERS = 20  # GS1 AI 21
MAX_HOST_CHARACTERS = 64  # a longer one leaves an NTAG213 no room for the rest
GTIN_DIGITS = 14
GTIN_LENGTHS = (8, 12, 13, 14)

# GS1 General Specifications, figure 7.11-1: what AI 21 may hold.
_SERIAL = re.compile(r"""[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]+""")
_HOST = re.compile(r"(?=.*[a-z0-9])[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?")


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One thing. Made by `item()`, which checks."""

    gtin: str  # 14 digits
    serial: str

    @property
    def path(self) -> str:
        """The path of its Digital Link: /01/<GTIN-14>/21/<serial>."""
        return f"/01/{self.gtin}/21/{quote(self.serial, safe='')}"

    def url(self, host: str) -> str:
        """Its Digital Link at a resolver."""
        return f"https://{host}{self.path}"

    @property
    def element_string(self) -> str:
        """As a person reads it under a barcode: (01)09506000134352(21)AB-1."""
        return f"(01){self.gtin}(21){self.serial}"


def item(gtin: str, serial: str) -> Item:
    """A checked item; ItemError names the field."""
    return Item(check_gtin(gtin), check_serial(serial))


def check_digit(digits: str) -> int:
    """The last digit of a GTIN, from the digits before it."""
    weighted = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return -weighted % 10


def check_gtin(text: str) -> str:
    """A GTIN of 8, 12, 13 or 14 digits as 14 digits."""
    if not text:
        raise ItemError("GTIN", "is empty")
    if not (text.isascii() and text.isdigit()):
        raise ItemError("GTIN", f"{text[:40]!r} has characters that are no digits")
    if len(text) not in GTIN_LENGTHS:
        raise ItemError("GTIN", f"{len(text)} digits; a GTIN has 8, 12, 13 or 14")
    right = check_digit(text[:-1])
    if int(text[-1]) != right:
        raise ItemError("GTIN", f"check digit should be {right}")
    return text.zfill(GTIN_DIGITS)


def check_serial(text: str) -> str:
    """A serial of 1 to 20 characters of GS1's set."""
    if not text:
        raise ItemError("serial", "is empty")
    if len(text) > MAX_SERIAL_CHARACTERS:
        raise ItemError("serial", f"{len(text)} characters; GS1 allows {MAX_SERIAL_CHARACTERS}")
    if not _SERIAL.fullmatch(text):
        wrong = next(character for character in text if not _SERIAL.fullmatch(character))
        raise ItemError("serial", f"{wrong!r} may not stand in a serial number")
    if text in (".", ".."):  # a browser takes them out of a path, whatever the encoding: the link names another thing
        raise ItemError("serial", f"{text!r} cannot stand in a link")
    return text


def check_host(text: str) -> str:
    """The host of an item's links, like item.example."""
    if len(text) > MAX_HOST_CHARACTERS or ".." in text or not _HOST.fullmatch(text):
        raise ItemError("host", f"{text[:80]!r} is no host name like item.example, in lower case, without https://")
    return text
