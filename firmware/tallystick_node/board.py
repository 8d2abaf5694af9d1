"""The seam to the hardware: what a board must offer, and which board this is.

The only module that may import `machine`, and it does so only on a real board.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from tallystick_node.files import Storage
    from tallystick_node.sensor import Channel

    class Link(Protocol):
        """Payloads to and from a host; no call but wait() blocks."""

        def receive(self) -> list[bytes]:
            """What has arrived."""

        def send(self, payload: bytes) -> bool:
            """All of it or nothing; False when the link does not take it now."""

        def wait(self, wait_ms: int) -> None:
            """Until something arrives, at most that long."""

        def counts(self) -> dict[str, int]:
            """Troubles by name, as they were counted since power-on."""

        def power(self, on: bool) -> None:
            """A radio goes up or down, in its own time; a cable ignores it."""

        def is_up(self) -> bool:
            """Whether a payload sent now could reach somebody."""

    class Board(Protocol):
        """What the node needs of the world.

        `interval_ms` between two readings; at most `segment_limit` segments fit the flash; `firmware_hash` is 8 bytes;
        `random_bytes` come from the true random source, for the node's key is made of them.
        """

        interval_ms: int
        segment_limit: int
        reset_cause: str
        firmware_hash: bytes

        @property
        def storage(self) -> Storage: ...

        @property
        def link(self) -> Link:
            """Where readings go: a cable or a radio."""

        @property
        def cable(self) -> Link:
            """Where enrolment comes from; the same object as `link` where there is no radio."""

        @property
        def random_bytes(self) -> Callable[[int], bytes]: ...

        @property
        def channels(self) -> list[Channel]:
            """What it measures, in the order of a reading's records."""

        def uptime_ms(self) -> int:
            """Milliseconds since boot; never falls."""

        def acked(self, kid: bytes, seq: int, identity: bytes) -> None:
            """A reading is durable at the gateway and about to be forgotten. Raises StorageError to keep it."""

        def identify(self) -> None:
            """Show a person which board this is."""

        def note(self, text: str) -> None:
            """One line for whoever watches the board."""

        def idle(self, wait_ms: int) -> None:
            """Until something arrives, at most that long."""

        def awake(self) -> bool:
            """False when the node should stop."""

        def restart(self, error: Exception) -> None:
            """After a failure: as if the power came back. May return, with the uptime at 0."""


def choose() -> "Board":
    """The board this interpreter runs on."""
    on_a_computer = sys.platform in ("linux", "darwin")
    if on_a_computer:
        from tallystick_node.board_unix import UnixBoard

        return UnixBoard()
    return MachineBoard()


class MachineBoard:
    """A microcontroller: link on its USB port, an SHT3x sensor on I2C, files on its flash.

    The numbers of the pins are those of a Raspberry Pi Pico; another board passes its own in main.py.
    """

    def __init__(self, i2c: int = 0, battery_pin: int = 29, divider: int = 3, light: "int | str" = "LED") -> None:
        import os
        import time

        import machine  # type: ignore[import-not-found]
        import micropython  # type: ignore[import-not-found]

        from tallystick_node import firmware, store
        from tallystick_node.clock import Uptime
        from tallystick_node.files import Directory
        from tallystick_node.link import StreamLink
        from tallystick_node.sensor import Channel
        from tallystick_node.sht3x import Sht3x

        micropython.kbd_intr(-1)  # a byte 03 in a frame is no Ctrl-C
        self.storage = Directory("/tallystick", [store.FOLDER])
        self.link = self.cable = StreamLink(sys.stdin.buffer, sys.stdout.buffer)
        self.interval_ms = 60_000
        self.segment_limit = 64  # 1280 readings in 512 KB of 4 KB blocks, a third of a Pico's file system
        self.reset_cause = _reset_cause(machine)
        here = __file__[: __file__.rindex("/")] if "/" in __file__ else ""
        self.firmware_hash = firmware.firmware_hash([here, here + "/../tallystick_wire"])
        self.random_bytes = os.urandom
        self._machine = machine
        battery = machine.ADC(battery_pin)
        self.channels = Sht3x(machine.I2C(i2c)).channels()
        self.channels.append(
            Channel("b", lambda: battery.read_u16() * 3300 * divider // 65535, 0, 65535, low_priority=True)
        )
        self._light = machine.Pin(light, machine.Pin.OUT)
        self._uptime = Uptime(time.ticks_ms, time.ticks_diff)  # type: ignore[attr-defined]

    def uptime_ms(self) -> int:
        return self._uptime.ms()

    def acked(self, kid: bytes, seq: int, identity: bytes) -> None:
        """Nobody looks into a board."""

    def identify(self) -> None:
        self._light.value(not self._light.value())

    def note(self, text: str) -> None:
        """The only port is the gateway's: a board is silent."""

    def idle(self, wait_ms: int) -> None:
        import gc

        gc.collect()  # between two readings, so that a segment of 4 KB still finds one piece of memory
        self.link.wait(wait_ms)

    def awake(self) -> bool:
        return True

    def restart(self, error: Exception) -> None:
        self._machine.reset()


def _reset_cause(machine: "Any") -> str:
    """The word for the boot record; ports name different sets of causes."""
    cause = machine.reset_cause()
    for name in ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "SOFT_RESET", "DEEPSLEEP_RESET"):
        if getattr(machine, name, None) == cause:
            return _CAUSES[name]
    return "unknown"


_CAUSES = {
    "PWRON_RESET": "power-on",
    "HARD_RESET": "hard",
    "WDT_RESET": "watchdog",
    "SOFT_RESET": "soft",
    "DEEPSLEEP_RESET": "deep-sleep",
}
