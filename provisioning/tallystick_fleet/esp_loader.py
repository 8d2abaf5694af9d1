"""Put MicroPython onto a blank ESP32, through the loader in the chip's ROM, with esptool. All of esptool is in here.

Only a blank flash is written. The first sector, without which the chip starts nothing, comes last: a board on which the
writing stopped is blank again, and is simply done again. What holds a program is left alone, whoever wrote it: a node
that sleeps does not answer either.
"""

import functools
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import serial  # type: ignore[import-untyped]
from esp_pylib.errors import FatalError
from esp_pylib.logger import EspLog, EspLogBase

from tallystick_fleet import port_trouble
from tallystick_fleet.errors import BoardLost, FlashNotBlank, InterpreterError, LoaderSilent
from tallystick_fleet.esp_image import EspImage

CONNECT_ATTEMPTS = 2  # one for each way of resetting that esptool knows for a USB bridge
BAUD = 460800  # what every USB bridge of these boards does
SECTOR_BYTES = 4096  # what one erase takes, and what the ROM reads first
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Chip:
    """A kind of chip, by its name, and where its ROM looks for what it starts."""

    name: str
    offset: int


def chip(number: int) -> Chip | None:
    """The kind of chip that calls itself `number` in images; None for one that esptool does not know."""
    _esptool()
    from esptool import targets  # type: ignore[import-untyped]

    found = next((one for one in targets.ROM_LIST if number == one.IMAGE_CHIP_ID), None)
    return None if found is None else Chip(found.CHIP_NAME, found.BOOTLOADER_FLASH_OFFSET)


def install(port: str, image: EspImage, progress: Progress) -> None:
    """Write `image` onto the blank chip at `port`, read back its hash, start it.

    LoaderSilent when no loader answers; BoardLost when it is gone; InterpreterError, before anything is written, when
    the image is for another chip, and FlashNotBlank when there is a program. A flash that begins as the image does is
    taken for done.
    """
    with _errors(port), serial.Serial(port, exclusive=True) as line, _heard(progress):
        loader = _connected(line, port)
        try:
            _check_chip(port, loader, image)
            loader = _esptool().run_stub(loader)
            loader.WRITE_FLASH_ATTEMPTS = 1  # it would open a lost port again, and another board may be behind it
            loader.change_baud(BAUD)
            _esptool().attach_flash(loader)
            if _is_wanted(port, loader, image):
                _write(loader, image)
        finally:
            with suppress(FatalError, OSError, termios.error):  # what went wrong first is what is told
                _esptool().reset_chip(loader)


def could_become(found: bytes, wanted: bytes) -> bool:
    """Whether `found` is erased, or `wanted` in the making: writing to flash only clears bits."""
    return len(found) == len(wanted) and all(old & new == new for old, new in zip(found, wanted, strict=True))


def _connected(line: serial.Serial, port: str) -> Any:
    try:
        return _esptool().detect_chip(line, connect_attempts=CONNECT_ATTEMPTS)
    except FatalError as error:
        raise LoaderSilent(f"{port}: no ESP32 loader answers: {_words(error)}") from None


def _check_chip(port: str, loader: Any, image: EspImage) -> None:
    if image.chip_id != loader.IMAGE_CHIP_ID:
        raise InterpreterError(f"{port}: this board is an {loader.CHIP_NAME}, {image.name} is for an {image.chip}")
    if loader.secure_download_mode:
        raise InterpreterError(f"{port}: this {loader.CHIP_NAME} is locked: what was written could not be read back")
    revision = loader.get_chip_revision()
    if not image.runs_on_revision(revision):
        raise InterpreterError(f"{port}: {image.name} does not run on this chip's revision, v{revision / 100:.2f}")


def _is_wanted(port: str, loader: Any, image: EspImage) -> bool:
    """Whether the flash is blank; False when it holds this image already; FlashNotBlank for another program."""
    head = image.data[:SECTOR_BYTES]
    found = loader.read_flash(image.offset, SECTOR_BYTES)
    if found == head:
        return False
    if not could_become(found, head):
        raise FlashNotBlank(
            f"{port}: the flash of this {loader.CHIP_NAME} is not blank. If what it holds may be lost, erase it: "
            f"esptool --port {port} erase-flash"
        )
    return True


def _write(loader: Any, image: EspImage) -> None:
    """esptool reads back the hash of each part as it goes; the whole is asked for once more, the head included."""
    head, rest = image.data[:SECTOR_BYTES], image.data[SECTOR_BYTES:]
    _esptool().write_flash(loader, [(image.offset + SECTOR_BYTES, rest), (image.offset, head)])
    _esptool().verify_flash(loader, [(image.offset, image.data)])


@contextmanager
def _errors(port: str) -> Iterator[None]:
    """Every foreign error becomes BoardLost here."""
    try:
        yield
    except (FatalError, OSError, termios.error, struct.error, LookupError, ValueError, TypeError) as error:
        # SerialException is an OSError; the last ones are esptool's and pyserial's, for answers that are none.
        raise BoardLost(f"{port}: {_words(error)}") from None


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return port_trouble.words(error) or (lines[0] if lines else type(error).__name__)


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
def _esptool() -> ModuleType:
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
