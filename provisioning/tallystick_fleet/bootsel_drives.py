"""Picos whose BOOTSEL button was held: each is a drive. MicroPython is copied onto it, and it comes back as a board.

A drive has no serial number, so a Pico is known by it only from the moment it is back. That the drive goes away while
it is written, or right after, is how it ends; whether it went well, only the board that comes back can say. A drive
that holds anything else than a boot loader's is somebody's stick: nothing is written there, and never over a file.
"""

import getpass
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tallystick_fleet.errors import InterpreterError
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_provisioning.errors import FileError, ProvisioningError

INFO = "INFO_UF2.TXT"
MAX_INFO_BYTES = 4096  # a boot loader's has 60
MAX_BOARD_ID_CHARACTERS = 64  # a boot loader's has 7
BACK_WITHIN_S = 30.0  # MicroPython starts in a second; the first time it makes its file system
CHUNK_BYTES = 16 * 1024
_FILE_NAME = "firmware.uf2"
_OF_THE_BOOT_LOADER = {INFO, "INDEX.HTM"}
_BOARD_ID = "Board-ID:"
Progress = Callable[[int, int], None]
Tell = Callable[[str, int], None]  # drive, percent


@dataclass(frozen=True, slots=True)
class Drive:
    """A boot loader's drive, and how the boot loader calls the chip."""

    path: Path
    board_id: str

    @property
    def name(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class DriveReport:
    """What became of a drive; `reason` is empty when its board came back."""

    drive: str
    board_id: str
    reason: str = ""

    def value(self) -> dict[str, str]:
        """For --json."""
        return {"drive": self.drive, "board_id": self.board_id, "reason": self.reason}


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
            found += [Drive(path, board_id) for path in sorted(folder.iterdir()) if (board_id := _board_id(path))]
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


@dataclass(slots=True)
class DriveWatch:
    """Fills each drive once, and again when it was pulled out. `tell` hears progress, `came` each end; threads call."""

    folders: Sequence[Path]
    image: Uf2Image
    tell: Tell
    came: Callable[[DriveReport], None]
    parallel: int
    monotonic: Callable[[], float] = time.monotonic
    reports: list[DriveReport] = field(default_factory=list)
    _begun: dict[str, Drive] = field(default_factory=dict)  # those that are there, or whose board is awaited
    _awaited: dict[str, float | None] = field(default_factory=dict)  # until when; None while it is filled
    _boards: set[str] | None = None  # the serial numbers of the last look
    _arrived: set[str] = field(default_factory=set)  # since a drive is awaited, and none has become it
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pool: ThreadPoolExecutor | None = None
    _running: list[Future[None]] = field(default_factory=list)

    def look(self, boards: set[str]) -> None:
        """One turn: begin with new drives, see whose board is back. `boards`: serial numbers connected now."""
        there = {drive.name: drive for drive in connected(self.folders)}
        with self._lock:
            self._arrived |= boards - (boards if self._boards is None else self._boards)
            self._arrived &= boards if self._awaited else set()
            self._boards = boards
            self._find_those_back(there)
            self._give_up()
            self._begun = {name: one for name, one in self._begun.items() if name in there or name in self._awaited}
        for name, drive in there.items():
            if name not in self._begun:
                self._begin(drive)

    @property
    def is_idle(self) -> bool:
        """Nothing is copied, and no board is awaited."""
        return not self._awaited and all(one.done() for one in self._running)

    def wait(self) -> None:
        """Until what is copied is through."""
        wait(self._running)

    def close(self) -> None:
        """Wait for what is copied; boards that are not back by then are told of."""
        if self._pool is not None:
            self._pool.shutdown()
        with self._lock:
            for name in list(self._awaited):
                self._missing(name, f"{name}: its board was not back yet when the work ended")

    def _begin(self, drive: Drive) -> None:
        self._pool = self._pool or ThreadPoolExecutor(self.parallel, thread_name_prefix="drive")
        with self._lock:
            self._begun[drive.name] = drive
            self._awaited[drive.name] = None
        self._running.append(self._pool.submit(self._fill, drive))

    def _fill(self, drive: Drive) -> None:
        self.tell(drive.name, 0)
        try:
            fill(drive, self.image, lambda done, total: self.tell(drive.name, 100 * done // total))
        except ProvisioningError as error:
            self._end(drive, str(error))
            return
        with self._lock:
            if drive.name in self._awaited:
                self._awaited[drive.name] = self.monotonic() + BACK_WITHIN_S

    def _find_those_back(self, there: Collection[str]) -> None:
        """Boards appeared: the oldest drives that were filled and are gone have become them."""
        gone = [name for name, until in self._awaited.items() if until is not None and name not in there]
        for name, serial in zip(gone, sorted(self._arrived), strict=False):
            self._arrived.remove(serial)
            del self._awaited[name]
            self._report(DriveReport(name, self._begun[name].board_id))

    def _give_up(self) -> None:
        for name, until in list(self._awaited.items()):
            if until is not None and self.monotonic() > until:
                reason = f"{name}: no board came back within {BACK_WITHIN_S:.0f} s after MicroPython was copied onto it"
                self._missing(name, reason)

    def _missing(self, name: str, reason: str) -> None:
        del self._awaited[name]
        self._report(DriveReport(name, self._begun[name].board_id, reason))

    def _end(self, drive: Drive, reason: str) -> None:
        with self._lock:
            self._awaited.pop(drive.name, None)
            self._report(DriveReport(drive.name, drive.board_id, reason))

    def _report(self, report: DriveReport) -> None:
        self.reports.append(report)
        self.came(report)


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
