"""Files that look like MicroPython's downloads: whole ESP images and UF2 files. What they carry is random bytes."""

import functools
import hashlib
import operator
import random
import struct
from pathlib import Path

from tallystick_emulators.esp_chip import ESP32, Chip

PROGRAM_ADDRESS = 0x10000
_BOOT_ADDRESS, _PROGRAM_SEGMENT = 0x3FFF_0000, 0x3F40_0020


def esp_image(chip: Chip = ESP32, size: int = 60_000, seed: int = 1, project: str = "") -> bytes:
    """Boot loader, partition table and a program of about `size` bytes, as one file for `chip`.

    `project`: how the program calls itself; with a name it carries the description that ESP-IDF puts into each.
    """
    boot = program(chip, 15_000, seed)
    table = _entry(1, 2, 0x9000, 0x6000, b"nvs") + _entry(0, 0, PROGRAM_ADDRESS, 0x1F0000, b"factory")
    table += _entry(1, 0x81, 0x200000, 0x200000, b"vfs")
    main = program(chip, size, seed + 1, _description(project))
    parts = ((chip.offset, boot), (0x8000, table), (PROGRAM_ADDRESS, main))
    data = bytearray()
    for address, part in parts:
        data += b"\xff" * (address - chip.offset - len(data)) + part
    return bytes(data)


def _description(project: str) -> bytes:
    if not project:
        return b""
    words = struct.pack("<32s32s16s16s32s32s", b"v1.2", project.encode(), b"12:00:00", b"Jul 12 2023", b"v5.0", b"")
    return struct.pack("<I12x", 0xABCD5432) + words + bytes(80)


def program(chip: Chip, size: int, seed: int, first: bytes = b"") -> bytes:
    """One image: header, two segments, checksum, SHA-256. The first segment begins with `first`."""
    source = random.Random(seed)
    segments = [first + source.randbytes(size // 8 * 4), b"\0" * (size // 8 * 4)]
    data = struct.pack("<BBBBI", 0xE9, len(segments), 2, 0x20, 0x4008_0000)
    data += struct.pack("<B3xHBHH4xB", 0xEE, chip.number, 0, 0, 0xFFFF, 1)
    checksum = 0xEF
    for address, segment in zip((_BOOT_ADDRESS, _PROGRAM_SEGMENT), segments, strict=True):
        data += struct.pack("<II", address, len(segment)) + segment
        checksum = functools.reduce(operator.xor, segment, checksum)
    data += b"\0" * (15 - len(data) % 16) + bytes([checksum])
    return data + hashlib.sha256(data).digest()


def _entry(kind: int, subtype: int, address: int, size: int, label: bytes) -> bytes:
    return struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, address, size, label, 0)


def uf2_file(family: int = 0xE48BFF56, blocks: int = 40, workaround: bool = False) -> bytes:
    """A whole UF2 file; `workaround`: with the block in front that an RP2350 loses."""
    source = random.Random(family)
    first = uf2_block(0x10FF_FF00, b"\xef" * 256, 0, 2, 0xE48BFF57) if workaround else b""
    pages = [uf2_block(0x1000_0000 + 256 * n, source.randbytes(256), n, blocks, family) for n in range(blocks)]
    return first + b"".join(pages)


def uf2_block(address: int, payload: bytes, number: int, total: int, family: int, flags: int = 0x2000) -> bytes:
    head = struct.pack("<8s6I", b"UF2\nWQ]\x9e", flags, address, len(payload), number, total, family)
    return head + payload.ljust(476, b"\0") + bytes.fromhex("306fb10a")


def saved(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
