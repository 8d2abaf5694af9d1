"""Picos whose BOOTSEL button was held: each is a drive. MicroPython is copied onto it, and it comes back as a board.

That the drive goes away while it is written, or right after, is how it ends; whether it went well, only the board that
comes back can say (drive_watch). A drive that holds anything else than a boot loader's is somebody's stick: nothing is
written there, and never over a file.
"""

import getpass
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tallystick_fleet import usb_place
from tallystick_fleet.errors import InterpreterError
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_fleet.usb_place import UsbPlace
from tallystick_provisioning.errors import FileError

INFO = "INFO_UF2.TXT"
MAX_INFO_BYTES = 4096  # a boot loader's has 60
MAX_BOARD_ID_CHARACTERS = 64  # a boot loader's has 7
CHUNK_BYTES = 16 * 1024
_FILE_NAME = "firmware.uf2"
_OF_THE_BOOT_LOADER = {INFO, "INDEX.HTM"}
_BOARD_ID = "Board-ID:"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Drive:
    """A boot loader's drive, and how the boot loader calls the chip."""

    path: Path
    board_id: str
    place: UsbPlace = usb_place.UNKNOWN

    @property
    def name(self) -> str:
        return str(self.path)


def default_folders() -> list[Path]:
    """Where desktops mount drives for who is logged in."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        raise FileError("drives: this user has no name, after which desktops call the folder: give --drives") from None
    return [Path("/media") / user, Path("/run/media") / user]


def connected(folders: Sequence[Path]) -> list[Drive]:
    """Every drive of a boot loader below `folders`. One that goes away meanwhile is none."""
    found = []
    for folder in folders:
        with suppress(OSError):
            drives = [(path, board_id) for path in sorted(folder.iterdir()) if (board_id := _board_id(path))]
            found += [Drive(path, board_id, usb_place.of_folder(path)) for path, board_id in drives]
    return found


def check(drive: Drive, image: Uf2Image) -> None:
    """InterpreterError when this drive's chip is not the one that the image is for, or it is no boot loader's drive."""
    if drive.board_id != image.family.board_id:
        wanted = f"an {image.family.name} ({image.family.board_id})"
        raise InterpreterError(f"{drive.name}: this board calls itself {drive.board_id}, {image.name} is for {wanted}")
    with suppress(OSError):  # it is gone
        strangers = sorted(path.name for path in drive.path.iterdir() if path.name not in _OF_THE_BOOT_LOADER)
        if visible := [name for name in strangers if not name.startswith(".")]:
            raise InterpreterError(f"{drive.name}: holds {_shown(visible[0])}, as no boot loader's drive does")


def fill(drive: Drive, image: Uf2Image, progress: Progress) -> None:
    """Copy the image. FileError when the drive is still there and does not take it."""
    check(drive, image)
    try:
        with (drive.path / _FILE_NAME).open("xb") as file:
            for start in range(0, len(image.data), CHUNK_BYTES):
                file.write(image.data[start : start + CHUNK_BYTES])
                progress(start, len(image.data))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if _board_id(drive.path):
            raise FileError(f"{drive.name}: the file could not be copied: {error.strerror}") from None


def _board_id(path: Path) -> str:
    """How the boot loader behind this drive calls its chip; empty when it is no such drive."""
    try:
        if path.is_symlink() or not stat.S_ISREG((path / INFO).lstat().st_mode):
            return ""  # opening a pipe would wait for ever
        with (path / INFO).open("rb") as file:
            text = file.read(MAX_INFO_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
    lines = [line.removeprefix(_BOARD_ID).strip() for line in text.splitlines() if line.startswith(_BOARD_ID)]
    return _shown(lines[0]) if lines else ""


def _shown(text: str) -> str:
    """What others wrote, as it may stand on a screen."""
    return "".join(one if one.isprintable() else "?" for one in text[:MAX_BOARD_ID_CHARACTERS])
