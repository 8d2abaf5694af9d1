"""A board without hardware: files in a dictionary, the link as two lists. Tests stand on it, on either interpreter."""

import errno

from tallystick_node import sensor
from tallystick_node.errors import SensorError
from tallystick_node.files import ENOSPC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.files import Storage
    from tallystick_node.slots import Slots


class MemoryStorage:
    """files.Storage. While `full`, every write is refused."""

    def __init__(self) -> None:
        self.files: "dict[str, bytes]" = {}
        self.full = False

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise OSError(errno.ENOENT, name)
        return self.files[name]

    def write(self, name: str, pieces: "list[bytes]") -> None:
        if self.full:
            raise OSError(ENOSPC, name)
        self.files[name] = b"".join(pieces)

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)

    def remove(self, name: str) -> None:
        if name not in self.files:
            raise OSError(errno.ENOENT, name)
        del self.files[name]

    def names(self) -> "list[str]":
        return sorted(self.files)


class MemoryLink:
    """`arriving` payloads go to the node at once; `sent` are its payloads. While `full`, nothing goes out."""

    resend_after_ms = 2000
    losses = 0

    def __init__(self) -> None:
        self.arriving: "list[bytes]" = []
        self.sent: "list[bytes]" = []
        self.full = False
        self.dropped = 0
        self.up = True

    def receive(self) -> "list[bytes]":
        waiting, self.arriving = self.arriving, []
        return waiting

    def send(self, payload: bytes) -> bool:
        if self.full:
            self.dropped += 1
            return False
        self.sent.append(payload)
        return True

    def wait(self, wait_ms: int) -> None:
        """Time passes in the board."""

    def counts(self) -> "dict[str, int]":
        return {"link_dropped": self.dropped}

    def power(self, on: bool) -> None:
        self.up = on

    def log_in(self, kid: bytes, link_key: bytes) -> None:
        self.user = kid

    def is_up(self) -> bool:
        return self.up


class MemoryRtc:
    """sleep_state.RtcMemory."""

    def __init__(self) -> None:
        self.data = b""

    def get(self) -> bytes:
        return self.data

    def set(self, data: bytes) -> None:
        self.data = data


class MemoryBoard:
    """board.Board for `turns` turns of the loop. Time passes only in idle: one reading's interval a turn."""

    def __init__(self, turns: int = 0, storage: "Storage | None" = None) -> None:
        self.memory = MemoryStorage()
        self.storage: "Storage" = self.memory if storage is None else storage
        self.link = self.cable = MemoryLink()
        self.interval_ms = 100
        self.batch_readings = 1
        self.batch_ms = 60_000
        self.linger_ms = 1000
        self.listen_ms = 0
        self.shortest_sleep_ms = 50
        self.rtc_memory: "MemoryRtc | None" = None
        self.slept: "list[int]" = []  # how long each deep sleep was asked to be
        self.sleep_clock_ppm = 0  # the sleep clock is that much too slow
        self.feeds = 0
        self._slept_ms = 0
        self.give_up_oldest = False
        self.trial_ms = 60_000
        self.slots: "Slots | None" = None
        self.reboots = 0
        self.segment_limit = 1000
        self.reset_cause = "power-on"
        self.firmware_hash = bytes(8)
        self.turns = turns
        self.now_ms = 0
        self.randomness = 0
        self.sensor_works = True
        self.channels = [
            sensor.Channel("t", self.temperature, -4000, 12500),
            sensor.Channel("h", self.humidity, 0, 100, low_priority=True),
            sensor.Channel("b", self.battery, 0, 65535, low_priority=True),
        ]
        self.log: "list[tuple[int, bytes]]" = []  # (seq, identity) of every reading that was acked
        self.notes: "list[str]" = []
        self.lit = 0

    def power_cycle(self, turns: int = 0) -> None:
        """What RAM held is gone, the files are not."""
        self._slept_ms += self.now_ms
        self.now_ms = 0
        self.reset_cause = "power-on"
        self.turns = turns
        self.link = self.cable = MemoryLink()

    def true_ms(self) -> int:
        """Since the first power-on, sleeps and all: what no node can know."""
        return self._slept_ms + self.now_ms

    def sleep_clock_ms(self) -> int:
        return self.true_ms() - self.true_ms() * self.sleep_clock_ppm // 1_000_000

    def go_on_from(self, uptime_ms: int) -> None:
        self._slept_ms -= uptime_ms - self.now_ms
        self.now_ms = uptime_ms

    def deep_sleep(self, sleep_ms: int) -> None:
        """Only the files and the RTC memory are left when run() returns; waking is the test's."""
        self.slept.append(sleep_ms)
        self.turns = 0

    def feed(self) -> None:
        self.feeds += 1

    def wake(self, turns: int, late_ms: int = 0) -> None:
        """The last deep sleep is over."""
        slept_ms = self.slept[-1] + late_ms
        self.power_cycle(turns)
        self._slept_ms += slept_ms
        self.reset_cause = "deep-sleep"

    def random_bytes(self, count: int) -> bytes:
        self.randomness += 1
        return self.randomness.to_bytes(count, "big")

    def uptime_ms(self) -> int:
        return self.now_ms

    def temperature(self) -> int:
        if not self.sensor_works:
            raise SensorError(sensor.NO_ANSWER)
        return 512

    def humidity(self) -> int:
        return 70

    def battery(self) -> int:
        return 3600

    def acked(self, kid: bytes, seq: int, identity: bytes) -> None:
        self.log.append((seq, identity))

    def identify(self) -> None:
        self.lit += 1

    def note(self, text: str) -> None:
        self.notes.append(text)

    def idle(self, wait_ms: int) -> None:
        self.now_ms += self.interval_ms

    def awake(self) -> bool:
        self.turns -= 1
        return self.turns >= 0

    def reboot(self) -> None:
        self.reboots += 1

    def restart(self, error: Exception) -> None:
        raise error
