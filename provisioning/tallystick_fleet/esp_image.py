"""MicroPython for an ESP32 as its download page offers it: boot loader, partition table and program in one file. Pure.

Checked as the chip and its boot loader do at power-on, so that what could not start is never written:
https://docs.espressif.com/projects/esp-idf/en/stable/esp32/api-reference/system/app_image_format.html and
.../api-guides/partition-tables.html. The boot loader starts the file; everything else has its place in the flash.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tallystick_fleet.errors import InterpreterError

MAGIC = 0xE9
MAX_SEGMENTS = 16  # the chip's ROM loads no more
HEADER_BYTES = 24
TABLE_ADDRESS = 0x8000  # of the partition table, in the flash of every ESP32
TABLE_BYTES = 0xC00
ANY_REVISION = 0xFFFF
_TABLE_ENTRIES, _ENTRY, _ENTRY_MAGIC, _APP = 95, struct.Struct("<HBBII16sI"), 0x50AA, 0
_HEADER = struct.Struct("<BBBBI BBBBHBHH4sB")
_SEGMENT = struct.Struct("<II")
_CHECKSUM_SEED = 0xEF
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class EspImage:
    """A whole image. `offset`: where the chip's ROM looks for the first byte of `data`."""

    name: str
    data: bytes
    chip: str
    chip_id: int
    offset: int
    oldest_revision: int  # of the chip, in hundredths: 301 is v3.1
    newest_revision: int  # 0 or ANY_REVISION: it does not say

    def runs_on_revision(self, revision: int) -> bool:
        return self.oldest_revision <= revision <= (self.newest_revision or ANY_REVISION)


def chip_id(name: str, data: bytes) -> int:
    """Which kind of chip the image in `data` is for, as its header says; InterpreterError when it is no ESP image."""
    return int(_header(name, data, 0)[9])


def parse(name: str, data: bytes, chip: str, offset: int) -> EspImage:
    """The image in `data` for `chip`, whose ROM starts at `offset`; InterpreterError says what is wrong with it."""
    header = _header(name, data, 0)
    _check(name, data, 0, header[9])
    for start in _programs(name, data, offset):
        _check(name, data, start, header[9])
    return EspImage(name, data, chip, header[9], offset, header[11], header[12])


def _header(name: str, data: bytes, start: int) -> tuple[int, ...]:
    if len(data) < start + HEADER_BYTES or data[start] != MAGIC:
        raise InterpreterError(f"{name}: no ESP image at byte {start:#x}: it begins with {MAGIC:#x}")
    return _HEADER.unpack_from(data, start)


def program_addresses(table: bytes) -> Iterator[int]:
    """Where in the flash the programs of a partition table start; none when it is no such table."""
    for at in range(0, min(len(table), _TABLE_ENTRIES * _ENTRY.size) - _ENTRY.size + 1, _ENTRY.size):
        magic, kind, _, address, *_ = _ENTRY.unpack_from(table, at)
        if magic != _ENTRY_MAGIC:
            break
        if kind == _APP:
            yield address


def _programs(name: str, data: bytes, offset: int) -> Iterator[int]:
    """Where in `data` the programs of its partition table start. There is at least one."""
    found = False
    for address in program_addresses(data[TABLE_ADDRESS - offset : TABLE_ADDRESS - offset + TABLE_BYTES]):
        if 0 <= address - offset < len(data):
            found = True
            yield address - offset
    if not found:
        raise InterpreterError(
            f"{name}: no partition table with a program at {TABLE_ADDRESS:#x}: not a whole image. Take the .bin of "
            "MicroPython's download page, not its .app-bin"
        )


def _check(name: str, data: bytes, start: int, chip: int) -> None:
    """InterpreterError unless a whole image for `chip` starts there: segments, checksum and SHA-256 hold."""
    header = _header(name, data, start)
    if header[9] != chip:
        raise InterpreterError(f"{name}: the image at byte {start:#x} is for chip {header[9]}, the first for {chip}")
    if not 1 <= header[1] <= MAX_SEGMENTS:
        raise InterpreterError(f"{name}: {header[1]} segments at byte {start:#x}; 1 to {MAX_SEGMENTS}")
    at, checksum = start + HEADER_BYTES, _CHECKSUM_SEED
    for _ in range(header[1]):
        if at + _SEGMENT.size > len(data):
            raise _cut_off(name, data)
        at, size = at + _SEGMENT.size, _SEGMENT.unpack_from(data, at)[1]
        if at + size > len(data):
            raise _cut_off(name, data)
        checksum ^= _folded(data[at : at + size])
        at += size
    end = start + (at - start) // 16 * 16 + 16  # the checksum is the last byte of 16
    if end + _HASH_BYTES * header[-1] > len(data):
        raise _cut_off(name, data)
    if data[end - 1] != checksum:
        raise InterpreterError(f"{name}: wrong checksum of the image at byte {start:#x}: download it again")
    if header[-1] and hashlib.sha256(data[start:end]).digest() != data[end : end + _HASH_BYTES]:
        raise InterpreterError(f"{name}: wrong SHA-256 of the image at byte {start:#x}: download it again")


def _folded(data: bytes) -> int:
    """All bytes combined by exclusive or: halves of a big number at a time, since a loop over megabytes is slow."""
    size = 1
    while size < len(data):
        size *= 2
    number = int.from_bytes(data, "big")
    while size > 1:
        size //= 2
        number = (number >> 8 * size) ^ (number & (1 << 8 * size) - 1)
    return number


def _cut_off(name: str, data: bytes) -> InterpreterError:
    return InterpreterError(f"{name}: cut off after {len(data)} bytes: download it again")
