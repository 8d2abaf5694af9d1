"""Picos with BOOTSEL held, one after the other or several at a time: each drive is filled, and its board awaited.

Which board a drive became is told by the USB port that both were seen on, or by the number of an RP2350. An RP2040 has
no number as a drive, and not every system names the port: then one Pico is done at a time, the only board that appears
is taken for it, and that is said. Where two appear, nobody can tell: both are named, and a person looks.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from tallystick_fleet import bootsel_drives
from tallystick_fleet.boards import Board
from tallystick_fleet.bootsel_drives import Drive
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_provisioning.errors import ProvisioningError

BACK_WITHIN_S = 30.0  # MicroPython starts in a second; the first time it makes its file system
ALONE_FOR_S = 3.0  # how long a board stays the only one that appeared before it is taken for a Pico without a key
ONE_AT_A_TIME = "waits for the other Pico: this computer does not say on which USB port a drive is: one at a time"
Tell = Callable[[str, int], None]  # drive, percent


@dataclass(frozen=True, slots=True)
class DriveReport:
    """What became of a drive: `board`, by its serial number, or nothing, for a `reason`.

    `is_guess`: nothing but that it is the only new board speaks for it.
    """

    drive: str
    board_id: str
    reason: str = ""
    board: str = ""
    is_guess: bool = False

    def value(self) -> dict[str, object]:
        """For --json."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _Pico:
    """A drive that was begun with. `until` its board is awaited, None while it is filled."""

    drive: Drive
    until: float | None = None
    alone_since: float | None = None  # a board appeared, and no other one

    @property
    def has_key(self) -> bool:
        return bool(self.drive.place.location or self.drive.place.serial)

    def is_it(self, board: Board) -> bool:
        """Certainly."""
        place = self.drive.place
        if place.serial and place.serial.upper() == board.serial.upper():
            return True
        return bool(place.location) and place.location == board.location

    def may_be(self, board: Board) -> bool:
        """Nothing speaks against it: it is not known to be on another port."""
        return not (self.drive.place.location and board.location)


@dataclass(slots=True)
class DriveWatch:
    """Fills each drive once, and again when it was pulled out. `tell` hears progress, `came` each end, `note` what a
    person should know; threads call.
    """

    folders: Sequence[Path]
    image: Uf2Image
    tell: Tell
    came: Callable[[DriveReport], None]
    parallel: int
    monotonic: Callable[[], float] = time.monotonic
    note: Callable[[str, str], None] = lambda drive, text: None
    find: Callable[[Sequence[Path]], list[Drive]] = bootsel_drives.connected
    reports: list[DriveReport] = field(default_factory=list)
    _begun: set[str] = field(default_factory=set)  # names of drives that are there, or whose board is awaited
    _awaited: dict[str, _Pico] = field(default_factory=dict)
    _held_up: set[str] = field(default_factory=set)  # have to wait for another one
    _boards: set[Board] | None = None  # of the last look
    _arrived: set[Board] = field(default_factory=set)  # since a drive is awaited, and none has become it
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _pool: ThreadPoolExecutor | None = None
    _running: list[Future[None]] = field(default_factory=list)

    def look(self, boards: Sequence[Board]) -> None:
        """One turn: begin with new drives, see whose board is back. `boards` are connected now."""
        there = {drive.name: drive for drive in self.find(self.folders)}
        now = set(boards)
        with self._lock:
            self._arrived |= now - (now if self._boards is None else self._boards)
            self._arrived &= now if self._awaited else set()
            self._boards = now
            self._find_those_back(there)
            self._give_up()
            self._begun = {name for name in self._begun if name in there or name in self._awaited}
            for name, drive in there.items():
                if name not in self._begun and self._has_turn(drive):
                    self._begin(drive)
            self._held_up &= set(there) - self._begun

    @property
    def is_idle(self) -> bool:
        """Nothing is copied, no board is awaited, no drive has to wait."""
        return not self._awaited and not self._held_up and all(one.done() for one in self._running)

    def wait(self) -> None:
        """Until what is copied is through."""
        wait(self._running)

    def close(self) -> None:
        """Wait for what is copied; boards that are not back by then are told of."""
        if self._pool is not None:
            self._pool.shutdown()
        with self._lock:
            for name in list(self._awaited):
                self._end(name, f"{name}: its board was not back yet when the work ended")

    def _has_turn(self, drive: Drive) -> bool:
        """Whether its board could be told from those of the drives that are worked on."""
        if _Pico(drive).has_key or all(pico.has_key for pico in self._awaited.values()):
            return True
        if drive.name not in self._held_up:
            self._held_up.add(drive.name)
            self.note(drive.name, ONE_AT_A_TIME)
        return False

    def _begin(self, drive: Drive) -> None:
        self._pool = self._pool or ThreadPoolExecutor(self.parallel, thread_name_prefix="drive")
        self._begun.add(drive.name)
        self._awaited[drive.name] = _Pico(drive)
        self._running.append(self._pool.submit(self._fill, drive))

    def _fill(self, drive: Drive) -> None:
        self.tell(drive.name, 0)
        try:
            bootsel_drives.fill(drive, self.image, lambda done, total: self.tell(drive.name, 100 * done // total))
        except ProvisioningError as error:
            with self._lock:
                self._end(drive.name, str(error))
            return
        with self._lock:
            if drive.name in self._awaited:
                self._awaited[drive.name].until = self.monotonic() + BACK_WITHIN_S

    def _find_those_back(self, there: Collection[str]) -> None:
        gone = [pico for name, pico in self._awaited.items() if pico.until is not None and name not in there]
        for pico in gone:
            for board in [board for board in self._arrived if pico.is_it(board)][:1]:
                self._became(pico, board, is_guess=False)
        for pico in [pico for pico in gone if pico.drive.name in self._awaited]:
            self._guess(pico, [board for board in self._arrived if pico.may_be(board)])

    def _guess(self, pico: _Pico, candidates: list[Board]) -> None:
        """No key says which board it is: the only one, when it stays the only one for a while."""
        name = pico.drive.name
        if len(candidates) > 1:
            names = ", ".join(sorted(board.serial for board in candidates))
            self._arrived -= set(candidates)
            self._end(name, f"{name}: nobody can tell which of {names} it became: look which one is missing here")
        elif not candidates:
            pico.alone_since = None
        elif pico.alone_since is None:
            pico.alone_since = self.monotonic()
        elif self.monotonic() - pico.alone_since >= ALONE_FOR_S:
            self._became(pico, candidates[0], is_guess=True)

    def _became(self, pico: _Pico, board: Board, is_guess: bool) -> None:
        self._arrived.discard(board)
        name = pico.drive.name
        if is_guess:
            self.note(name, f"taken for {board.serial}: the only board that appeared")
        self._end(name, board=board.serial, is_guess=is_guess)

    def _give_up(self) -> None:
        for name, pico in list(self._awaited.items()):
            if pico.until is not None and self.monotonic() > pico.until and pico.alone_since is None:
                within = f"within {BACK_WITHIN_S:.0f} s after MicroPython was copied onto it"
                self._end(name, f"{name}: no board came back {within}")

    def _end(self, name: str, reason: str = "", board: str = "", is_guess: bool = False) -> None:
        pico = self._awaited.pop(name, None)
        if pico is not None:
            report = DriveReport(name, pico.drive.board_id, reason, board, is_guess)
            self.reports.append(report)
            self.came(report)
