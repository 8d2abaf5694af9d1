"""The seam to the hardware: what a board must offer, and which board this is.

Only modules named board may import `machine`, and they do so only on a real board.
"""

import sys

from tallystick_node import board_watchdog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from tallystick_node.files import Storage
    from tallystick_node.sensor import Channel
    from tallystick_node.sleep_state import RtcMemory
    from tallystick_node.slots import Slots

    class Link(Protocol):
        """Payloads to and from a host; no call but wait() blocks.

        What is not acked is sent again after `resend_after_ms`, or at once when `losses` has risen: then it is known
        that it may be lost.
        """

        resend_after_ms: int
        losses: int

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

        def log_in(self, kid: bytes, link_key: bytes) -> None:
            """Who this node is, once it is enrolled: a broker asks."""

        def is_up(self) -> bool:
            """Whether a payload sent now could reach somebody."""

    class Board(Protocol):
        """What the node needs of the world.

        `interval_ms` between two readings; a batch is stored when it has `batch_readings` of them or its oldest is
        `batch_ms` old; at most `segment_limit` segments fit the flash; `firmware_hash` is 8 bytes;
        `random_bytes` come from the true random source, for the node's key is made of them.
        A radio stays up `linger_ms` after the last word. A deep sleep lasts `shortest_sleep_ms` at least, and comes
        `listen_ms` after power-on or after a word on a link at the earliest.
        """

        interval_ms: int
        batch_readings: int
        batch_ms: int
        give_up_oldest: bool
        trial_ms: int
        linger_ms: int
        listen_ms: int
        shortest_sleep_ms: int
        segment_limit: int
        reset_cause: str
        firmware_hash: bytes

        @property
        def storage(self) -> Storage: ...

        @property
        def slots(self) -> Slots | None:
            """Where updates of the firmware go, made anew for whoever asks; None where there is no room for any."""

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

        @property
        def rtc_memory(self) -> RtcMemory | None:
            """What lasts over a deep sleep; None where there is no deep sleep worth it."""

        def uptime_ms(self) -> int:
            """Milliseconds since boot; never falls."""

        def sleep_clock_ms(self) -> int:
            """A clock that goes on over a deep sleep, from any beginning and perhaps not exact."""

        def go_on_from(self, uptime_ms: int) -> None:
            """After a deep sleep: that is the uptime now."""

        def deep_sleep(self, sleep_ms: int) -> None:
            """All but the RTC memory loses power, until the board starts again. Does not return on hardware."""

        def feed(self) -> None:
            """The hardware's watchdog, which the first call starts."""

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

        def reboot(self) -> None:
            """As if the power came back, for a configuration or firmware that holds from then on."""

        def restart(self, error: Exception) -> None:
            """After a failure: as if the power came back. May return, with the uptime at 0."""


LINGER_MS = 3000
LISTEN_MS = 60_000  # somebody who connects a cable and presses reset has a minute
SHORTEST_SLEEP_MS = 5000  # waking costs a second or two of work
BATCH_MS = 1_800_000  # half an hour: at a reading a minute the batch is full before
# Beside the firmware as it was flashed, two slots and an image, each some 75 blocks of 4 KB, LittleFS has room for:
SEGMENT_LIMIT = 96  # of the 352 blocks of a Pico: 1,920 readings, 32 hours at one a minute
SEGMENT_LIMIT_ESP32 = 192  # of the 512 of an ESP32 with 4 MB: 3,840 readings


def choose() -> "Board":
    """The board this interpreter runs on."""
    on_a_computer = sys.platform in ("linux", "darwin")
    if on_a_computer:
        from tallystick_node.board_unix import UnixBoard

        return UnixBoard()
    return MachineBoard()


class MachineBoard:
    """A microcontroller: link on its USB port, files on its flash, sensors as board_sensors lists them."""

    def __init__(self) -> None:
        import os
        import time

        import machine  # type: ignore[import-not-found]
        import micropython  # type: ignore[import-not-found]

        from tallystick_node import batch, board_radio, board_sensors, firmware, on_demand, segment, update_state
        from tallystick_node.clock import Uptime
        from tallystick_node.files import Directory
        from tallystick_node.link import StreamLink

        micropython.kbd_intr(-1)  # a byte 03 in a frame is no Ctrl-C
        self.storage = Directory("/tallystick", [segment.FOLDER])
        self._uptime = Uptime(time.ticks_ms, time.ticks_diff)  # type: ignore[attr-defined]
        self.cable = StreamLink(sys.stdin.buffer, sys.stdout.buffer)
        network = _text_of("/network.json")
        radio, heard = board_radio.link(network, self.uptime_ms, self.note, [sys.stdin.buffer])
        self.link: "Link" = radio or self.cable
        self.interval_ms = 60_000
        self.batch_readings = batch.MAX_BATCH_READINGS
        self.batch_ms = BATCH_MS
        self.give_up_oldest = False
        self.trial_ms = update_state.TRIAL_MS
        self.linger_ms, self.listen_ms, self.shortest_sleep_ms = LINGER_MS, LISTEN_MS, SHORTEST_SLEEP_MS
        # Who has a cable has power; and an RP2040 has no memory that lasts.
        sleeps = sys.platform == "esp32" and self.link is not self.cable
        self.rtc_memory = MachineRtcMemory(machine) if sleeps else None
        self._watchdog: "board_watchdog.Watchdog | None" = None
        self.segment_limit = SEGMENT_LIMIT_ESP32 if sys.platform == "esp32" else SEGMENT_LIMIT
        self.reset_cause = _reset_cause(machine)
        here = __file__[: __file__.rindex("/")] if "/" in __file__ else ""
        self.firmware_hash = firmware.firmware_hash([here, here + "/../tallystick_wire"])
        self.random_bytes = os.urandom
        self._machine = machine
        wired = board_sensors.wiring(sys.platform, _text_of("/wiring.json"))
        self.channels = board_sensors.channels(machine, wired) + heard
        self._light = machine.Pin(wired["light"], machine.Pin.OUT)
        on_demand.let_go(on_demand.START)

    @property
    def slots(self) -> "Slots":
        from tallystick_node import loader

        if sys.platform == "esp32":
            from tallystick_node import slots_partition

            partitions = slots_partition.here(loader.BOARD_FOLDER)
            if partitions is not None:
                return partitions
        from tallystick_node.slots import FileSlots

        return FileSlots(loader.BOARD_FOLDER)

    def uptime_ms(self) -> int:
        return self._uptime.ms()

    def sleep_clock_ms(self) -> int:
        """An ESP32 counts on while it sleeps; its firmware corrects the count at every start. Not run on hardware."""
        import time

        return time.time_ns() // 1_000_000

    def go_on_from(self, uptime_ms: int) -> None:
        self._uptime.go_on_from(uptime_ms)

    def deep_sleep(self, sleep_ms: int) -> None:
        self._machine.deepsleep(sleep_ms)

    def feed(self) -> None:
        if self._watchdog is None:
            self._watchdog = board_watchdog.start()
        self._watchdog.feed()

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

    def reboot(self) -> None:
        self._machine.reset()

    def restart(self, error: Exception) -> None:
        self._machine.reset()


class MachineRtcMemory:
    """sleep_state.RtcMemory of an ESP32: 2048 bytes. Not run on hardware."""

    def __init__(self, machine: "Any") -> None:
        self._rtc = machine.RTC()

    def get(self) -> bytes:
        return bytes(self._rtc.memory())

    def set(self, data: bytes) -> None:
        self._rtc.memory(data)


def _text_of(path: str) -> "str | None":
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


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
