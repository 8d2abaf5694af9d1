"""MicroPython for a Pico: a UF2 file, checked block by block. Pure.

https://github.com/microsoft/uf2 and the data sheets of RP2040 (2.8.4.2) and RP2350 (5.5). A board takes blocks in any
order and starts when it has as many as each block says: a file with a gap would leave it waiting for ever.
"""

import struct
from dataclasses import dataclass

from tallystick_fleet.errors import InterpreterError

BLOCK_BYTES, PAYLOAD_BYTES = 512, 256
MAGIC = b"UF2\nWQ]\x9e"
FLASH_START = 0x1000_0000
MAX_FLASH_BYTES = 16 * 1024 * 1024  # as far as both chips' boot loaders write
_BLOCK = struct.Struct("<8s6I476sI")
_END = 0x0AB16F30
_FAMILY_GIVEN, _EXTENSION = 0x2000, 0x8000
_ABSOLUTE = 0xE48BFF57


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of chip, and how its boot loader calls itself in INFO_UF2.TXT."""

    name: str
    number: int
    board_id: str


RP2040 = Family("RP2040", 0xE48BFF56, "RPI-RP2")
RP2350 = Family("RP2350", 0xE48BFF59, "RP2350")
FAMILIES = (RP2040, RP2350)


@dataclass(frozen=True, slots=True)
class Uf2Image:
    """A whole file, and which chip takes it."""

    name: str
    data: bytes
    family: Family


def parse(name: str, data: bytes) -> Uf2Image:
    """The image in `data`; InterpreterError names the first block that is wrong, and why."""
    if not data or len(data) % BLOCK_BYTES:
        raise InterpreterError(f"{name}: {len(data)} bytes; a UF2 file has whole blocks of {BLOCK_BYTES}")
    blocks = [_block(name, data, number) for number in range(len(data) // BLOCK_BYTES)]
    if _is_workaround(blocks[0]):
        blocks = blocks[1:]
    if not blocks:
        raise InterpreterError(f"{name}: no block of a program")
    family = next((one for one in FAMILIES if one.number == blocks[0].family), None)
    if family is None:
        known = " or ".join(f"{one.name} ({one.number:#x})" for one in FAMILIES)
        raise InterpreterError(f"{name}: family {blocks[0].family:#x}; must be {known}")
    for number, block in enumerate(blocks):
        _check(name, number, block, blocks)
    if len({block.address for block in blocks}) != len(blocks):
        raise InterpreterError(f"{name}: two blocks for one address")
    return Uf2Image(name, data, family)


@dataclass(frozen=True, slots=True)
class _Block:
    flags: int
    address: int
    size: int
    number: int
    total: int
    family: int
    payload: bytes


def _block(name: str, data: bytes, number: int) -> _Block:
    magic, flags, address, size, index, total, family, payload, end = _BLOCK.unpack_from(data, number * BLOCK_BYTES)
    if magic != MAGIC or end != _END:
        raise InterpreterError(f"{name}: block {number} is no UF2 block: its magic numbers are wrong")
    return _Block(flags, address, size, index, total, family, payload[:PAYLOAD_BYTES])


def _is_workaround(block: _Block) -> bool:
    """The block that tools put first for an RP2350, whose boot loader loses the first one (erratum RP2350-E10)."""
    told = (block.flags & ~_EXTENSION, block.address, block.size, block.number, block.total, block.family)
    return told == (_FAMILY_GIVEN, 0x10FF_FF00, PAYLOAD_BYTES, 0, 2, _ABSOLUTE) and set(block.payload) == {0xEF}


def _check(name: str, number: int, block: _Block, blocks: list[_Block]) -> None:
    if block.flags & ~_EXTENSION != _FAMILY_GIVEN:
        raise InterpreterError(f"{name}: block {number}: flags {block.flags:#x}; a program for the flash is needed")
    if block.family != blocks[0].family:
        raise InterpreterError(f"{name}: block {number} is for another family than the first: one chip a file")
    if block.size != PAYLOAD_BYTES:
        raise InterpreterError(f"{name}: block {number} holds {block.size} bytes; must be {PAYLOAD_BYTES}")
    if (block.number, block.total) != (number, len(blocks)):
        told = f"block {block.number} of {block.total}"
        raise InterpreterError(f"{name}: block {number} of {len(blocks)} calls itself {told}: download it again")
    offset = block.address - FLASH_START
    if not 0 <= offset < MAX_FLASH_BYTES or offset % PAYLOAD_BYTES:
        raise InterpreterError(f"{name}: block {number} is for {block.address:#x}: no page of the flash")
