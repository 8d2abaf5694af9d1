"""Runs inside MicroPython: board.MachineBoard, with everything that it asks of a microcontroller made up.

    micropython made_up_board.py PLATFORM WIRING [NETWORK]

Its file system is a LittleFS in RAM, mounted at the root; its port is standard input and output; on its pins hang
emulated chips. PLATFORM is what sys.platform says there; WIRING and NETWORK the texts of /wiring.json, /network.json.
Its Wi-Fi joins a network that is called "here", hears it at -61 dBm, and finds no other.
"""

import os
import sys
import time

import vfs  # type: ignore[import-not-found]

from tallystick_emulators.flash_disk import FlashDisk
from tallystick_node import app, board, board_watchdog
from tallystick_node.emulated_i2c import EmulatedI2c, EmulatedSht3x
from tallystick_node.emulated_onewire import EmulatedDs18b20, EmulatedWire

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
    longest_ms = 8388  # of an RP2040; an ESP32 waits as long as anybody likes

    def __init__(self, timeout: int) -> None:
        if timeout > self.longest_ms:
            raise ValueError("this chip cannot wait so long")

    def feed(self) -> None:
        """Good."""


class Rtc:
    def __init__(self) -> None:
        self.kept = b""

    def memory(self, data: "bytes | None" = None) -> "bytes | None":
        if data is None:
            return self.kept
        self.kept = data
        return None


class Wlan:
    def __init__(self, kind: int) -> None:
        self.is_on = False
        self.joined = ""

    def active(self, on: "bool | None" = None) -> bool:
        self.is_on = self.is_on if on is None else on
        return self.is_on

    def isconnected(self) -> bool:
        return self.is_on and self.joined == "here"

    def connect(self, name: str, password: str) -> None:
        if not self.is_on:
            raise OSError
        self.joined = name

    def status(self, what: str) -> int:
        if what != "rssi":
            raise ValueError("unknown status param")
        if not self.isconnected():
            raise OSError
        return -61


class NetworkModule:
    STA_IF = 0
    WLAN = Wlan


class Machine:
    PWRON_RESET, HARD_RESET, WDT_RESET, SOFT_RESET, DEEPSLEEP_RESET = range(1, 6)
    Pin, ADC, WDT, RTC = Pin, ADC, Watchdog, Rtc
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


def mount(files: "dict[str, str]") -> None:
    disk = FlashDisk(BLOCK_BYTES, BLOCKS)
    vfs.VfsLfs2.mkfs(disk)
    vfs.umount("/")
    vfs.mount(vfs.VfsLfs2(disk), "/")
    for name in files:
        with open(name, "w") as file:
            file.write(files[name])


def main(platform: str, *files: str) -> None:
    import_everything()
    sys.modules["machine"] = Machine()  # type: ignore[assignment]
    sys.modules["network"] = NetworkModule()  # type: ignore[assignment]
    sys.modules["onewire"] = OneWireModule()  # type: ignore[assignment]
    if platform == "esp32":
        Watchdog.longest_ms = 0xFFFFFFFF
    board.sys = board_watchdog.sys = System(platform)  # type: ignore[assignment, attr-defined]
    mount({name: text for name, text in zip(("/wiring.json", "/network.json"), files)})  # noqa: B905,C416  MicroPython
    made = board.choose()
    made.interval_ms = INTERVAL_MS
    made.batch_readings = 1
    app.main(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
