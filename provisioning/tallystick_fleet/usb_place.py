"""On which USB port something is plugged in, as Linux says it in /sys: the same for a drive and for the board that it
becomes, whatever numbers they show. Elsewhere, and for what is no USB device, nothing is known.
"""

import os
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/sys")
MAX_LEVELS = 32  # a device lies a dozen folders deep
# What the boot loader of every RP2040 shows: the chip has no number of its own. An RP2350 shows the chip's, which its
# MicroPython shows too.
NO_NUMBER = "E0C9125B0D9B"
_USB_DEVICE, _SERIAL = "idVendor", "serial"  # files in a USB device's folder


@dataclass(frozen=True, slots=True)
class UsbPlace:
    """`location`: bus and ports, like 1-1.3; `serial`: the device's number. Empty: not known."""

    location: str = ""
    serial: str = ""


UNKNOWN = UsbPlace()


def of_terminal(device: str, system: Path = SYSTEM) -> UsbPlace:
    """Of a serial port, like /dev/ttyACM0."""
    return _above(system / "class" / "tty" / Path(device).name / "device")


def of_folder(path: Path, system: Path = SYSTEM) -> UsbPlace:
    """Of the drive that is mounted there."""
    try:
        number = path.stat().st_dev
    except OSError:
        return UNKNOWN
    return _above(system / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}")


def _above(path: Path) -> UsbPlace:
    """The nearest USB device around a device."""
    try:
        here = path.resolve(strict=True)
        for folder in [here, *here.parents][:MAX_LEVELS]:
            if (folder / _USB_DEVICE).is_file():
                return UsbPlace(folder.name, _text(folder / _SERIAL))
    except (OSError, RuntimeError):  # it was pulled out while we looked
        pass
    return UNKNOWN


def _text(path: Path) -> str:
    try:
        number = path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    return "" if number == NO_NUMBER else number
