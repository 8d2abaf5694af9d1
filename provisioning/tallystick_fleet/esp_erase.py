"""Look at what the flash of an ESP32 holds, and erase it when that is allowed. In one connection: the board that was
looked at is the board that is erased.

The first sector goes last, so that a board which lost power in the middle is not blank yet: it is asked about and
erased again, and nothing of what it held comes to life on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tallystick_fleet import esp_contents, esp_tool
from tallystick_fleet.errors import BoardLost
from tallystick_fleet.esp_contents import NodeSearch
from tallystick_fleet.esp_tool import SECTOR_BYTES, Line, Progress

BLOCK_BYTES = 64 * 1024  # what a flash chip erases in one go
MAC_BYTES = 6


@dataclass(frozen=True, slots=True)
class Found:
    """What a board's flash holds. `mac`: the chip's own number, which no two have."""

    chip: str
    mac: str
    is_blank: bool
    is_node: bool
    program: str


@dataclass(frozen=True, slots=True)
class Eraser:
    """`allow` raises when a board must stay as it is; `erased` hears when one was erased, `progress` how far it is.

    `anyway`: erase also what would not stand in the way.
    """

    allow: Callable[[Found], None]
    erased: Callable[[], None] = lambda: None
    progress: Progress = lambda done, total: None
    anyway: bool = False


def look(line: Line) -> Found:
    """What the flash holds; nothing is changed, but the board starts anew."""

    def check(loader: Any) -> None:
        esp_tool.check_readable(line.port, loader)

    return esp_tool.on_loader(line, check, lambda loader: found(loader, line.progress))


def found(loader: Any, progress: Progress) -> Found:
    """What the flash behind this loader holds."""
    size, search, is_blank = esp_tool.flash_bytes(loader), NodeSearch(), True
    for start in range(0, size, BLOCK_BYTES):
        if not search.found and not esp_tool.is_erased(loader, start, BLOCK_BYTES):
            is_blank = False
            search.feed(loader.read_flash(start, BLOCK_BYTES))
        progress(start, 2 * size)
    mac = ":".join(f"{byte:02x}" for byte in loader.read_mac("BASE_MAC")[:MAC_BYTES])
    program = "" if is_blank else esp_contents.program(loader.read_flash)
    return Found(loader.CHIP_NAME, mac, is_blank, search.found, program)


def erase(port: str, loader: Any, eraser: Eraser) -> None:
    """Erase what `eraser` does not refuse, and read back that it is gone."""
    holds = found(loader, eraser.progress)
    if not holds.is_blank:
        eraser.allow(holds)
        _erase(port, loader, eraser.progress)
    eraser.erased()


def _erase(port: str, loader: Any, progress: Progress) -> None:
    size, head = esp_tool.flash_bytes(loader), loader.BOOTLOADER_FLASH_OFFSET
    first = [(0, head), (head + SECTOR_BYTES, BLOCK_BYTES)]
    blocks = [(start, start + BLOCK_BYTES) for start in range(BLOCK_BYTES, size, BLOCK_BYTES)]
    for start, end in [*first, *blocks, (head, head + SECTOR_BYTES)]:
        if start < end and not esp_tool.is_erased(loader, start, end - start):
            loader.erase_region(start, end - start)
            if not esp_tool.is_erased(loader, start, end - start):
                raise BoardLost(f"{port}: the flash does not read back blank at {start:#x} after it was erased")
        progress(size + min(end, size), 2 * size)
