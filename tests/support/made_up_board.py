"""Runs inside MicroPython: board.MachineBoard, with everything that it asks of a microcontroller made up.

    micropython made_up_board.py PLATFORM WIRING

Its file system is a LittleFS in RAM, mounted at the root; its port is standard input and output; on its pins hang
emulated chips. PLATFORM is what sys.platform says there; WIRING the text of /wiring.json.
"""

import os
import sys
import time

import vfs  # type: ignore[import-not-found]

from tallystick_node import app, board
from tallystick_node.emulated_i2c import EmulatedI2c, EmulatedSht3x
from tallystick_node.emulated_onewire import EmulatedDs18b20, EmulatedWire
from tallystick_tools.flash_disk import FlashDisk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK_BYTES, BLOCKS = 4096, 64
INTERVAL_MS = 200
HERE = board.__file__[: board.__file__.rindex("/")]


def ticks_ms() -> int:
    return time.ticks_ms()  # type: ignore[attr-defined, no-any-return]


class Pin:
    IN, OUT, OPEN_DRAIN, PULL_UP = 0, 1, 2, 3
    IRQ_RISING, IRQ_FALLING = 4, 8

    def __init__(self, number: "Any", mode: "int | None" = None, pull: "int | None" = None) -> None:
        self.number = number
        self.level = 0

    def init(self, mode: int, pull: "int | None" = None, value: int = 0) -> None:
        self.level = value

    def value(self, level: "int | None" = None) -> int:
        if level is not None:
            self.level = level
        return self.level

    def irq(self, handler: "Any", trigger: int) -> None:
        if trigger != self.IRQ_RISING | self.IRQ_FALLING:
            raise ValueError


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin: Pin) -> None:
        self.pin = pin

    def atten(self, value: int) -> None:
        """An ESP32 has it."""

    def read_u16(self) -> int:
        return 23831


def i2c(number: int, sda: Pin, scl: Pin, freq: int) -> EmulatedI2c:
    return EmulatedI2c(EmulatedSht3x(lambda: (412, 70), ticks_ms))


class Watchdog:
    def __init__(self, timeout: int) -> None:
        if timeout > 8388:
            raise ValueError("an RP2040 cannot wait so long")

    def feed(self) -> None:
        """Good."""


class Machine:
    PWRON_RESET, HARD_RESET, WDT_RESET, SOFT_RESET, DEEPSLEEP_RESET = range(1, 6)
    Pin, ADC, WDT = Pin, ADC, Watchdog
    I2C = staticmethod(i2c)

    def reset_cause(self) -> int:
        return self.WDT_RESET

    def reset(self) -> None:
        raise SystemExit


class OneWireModule:
    @staticmethod
    def OneWire(pin: Pin) -> EmulatedWire:
        return EmulatedWire(EmulatedDs18b20(7, lambda: -1805, ticks_ms), EmulatedDs18b20(8, lambda: 300, ticks_ms))


class System:
    """What board.py knows as sys."""

    def __init__(self, platform: str) -> None:
        self.platform = platform
        self.stdin, self.stdout = sys.stdin, sys.stdout


def import_everything() -> None:
    """Later there is no file system of the computer any more."""
    for name in os.listdir(HERE):
        if name.endswith(".py") and name not in ("__init__.py", "board_unix.py"):
            __import__("tallystick_node." + name[:-3])


def mount(wiring: str) -> None:
    disk = FlashDisk(BLOCK_BYTES, BLOCKS)
    vfs.VfsLfs2.mkfs(disk)
    vfs.umount("/")
    vfs.mount(vfs.VfsLfs2(disk), "/")
    with open("/wiring.json", "w") as file:
        file.write(wiring)


def main(platform: str, wiring: str) -> None:
    import_everything()
    sys.modules["machine"] = Machine()  # type: ignore[assignment]
    sys.modules["onewire"] = OneWireModule()  # type: ignore[assignment]
    board.sys = System(platform)  # type: ignore[assignment, attr-defined]
    mount(wiring)
    made = board.choose()
    made.interval_ms = INTERVAL_MS
    made.batch_readings = 1
    app.main(made)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
