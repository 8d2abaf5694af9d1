"""The loader in an emulated chip's ROM, and the one that esptool uploads in its place: bytes in, bytes out.

Written from https://docs.espressif.com/projects/esptool/en/latest/esp32/advanced-topics/serial-protocol.html. The
uploaded code is not run: what it would do is done here, once it came whole and was started at an address inside it.
The flash is a real one in that erasing sets bits and writing only clears them.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from tallystick_emulators import esp_chip, slip
from tallystick_emulators.esp_chip import Chip
from tallystick_emulators.flash_disk import ERASE, FlashDisk

SECTOR_BYTES, PAGE_BYTES = 4096, 256
ROM_BAUD = 115_200
ROM_HEARS = (115_200, 230_400, 460_800, 921_600)  # speeds that the ROM tells from the call
CALL = b"\x07\x07\x12\x20" + b"\x55" * 32  # with which a host calls the loader
_SYNC_ANSWERS = 8
_ROM_SYNC_VALUE = 0x20120707  # anything but 0, which is the uploaded loader's
_USER_COMMAND = 1 << 18  # of the flash controller: send what was put into its registers
_READ_ID, _READ_SFDP, _SFDP = 0x9F, 0x5A, b"SFDP"
_INVALID, _CHECKSUM, _DEFLATE = (0x05, 0xC0), (0x07, 0xC1), (0x0B, 0xC7)  # as ROM, as uploaded loader
_MISSING = (0x05, 0xFF)


class _Refusal(Exception):
    """The command failed; `codes` say why, in either loader's words."""

    def __init__(self, codes: tuple[int, int]) -> None:
        super().__init__()
        self.codes = codes


class _Answer(NamedTuple):
    value: int = 0
    data: bytes = b""
    after: bytes = b""  # what follows the answer, in a frame of its own


class Loader:
    """One life of the loader, from one reset to the next. `writes`: how often the flash was changed."""

    def __init__(self, chip: Chip, flash: FlashDisk) -> None:
        self.is_uploaded = False  # whether the ROM's own loader was replaced
        self.wants_reset = False
        self.commands = 0
        self.baud = self.next_baud = ROM_BAUD
        self._chip, self._flash = chip, flash
        self._registers = dict(chip.registers)
        self._slip = slip.Decoder()
        self._ram: list[range] = []
        self._reading = b""  # what is sent, until the host confirms all of it
        self._sent = self._part = 0
        self._at = self._erased_to = self._left = self._next = 0
        self._inflate = zlib.decompressobj()

    def listens_at(self, baud: int) -> None:
        """From now on, until the host changes it."""
        self.baud = self.next_baud = baud

    def take(self, data: bytes) -> bytes:
        """What the loader answers to these bytes."""
        answer = b"".join(self._frame(frame) for frame in self._slip.feed(data))
        self.baud = self.next_baud
        return answer

    def _frame(self, frame: bytes) -> bytes:
        if self._reading:
            return self._confirmed(frame)
        if len(frame) < 8 or frame[0] != 0:
            return b""
        self.commands += 1
        _, number, size, check = struct.unpack_from("<BBHI", frame)
        try:
            handler, for_both = self._HANDLERS.get(number, (None, False))
            if handler is None or not (for_both or self.is_uploaded):
                raise _Refusal(_MISSING)
            if len(frame) != 8 + size:
                raise _Refusal(_INVALID)
            answer, status = handler(self, frame[8:], check), b"\0\0"
        except struct.error:
            answer, status = _Answer(), self._status(_INVALID)
        except _Refusal as refusal:
            answer, status = _Answer(), self._status(refusal.codes)
        data = answer.data + status + (b"" if self.is_uploaded else b"\0\0")
        whole = slip.encode(struct.pack("<BBHI", 1, number, len(data), answer.value) + data)
        if answer.after == b"OHAI":
            self.is_uploaded = True
        times = _SYNC_ANSWERS if number == 0x08 else 1
        return whole * times + (slip.encode(answer.after) if answer.after else b"")

    def _status(self, codes: tuple[int, int]) -> bytes:
        return bytes([codes[1], 0]) if self.is_uploaded else bytes([1, codes[0]])

    def _sync(self, body: bytes, check: int) -> _Answer:
        if body != CALL:
            raise _Refusal(_INVALID)
        return _Answer(0 if self.is_uploaded else _ROM_SYNC_VALUE)

    def _read_register(self, body: bytes, check: int) -> _Answer:
        return _Answer(self._registers.get(struct.unpack("<I", body)[0], 0))

    def _write_register(self, body: bytes, check: int) -> _Answer:
        address, value, mask, _ = struct.unpack_from("<IIII", body)
        old = self._registers.get(address, 0)
        self._registers[address] = (old & ~mask | value & mask) & 0xFFFF_FFFF
        if address == self._chip.spi and value & _USER_COMMAND:
            self._registers[address] = 0  # done at once
            self._ask_flash()
        return _Answer()

    def _ask_flash(self) -> None:
        """What the flash chip answers to a command that was sent by hand."""
        spi, shift = self._chip.spi, self._chip.address_shift
        command = self._registers.get(spi + self._chip.spi_command, 0) & 0xFF
        address = self._registers.get(spi + 4, 0) >> shift
        told = 0
        if command == _READ_ID:
            told = esp_chip.FLASH_ID
        elif command == _READ_SFDP:
            told = int.from_bytes(_SFDP, "little") if address == 0 else esp_chip.FLASH_ID & 0xFF
        self._registers[spi + self._chip.spi_data] = told

    def _security(self, body: bytes, check: int) -> _Answer:
        if not self._chip.tells_its_number:
            raise _Refusal(_MISSING)
        return _Answer(data=struct.pack("<IB7sII", 0, 0, b"", self._chip.number, 0))

    def _accept(self, body: bytes, check: int) -> _Answer:
        """Pins and sizes: nothing hangs on them here."""
        return _Answer()

    def _change_baud(self, body: bytes, check: int) -> _Answer:
        """The answer still goes out at the old speed."""
        self.next_baud = struct.unpack("<II", body)[0]
        return _Answer()

    def _ram_begin(self, body: bytes, check: int) -> _Answer:
        size, _, _, start = struct.unpack("<IIII", body)
        self._ram.append(range(start, start + size))
        self._next = 0
        return _Answer()

    def _ram_data(self, body: bytes, check: int) -> _Answer:
        self._block(body, check)
        return _Answer()

    def _ram_end(self, body: bytes, check: int) -> _Answer:
        stays, entry = struct.unpack("<II", body)
        if not stays and not any(entry in part for part in self._ram):
            raise _Refusal(_INVALID)
        return _Answer(after=b"" if stays else b"OHAI")

    def _flash_begin(self, body: bytes, check: int) -> _Answer:
        size, _, _, start = struct.unpack_from("<IIII", body)
        if start + size > len(self._flash.image):
            raise _Refusal(_INVALID)
        self._at, self._left, self._next = start, size, 0
        self._erased_to = start - start % SECTOR_BYTES
        self._inflate = zlib.decompressobj()
        if not self.is_uploaded:
            self._erase(start + size)
        return _Answer()

    def _flash_data(self, body: bytes, check: int) -> _Answer:
        self._program(self._block(body, check)[: self._left])
        return _Answer()

    def _flash_deflated(self, body: bytes, check: int) -> _Answer:
        try:
            data = self._inflate.decompress(self._block(body, check))
        except zlib.error:
            raise _Refusal(_DEFLATE) from None
        if len(data) > self._left:
            raise _Refusal(_DEFLATE)
        self._program(data)
        return _Answer()

    def _flash_end(self, body: bytes, check: int) -> _Answer:
        self.wants_reset = struct.unpack("<I", body)[0] == 0
        return _Answer()

    def _md5(self, body: bytes, check: int) -> _Answer:
        start, size, _, _ = struct.unpack("<IIII", body)
        digest = hashlib.md5(self._flash.image[start : start + size], usedforsecurity=False)
        return _Answer(data=digest.digest() if self.is_uploaded else digest.hexdigest().encode())

    def _erase_all(self, body: bytes, check: int) -> _Answer:
        self._erased_to = 0
        self._erase(len(self._flash.image))
        return _Answer()

    def _erase_region(self, body: bytes, check: int) -> _Answer:
        start, size = struct.unpack("<II", body)
        if start % SECTOR_BYTES or size % SECTOR_BYTES or start + size > len(self._flash.image):
            raise _Refusal(_INVALID)
        self._erased_to = start
        self._erase(start + size)
        return _Answer()

    def _read(self, body: bytes, check: int) -> _Answer:
        start, size, self._part, _ = struct.unpack("<IIII", body)
        if not size or not self._part or start + size > len(self._flash.image):
            raise _Refusal(_INVALID)
        self._reading, self._sent = bytes(self._flash.image[start : start + size]), 0
        return _Answer(after=self._next_part())

    def _next_part(self) -> bytes:
        part = self._reading[self._sent : self._sent + self._part]
        self._sent += len(part)
        return part

    def _confirmed(self, frame: bytes) -> bytes:
        """One part at a time is on its way, whatever the host allows."""
        if frame != struct.pack("<I", self._sent):
            return b""
        if self._sent < len(self._reading):
            return slip.encode(self._next_part())
        digest = hashlib.md5(self._reading, usedforsecurity=False).digest()
        self._reading = b""
        return slip.encode(digest)

    def _block(self, body: bytes, check: int) -> bytes:
        """The data of the next block."""
        size, number, _, _ = struct.unpack_from("<IIII", body)
        data = body[16:]
        if len(data) != size or number != self._next:
            raise _Refusal(_INVALID)
        if esp_chip.checksum(data) != check & 0xFF:
            raise _Refusal(_CHECKSUM)
        self._next += 1
        return data

    def _program(self, data: bytes) -> None:
        """Page by page, each sector erased before its first one, as the uploaded loader does it."""
        self._erase(self._at + len(data))
        self._left -= len(data)
        while data:
            size = min(len(data), PAGE_BYTES - self._at % PAGE_BYTES)
            self._flash.writeblocks(self._at // SECTOR_BYTES, bytearray(data[:size]), self._at % SECTOR_BYTES)
            self._at, data = self._at + size, data[size:]

    def _erase(self, end: int) -> None:
        while self._erased_to < end:
            self._flash.ioctl(ERASE, self._erased_to // SECTOR_BYTES)
            self._erased_to += SECTOR_BYTES

    # number -> what does it, and whether the ROM's own loader has it too
    _HANDLERS: ClassVar[dict[int, tuple[Callable[["Loader", bytes, int], _Answer], bool]]] = {
        0x02: (_flash_begin, True),
        0x03: (_flash_data, True),
        0x04: (_flash_end, True),
        0x05: (_ram_begin, True),
        0x06: (_ram_end, True),
        0x07: (_ram_data, True),
        0x08: (_sync, True),
        0x09: (_write_register, True),
        0x0A: (_read_register, True),
        0x0B: (_accept, True),  # SPI_SET_PARAMS
        0x0D: (_accept, True),  # SPI_ATTACH
        0x0F: (_change_baud, True),
        0x10: (_flash_begin, True),
        0x11: (_flash_deflated, True),
        0x12: (_flash_end, True),
        0x13: (_md5, True),
        0x14: (_security, True),
        0xD0: (_erase_all, False),
        0xD1: (_erase_region, False),
        0xD2: (_read, False),
    }
