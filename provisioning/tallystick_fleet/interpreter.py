"""MicroPython itself, as a file for blank boards: an ESP32's .bin, a Pico's .uf2. Checked before a board is touched."""

from pathlib import Path

from tallystick_fleet import esp_image, esp_tool, uf2_image
from tallystick_fleet.errors import InterpreterError
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_provisioning.errors import FileError

MAX_FILE_BYTES = 8 * 1024 * 1024  # MicroPython has 2 MB; a UF2 file is twice as long as what it carries
Interpreter = EspImage | Uf2Image


def load(path: Path) -> Interpreter:
    """The interpreter in the file; FileError when it cannot be read, InterpreterError when it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    return parse(str(path), data)


def parse(name: str, data: bytes) -> Interpreter:
    """The interpreter in `data`, of whichever kind."""
    if len(data) > MAX_FILE_BYTES:
        raise InterpreterError(f"{name}: more than {MAX_FILE_BYTES} bytes: this is no interpreter")
    if data.startswith(uf2_image.MAGIC):
        return uf2_image.parse(name, data)
    if data[:1] != bytes([esp_image.MAGIC]):
        raise InterpreterError(f"{name}: neither an ESP32's .bin (begins with {esp_image.MAGIC:#x}) nor a .uf2 file")
    number = esp_image.chip_id(name, data)
    chip = esp_tool.chip(number)
    if chip is None:
        raise InterpreterError(f"{name}: for chip number {number}, which esptool does not know")
    return esp_image.parse(name, data, chip.name, chip.offset)


def in_words(interpreter: Interpreter) -> str:
    """For --dry-run."""
    chip = interpreter.chip if isinstance(interpreter, EspImage) else interpreter.family.name
    return f"{interpreter.name}: for {chip}, {len(interpreter.data)} bytes"
