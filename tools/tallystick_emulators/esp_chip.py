"""Emulated ESP32 chips: what tells them apart on their serial line, and what they start from their flash.

Numbers of registers from Espressif's technical reference manuals; the form of images from ESP-IDF's "App Image Format"
and "Partition Tables".
"""

import functools
import hashlib
import operator
import struct
from dataclasses import dataclass

FLASH_BYTES = 4 * 1024 * 1024
FLASH_ID = 0x1640EF  # as a Winbond chip of this size says it: vendor, type, two to the power of this many bytes
CHECKSUM_SEED = 0xEF
_IMAGE_MAGIC, _TABLE_ADDRESS, _ENTRY_MAGIC = 0xE9, 0x8000, b"\xaa\x50\x00"  # of a program's entry
MICROPYTHON = "micropython"  # how it calls itself in the description of its program
_DESCRIPTION_MAGIC, _NAME_AT = b"\x32\x54\xcd\xab", 48
_MAC = 0x2462ABCAFE01


@dataclass(frozen=True, slots=True)
class Chip:
    """A kind of chip. `offset`: where its ROM looks for a boot loader. `spi`: registers of the flash's controller."""

    name: str
    number: int
    offset: int
    spi: int
    spi_command: int  # offset of the register that holds the command for the flash
    spi_data: int
    address_shift: int  # an address of 24 bits stands at the top of its register, or at the bottom
    tells_its_number: bool  # by GET_SECURITY_INFO; else by a word of its ROM
    registers: dict[int, int]


ESP32 = Chip(
    "ESP32",
    number=0,
    offset=0x1000,
    spi=0x3FF4_2000,
    spi_command=0x24,
    spi_data=0x80,
    address_shift=8,
    tells_its_number=False,
    registers={
        0x4000_1000: 0x00F0_1D83,
        0x3FF5_A004: _MAC & 0xFFFF_FFFF,
        0x3FF5_A008: _MAC >> 32,
        0x3FF5_A00C: 1 << 15,  # these three: revision 3
        0x3FF5_A014: 1 << 20,
        0x3FF6_607C: 1 << 31,
    },
)
ESP32_S3 = Chip(
    "ESP32-S3",
    number=9,
    offset=0,
    spi=0x6000_2000,
    spi_command=0x20,
    spi_data=0x58,
    address_shift=0,
    tells_its_number=True,
    registers={0x6000_7044: _MAC & 0xFFFF_FFFF, 0x6000_7048: _MAC >> 32, 0x6000_7050: 2 << 18},  # revision 0.2
)


def checksum(data: bytes) -> int:
    """Of a block on the line, and of an image's segments."""
    return functools.reduce(operator.xor, data, CHECKSUM_SEED)


def boots(chip: Chip, flash: bytes | bytearray) -> bool:
    """Whether the ROM finds a boot loader, and that one a program, each whole."""
    return _is_whole(chip, flash, chip.offset) and any(_is_whole(chip, flash, at) for at in _programs(flash))


def header(chip: Chip, flash: bytes | bytearray) -> int:
    """What the ROM names when it finds no boot loader."""
    return int.from_bytes(flash[chip.offset : chip.offset + 4], "little")


def project(flash: bytes | bytearray) -> str:
    """How the program describes itself (esp_app_desc_t, in front of its first segment); empty when it does not."""
    for at in _programs(flash):
        told = bytes(flash[at + 32 : at + 32 + 96])
        if told.startswith(_DESCRIPTION_MAGIC):
            return told[_NAME_AT : _NAME_AT + 32].split(b"\0")[0].decode("ascii", "replace")
    return ""


def _programs(flash: bytes | bytearray) -> list[int]:
    """Addresses from the partition table."""
    entries = [flash[at : at + 12] for at in range(_TABLE_ADDRESS, _TABLE_ADDRESS + 0xC00, 32)]
    return [int.from_bytes(entry[4:8], "little") for entry in entries if entry[:3] == _ENTRY_MAGIC]


def _is_whole(chip: Chip, flash: bytes | bytearray, start: int) -> bool:
    """An image for this chip whose checksum and, where it has one, whose hash hold."""
    if flash[start] != _IMAGE_MAGIC or int.from_bytes(flash[start + 12 : start + 14], "little") != chip.number:
        return False
    at, content = start + 24, b""
    for _ in range(flash[start + 1]):
        size = struct.unpack_from("<I", flash, at + 4)[0]
        if at + 8 + size > len(flash):
            return False
        content += flash[at + 8 : at + 8 + size]
        at += 8 + size
    end = at + 16 - (at - start) % 16
    if flash[end - 1] != checksum(content):
        return False
    return not flash[start + 23] or hashlib.sha256(flash[start:end]).digest() == flash[end : end + 32]
