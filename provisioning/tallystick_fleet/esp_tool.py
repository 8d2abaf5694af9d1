"""The loaders in an ESP32's ROM, and the one that esptool uploads in its place. All of esptool is in here.

A long or bad cable does not carry the high speed: answers come damaged, or not at all. Then the same work is done once
more at the speed of the ROM, over the same open port: a port that was lost is never opened again here, for another
board may be behind it.
"""

import functools
import hashlib
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import serial  # type: ignore[import-untyped]
from esp_pylib.errors import FatalError
from esp_pylib.logger import EspLog, EspLogBase

from tallystick_fleet import port_trouble
from tallystick_fleet.errors import BoardLost, InterpreterError, LoaderSilent

CONNECT_ATTEMPTS = 2  # one for each way of resetting that esptool knows for a USB bridge
BAUD = 460_800  # what every USB bridge of these boards does
SLOW_BAUD = 115_200  # what the ROM speaks, and every cable carries
SECTOR_BYTES = 4096  # what one erase takes, and what the ROM reads first
# What esptool and pyserial raise for answers that are none; an OSError is the port's own.
DAMAGED = (FatalError, struct.error, LookupError, ValueError, TypeError)
Progress = Callable[[int, int], None]
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Chip:
    """A kind of chip, by its name, and where its ROM looks for what it starts."""

    name: str
    offset: int


def chip(number: int) -> Chip | None:
    """The kind of chip that calls itself `number` in images; None for one that esptool does not know."""
    commands()
    from esptool import targets  # type: ignore[import-untyped]

    found = next((one for one in targets.ROM_LIST if number == one.IMAGE_CHIP_ID), None)
    return None if found is None else Chip(found.CHIP_NAME, found.BOOTLOADER_FLASH_OFFSET)


class Speeds:
    """How fast each board's cable is; `say(board, text)` hears once of each that is slow."""

    def __init__(self, say: Callable[[str, str], None] = lambda board, text: None) -> None:
        self._say = say
        self._slow: set[str] = set()

    def baud(self, board: str) -> int:
        return SLOW_BAUD if board in self._slow else BAUD

    def lower(self, board: str, reason: str) -> None:
        self._slow.add(board)
        self._say(board, f"at {BAUD} baud the cable fails ({reason}); from now on {SLOW_BAUD}, which takes longer")


@dataclass(frozen=True, slots=True)
class Line:
    """The way to one board's loader. `board`: under which name its speed is remembered."""

    port: str
    board: str
    speeds: Speeds
    progress: Progress = lambda done, total: None


def on_loader(line: Line, check: Callable[[Any], None], act: Callable[[Any], _Result]) -> _Result:
    """What `act` returns, which gets the uploaded loader. `check` sees the ROM's before anything is uploaded.

    Both may raise this package's errors, which end it. LoaderSilent when no loader answers, BoardLost when it is gone.
    The chip starts anew at the end.
    """
    with _errors(line.port), serial.Serial(line.port, exclusive=True) as port, _heard(line.progress):
        if line.speeds.baud(line.board) > SLOW_BAUD:
            try:
                return _once(port, BAUD, check, act)
            except DAMAGED as error:
                line.speeds.lower(line.board, _words(error))
        return _once(port, SLOW_BAUD, check, act)


def check_readable(port: str, loader: Any) -> None:
    """InterpreterError for a chip whose flash nobody can read back."""
    if loader.secure_download_mode:
        raise InterpreterError(f"{port}: this {loader.CHIP_NAME} is locked: what was written could not be read back")
    if loader.get_flash_encryption_enabled():
        raise InterpreterError(f"{port}: the flash of this {loader.CHIP_NAME} is encrypted: nobody can read it")


def flash_bytes(loader: Any) -> int:
    """The size of the flash; BoardLost when its chip does not say."""
    from esptool.util import flash_size_bytes  # type: ignore[import-untyped]

    told = commands().detect_flash_size(loader)
    if not told:
        raise BoardLost(f"the flash of this {loader.CHIP_NAME} does not say how large it is")
    return int(flash_size_bytes(told))


def is_erased(loader: Any, start: int, size: int) -> bool:
    """Asked of the chip by hash: that is much faster than to read it."""
    return bool(loader.flash_md5sum(start, size) == _erased_hash(size))


@functools.cache
def _erased_hash(size: int) -> str:
    return hashlib.md5(b"\xff" * size, usedforsecurity=False).hexdigest()


def _once(port: serial.Serial, baud: int, check: Callable[[Any], None], act: Callable[[Any], _Result]) -> _Result:
    loader = _connected(port)
    try:
        check(loader)
        loader = commands().run_stub(loader)
        loader.WRITE_FLASH_ATTEMPTS = 1  # it would open a lost port again, and another board may be behind it
        if baud != SLOW_BAUD:
            loader.change_baud(baud)
        commands().attach_flash(loader)
        return act(loader)
    finally:
        with suppress(FatalError, OSError, termios.error):  # what went wrong first is what is told
            commands().reset_chip(loader)


def _connected(port: serial.Serial) -> Any:
    try:
        return commands().detect_chip(port, connect_attempts=CONNECT_ATTEMPTS)
    except FatalError as error:
        raise LoaderSilent(f"{port.port}: no ESP32 loader answers: {_words(error)}") from None


@contextmanager
def _errors(port: str) -> Iterator[None]:
    """Every foreign error becomes BoardLost here."""
    try:
        yield
    except (*DAMAGED, OSError, termios.error) as error:  # SerialException is an OSError
        raise BoardLost(f"{port}: {_words(error)}") from None


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    told = port_trouble.words(error) if isinstance(error, Exception) else None
    return told or (lines[0] if lines else type(error).__name__)


class _Output(EspLogBase):
    """What esptool says, for its one logger of the whole process: nothing is shown, progress goes to who waits for it.

    Boards are worked on by several threads; each hears of its own.
    """

    def __init__(self) -> None:
        self.of_thread = threading.local()

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        heard: Progress | None = getattr(self.of_thread, "progress", None)
        if heard is not None:
            heard(cur_iter, total_iters)

    def _nothing(self, *_: object, **__: object) -> None:
        """Not shown: what fails is raised as well."""

    print = err = warn = note = hint = debug = error = warning = set_verbosity = _nothing


_OUTPUT = _Output()


@functools.cache
def commands() -> ModuleType:
    """esptool's commands. Parts of it keep the logger that is there when they are imported: ours comes first."""
    EspLog.set_logger(_OUTPUT)
    from esptool import cmds

    return cmds  # type: ignore[no-any-return]


@contextmanager
def _heard(progress: Progress) -> Iterator[None]:
    _OUTPUT.of_thread.progress = progress
    try:
        yield
    finally:
        del _OUTPUT.of_thread.progress
