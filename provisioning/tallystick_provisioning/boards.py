"""Which boards are connected. A board's name is its USB serial number: the same on every port of every machine."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports  # type: ignore[import-untyped]

from tallystick_provisioning.errors import FileError

MAX_SERIAL_CHARACTERS = 128  # USB strings are shorter; the enrolment takes no longer one


@dataclass(frozen=True, slots=True)
class Board:
    """A board that is connected now."""

    serial: str
    port: str


Boards = Callable[[], list[Board]]


def usb_boards() -> list[Board]:
    """Every USB serial port whose device has a serial number, in the order of these numbers."""
    found = {port.serial_number: port.device for port in list_ports.comports() if port.serial_number}
    return [Board(serial[:MAX_SERIAL_CHARACTERS], port) for serial, port in sorted(found.items())]


def linked_boards(folder: Path) -> list[Board]:
    """Every entry of `folder` that leads to a terminal now; its name is the serial number.

    /dev/serial/by-id is such a folder, and so is one with links to ptys. FileError when it cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise FileError(f"{folder}: {error.strerror}") from None
    return [Board(name[:MAX_SERIAL_CHARACTERS], port) for name in names if (port := _terminal(folder / name))]


def source(boards: str) -> Boards:
    """What `--boards` means: `usb`, or a folder of links."""
    if boards == "usb":
        return usb_boards
    folder = Path(boards)
    linked_boards(folder)  # a folder that is not there is said now, not in the middle of the work
    return lambda: linked_boards(folder)


def _terminal(path: Path) -> str | None:
    """The device behind a link; None when there is none any more."""
    try:
        real = path.resolve(strict=True)
        return str(real) if stat.S_ISCHR(real.stat().st_mode) else None
    except (OSError, RuntimeError):
        return None
