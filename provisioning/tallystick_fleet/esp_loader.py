"""Put MicroPython onto a blank ESP32, through the loader in the chip's ROM.

Only a blank flash is written. The first sector, without which the chip starts nothing, comes last: a board on which the
writing stopped is blank again, and is simply done again. What holds a program is left alone, whoever wrote it: a node
that sleeps does not answer either. Only an Eraser changes that.
"""

from contextlib import suppress
from typing import Any

from tallystick_fleet import esp_erase, esp_tool
from tallystick_fleet.errors import FlashNotBlank, InterpreterError
from tallystick_fleet.esp_erase import Eraser
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.esp_tool import SECTOR_BYTES, Line


def install(line: Line, image: EspImage, eraser: Eraser | None = None) -> None:
    """Write `image` onto the blank chip, read back its hash, start it.

    LoaderSilent when no loader answers; BoardLost when it is gone; InterpreterError, before anything is written, when
    the image is for another chip, and FlashNotBlank when there is a program that no `eraser` erases. A flash that
    begins as the image does is taken for done.
    """

    def check(loader: Any) -> None:
        _check_chip(line.port, loader, image)

    def act(loader: Any) -> None:
        if eraser is not None and (eraser.anyway or not _is_free(loader, image)):
            esp_erase.erase(line.port, loader, eraser)
        if _is_wanted(line.port, loader, image):
            _write(loader, image)

    esp_tool.on_loader(line, check, act)


def could_become(found: bytes, wanted: bytes) -> bool:
    """Whether `found` is erased, or `wanted` in the making: writing to flash only clears bits."""
    return len(found) == len(wanted) and all(old & new == new for old, new in zip(found, wanted, strict=True))


def _check_chip(port: str, loader: Any, image: EspImage) -> None:
    if image.chip_id != loader.IMAGE_CHIP_ID:
        raise InterpreterError(f"{port}: this board is an {loader.CHIP_NAME}, {image.name} is for an {image.chip}")
    esp_tool.check_readable(port, loader)
    revision = loader.get_chip_revision()
    if not image.runs_on_revision(revision):
        raise InterpreterError(f"{port}: {image.name} does not run on this chip's revision, v{revision / 100:.2f}")


def _is_free(loader: Any, image: EspImage) -> bool:
    """Whether the flash is blank, or begins as the image does."""
    return could_become(loader.read_flash(image.offset, SECTOR_BYTES), image.data[:SECTOR_BYTES])


def _is_wanted(port: str, loader: Any, image: EspImage) -> bool:
    """Whether the flash is blank; False when it holds this image already; FlashNotBlank for another program."""
    head = image.data[:SECTOR_BYTES]
    found = loader.read_flash(image.offset, SECTOR_BYTES)
    if found == head:
        return False
    if not could_become(found, head):
        raise FlashNotBlank(
            f"{port}: the flash of this {loader.CHIP_NAME} is not blank; if what it holds may be lost, give --erase"
        )
    return True


def _write(loader: Any, image: EspImage) -> None:
    """esptool reads back the hash of each part as it goes; the whole is asked for once more, the head included.

    What does not read back loses its head again: a board that might start half of it is not taken for done.
    """
    head, rest = image.data[:SECTOR_BYTES], image.data[SECTOR_BYTES:]
    try:
        esp_tool.commands().write_flash(loader, [(image.offset + SECTOR_BYTES, rest), (image.offset, head)])
        esp_tool.commands().verify_flash(loader, [(image.offset, image.data)])
    except esp_tool.DAMAGED:
        with suppress(*esp_tool.DAMAGED):
            loader.erase_region(image.offset, SECTOR_BYTES)
        raise
