"""What the flash of an ESP32 holds, as its bytes say it. Pure.

A node keeps its key in the folder /tallystick and its program in tallystick_node, so wherever one is or was, this word
stands in the flash: names of files stand there as they are, and so does what is frozen into a program. Whatever has it
is taken for a node. That is careful: an erased key is gone for ever.
"""

import struct
from collections.abc import Callable

from tallystick_fleet import esp_image

MARKER = b"tallystick"
UNNAMED = "a program that does not say its name"
DESCRIPTION_AT = 32  # of a program: behind the headers of its image and first segment
_DESCRIPTION = struct.Struct("<I12s32s32s16s16s")  # esp_app_desc_t of ESP-IDF
_DESCRIPTION_MAGIC = 0xABCD5432

Read = Callable[[int, int], bytes]  # address, size


class NodeSearch:
    """Looks for a node in a flash that is shown to it piece by piece, in order; a piece may be left out when erased."""

    def __init__(self) -> None:
        self.found = False
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        self.found = self.found or MARKER in self._tail + piece
        self._tail = piece[1 - len(MARKER) :]


def program(read: Read) -> str:
    """How the program in the flash calls itself, with version and day: for a person who is asked about it."""
    for address in esp_image.program_addresses(read(esp_image.TABLE_ADDRESS, esp_image.TABLE_BYTES)):
        told = read(address + DESCRIPTION_AT, _DESCRIPTION.size)
        if len(told) < _DESCRIPTION.size:
            continue
        magic, _, version, name, _, day = _DESCRIPTION.unpack(told)
        if magic == _DESCRIPTION_MAGIC and _text(name):
            return " ".join(part for part in (_text(name), _text(version), f"of {_text(day)}") if part)
    return UNNAMED


def _text(field: bytes) -> str:
    """Somebody else's text as it may stand on a screen."""
    text = field.split(b"\0")[0].decode("ascii", "replace")
    return "".join(one if one.isprintable() else "?" for one in text).strip()
