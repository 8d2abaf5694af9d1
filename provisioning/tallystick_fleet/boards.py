"""Which boards are connected. A board's name is its USB serial number: the same on every port of every machine.

Some boards with a USB port of their own show one number from their ROM and another one from MicroPython. The USB port
that they are plugged into is the second key, where the operating system tells it.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports  # type: ignore[import-untyped]
from serial.tools.list_ports_common import ListPortInfo  # type: ignore[import-untyped]

from tallystick_fleet import usb_place
from tallystick_provisioning.errors import FileError

TWINS = "two boards with this serial number are connected, and nobody can tell which is which: unplug one"
MAX_SERIAL_CHARACTERS = 128  # USB strings are shorter; the enrolment takes no longer one


@dataclass(frozen=True, slots=True)
class Board:
    """A board that is connected now. `location`: its place on the USB bus, like 1-1.3; empty where nobody knows."""

    serial: str
    port: str
    location: str = ""


Boards = Callable[[], list[Board]]


def usb_boards() -> list[Board]:
    """Every USB serial port whose device has a serial number, in the order of these numbers."""
    return [
        Board(shown(port.serial_number), port.device, (port.location or "").partition(":")[0])
        for port in _usb_ports()
        if port.serial_number
    ]


def linked_boards(folder: Path) -> list[Board]:
    """Every entry of `folder` that leads to a terminal now; its name is the serial number.

    /dev/serial/by-id is such a folder, and so is one with links to ptys. FileError when it cannot be read; one
    that is not there has no boards: udev removes it with the last one.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileError(f"{folder}: {error.strerror}") from None
    found = [(name, port) for name in names if (port := _terminal(folder / name))]
    return [Board(shown(name), port, usb_place.of_terminal(port).location) for name, port in found]


def shown(serial: str) -> str:
    """A serial number as it may stand on a screen and in an enrolment: printable and not too long."""
    printable = "".join(character if character.isprintable() else "?" for character in serial)
    return printable[:MAX_SERIAL_CHARACTERS]


def find_again(board: Board, connected: list[Board]) -> Board | None:
    """This board as it is connected now, under another serial number perhaps; None while nobody can say that it is."""
    same = next((one for one in connected if one.serial == board.serial), None)
    moved = [one for one in connected if board.location and one.location == board.location]
    return same or (moved[0] if len(moved) == 1 else None)


def port_of(serial: str, connected: list[Board]) -> str | None:
    """Where this board is now; None while it is not connected."""
    return next((board.port for board in connected if board.serial == serial), None)


def twins(connected: list[Board]) -> set[str]:
    """Serial numbers that more than one connected board has: nobody can tell which of them is which node."""
    return {serial for serial, times in Counter(board.serial for board in connected).items() if times > 1}


def _usb_ports() -> list[ListPortInfo]:
    return sorted(list_ports.comports(), key=lambda port: (port.serial_number or "", port.device))


def source(boards: str) -> Boards:
    """What `--boards` means: `usb`, or a folder of links."""
    if boards == "usb":
        return usb_boards
    folder = Path(boards)
    linked_boards(folder)  # a folder that cannot be read is said now, not in the middle of the work
    if not folder.is_dir() and not folder.is_relative_to("/dev"):
        raise FileError(f"{folder}: no such folder")
    return lambda: linked_boards(folder)


def _terminal(path: Path) -> str | None:
    """The device behind a link; None when there is none any more."""
    try:
        real = path.resolve(strict=True)
        return str(real) if stat.S_ISCHR(real.stat().st_mode) else None
    except (OSError, RuntimeError):
        return None
