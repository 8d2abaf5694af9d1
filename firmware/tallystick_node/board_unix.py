"""A node on a computer: the link on stdin and stdout, flash in a folder, a cold room that is computed.

    TALLYSTICK_NODE_DIR      the node's flash (required)
    TALLYSTICK_INTERVAL_MS   between two readings (1000)
    TALLYSTICK_BATCH         readings that are stored and sent together (1)
    TALLYSTICK_BATCH_MS      what the oldest of them waits at most (60000)
    TALLYSTICK_DEEP_SLEEP    1: to sleep, the process ends with code 42; unix_node starts it again
    TALLYSTICK_RTC_FILE      with it: what lasts over a deep sleep; FILE.sleep says for how long
    TALLYSTICK_RESET         why this process starts ("power-on"); "deep-sleep" after a deep sleep
    TALLYSTICK_LISTEN_MS     how long nobody sleeps after power-on or a word on a link (1000)
    TALLYSTICK_SLEEP_PPM     by so much the clock that goes on over a deep sleep is too slow (0)
    TALLYSTICK_LINGER_MS     how long a radio stays up after the last word (60000)
    TALLYSTICK_SEED          of the cold room (1)
    TALLYSTICK_EXCURSION     "start_s,duration_s" of uptime: the compressor fails, the door stands ajar
    TALLYSTICK_SENSORS       what hangs in it, of room_sensors.SENSORS ("sht3x battery")
    TALLYSTICK_FAULT         "kind,start_s,duration_s" of uptime: the sensors have that fault, of room_sensors.FAULTS
    TALLYSTICK_DOOR          1: there is a door switch, readings carry d
    TALLYSTICK_MQTT          "host:port" of a broker that carries the readings; the cable stays for everything else
    TALLYSTICK_MQTT_CA       file with the certificate of the authority that vouches for the broker
    TALLYSTICK_RADIO_DBM     how strongly its radio hears the network, from -120 to -1; without it readings carry no rs
    TALLYSTICK_SLOTS_DIR     where updates of the firmware go (nowhere: they are refused)
    TALLYSTICK_TRIAL_MS      how long new firmware has to prove itself (an hour)
    TALLYSTICK_WATCHDOG_MS   and _FILE: see board_watchdog
    TALLYSTICK_ACKS_DIR      where <kid hex>.jsonl gets a line for every reading that is acked
"""

import json
import os
import sys
import time

from tallystick_node import board_watchdog, firmware, loader, room_sensors, segment, update_state
from tallystick_node.clock import Uptime
from tallystick_node.cold_room import ColdRoom
from tallystick_node.errors import NodeError, StorageError
from tallystick_node.files import Directory
from tallystick_node.link import StreamLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.board import Link
    from tallystick_node.cold_room import Excursion
    from tallystick_node.room_sensors import Fault
    from tallystick_node.slots import Slots

DEFAULT_INTERVAL_MS = 1000
RESTART_AFTER_MS = 1000
DEFAULT_BATCH_READINGS = 1  # a demo should be lively; a computer's disk does not wear
DEFAULT_BATCH_MS = 60_000
DEFAULT_LINGER_MS = 60_000  # it costs nothing here, and what the gateway has to say comes at once
DEFAULT_LISTEN_MS = 1000
SHORTEST_SLEEP_MS = 200
READING_LIMIT = 20_480  # about 4 MB: two weeks at one a minute


class UnixBoard:
    """See tallystick_node.board.Board."""

    def __init__(self) -> None:
        self.storage = Directory(_setting("TALLYSTICK_NODE_DIR"), [segment.FOLDER])
        self.cable = StreamLink(sys.stdin.buffer, sys.stdout.buffer)
        self.link = self._radio() or self.cable
        self.interval_ms = int(os.getenv("TALLYSTICK_INTERVAL_MS") or DEFAULT_INTERVAL_MS)
        self.batch_readings = int(os.getenv("TALLYSTICK_BATCH") or DEFAULT_BATCH_READINGS)
        self.batch_ms = int(os.getenv("TALLYSTICK_BATCH_MS") or DEFAULT_BATCH_MS)
        self.give_up_oldest = False
        self.trial_ms = int(os.getenv("TALLYSTICK_TRIAL_MS") or update_state.TRIAL_MS)
        self.segment_limit = READING_LIMIT // max(1, self.batch_readings)
        self.reset_cause = os.getenv("TALLYSTICK_RESET") or "power-on"  # to a node, a new process is a power-on
        self.linger_ms = int(os.getenv("TALLYSTICK_LINGER_MS") or DEFAULT_LINGER_MS)
        self.listen_ms = int(os.getenv("TALLYSTICK_LISTEN_MS") or DEFAULT_LISTEN_MS)
        self.shortest_sleep_ms = SHORTEST_SLEEP_MS
        sleeps = os.getenv("TALLYSTICK_DEEP_SLEEP") == "1"
        self.rtc_memory = RtcFile(_setting("TALLYSTICK_RTC_FILE")) if sleeps else None
        self._sleep_clock_ppm = int(os.getenv("TALLYSTICK_SLEEP_PPM") or 0)
        here = __file__[: __file__.rindex("/")]
        self.firmware_hash = firmware.firmware_hash([here, here + "/../tallystick_wire"])
        self.random_bytes = os.urandom
        self._acks_folder = os.getenv("TALLYSTICK_ACKS_DIR") or ""
        self._watchdog: "board_watchdog.Watchdog | None" = None
        self._power_on()

    @property
    def slots(self) -> "Slots | None":
        if not loader.folder():
            return None
        from tallystick_node.slots import FileSlots

        return FileSlots(loader.folder())

    def uptime_ms(self) -> int:
        return self._uptime.ms()

    def sleep_clock_ms(self) -> int:
        now_ms = time.time_ns() // 1_000_000
        return now_ms - now_ms * self._sleep_clock_ppm // 1_000_000

    def go_on_from(self, uptime_ms: int) -> None:
        self._uptime.go_on_from(uptime_ms)

    def deep_sleep(self, sleep_ms: int) -> None:
        with open(_setting("TALLYSTICK_RTC_FILE") + ".sleep", "w") as file:
            file.write(str(sleep_ms))
        self.reboot()

    def feed(self) -> None:
        if self._watchdog is None:
            self._watchdog = board_watchdog.start()
        self._watchdog.feed()

    def acked(self, kid: bytes, seq: int, identity: bytes) -> None:
        if not self._acks_folder:
            return
        line = json.dumps({"seq": seq, "identity": identity.hex()}) + "\n"
        try:
            with open(self._acks_folder + "/" + kid.hex() + ".jsonl", "a") as file:
                file.write(line)
        except OSError as error:
            raise StorageError("acks log: %s" % error) from None

    def identify(self) -> None:
        """A computer has no light; the inbox counts."""

    def note(self, text: str) -> None:
        sys.stderr.write(text + "\n")

    def idle(self, wait_ms: int) -> None:
        self.link.wait(wait_ms)

    def awake(self) -> bool:
        """Until whoever holds the other end of the link is gone."""
        return not self.cable.hung_up

    def reboot(self) -> None:
        sys.exit(loader.RESTART_CODE)

    def restart(self, error: Exception) -> None:
        sys.print_exception(error, sys.stderr)  # type: ignore[attr-defined]
        time.sleep(RESTART_AFTER_MS / 1000)
        if loader.folder():
            self.reboot()  # the loader must see it: firmware on trial has one boot
        self._power_on()

    def _radio(self) -> "Link | None":
        broker = os.getenv("TALLYSTICK_MQTT")
        if not broker:
            return None
        from tallystick_node import mqtt_link  # only who has a broker pays for it

        host, port = mqtt_link.address(broker)
        ca = _setting("TALLYSTICK_MQTT_CA")
        return mqtt_link.MqttLink(host, port, ca, self.uptime_ms, self.note, others=[sys.stdin.buffer])

    def _power_on(self) -> None:
        self._uptime = Uptime(time.ticks_ms, time.ticks_diff)  # type: ignore[attr-defined]
        room = ColdRoom(int(os.getenv("TALLYSTICK_SEED") or 1), _excursion(os.getenv("TALLYSTICK_EXCURSION")))
        names = (os.getenv("TALLYSTICK_SENSORS") or room_sensors.USUAL).split()
        if os.getenv("TALLYSTICK_DOOR") == "1" and "door" not in names:
            names.append("door")
        fault = _fault(os.getenv("TALLYSTICK_FAULT"))
        self.channels = room_sensors.RoomSensors(room, self.uptime_ms, names, fault).channels
        heard = os.getenv("TALLYSTICK_RADIO_DBM")
        if heard:
            from tallystick_node import board_radio

            self.channels.append(board_radio.strength(lambda: int(heard)))


def _setting(name: str) -> str:
    value = os.getenv(name)
    if not value:
        raise NodeError("the environment variable %s is not set" % name)
    return value


def _excursion(text: "str | None") -> "Excursion | None":
    """(start_ms, duration_ms) of "start_s,duration_s"; None for nothing."""
    if not text:
        return None
    start_s, duration_s = text.split(",")
    return int(float(start_s) * 1000), int(float(duration_s) * 1000)


def _fault(text: "str | None") -> "Fault | None":
    """(kind, start_ms, duration_ms) of "kind,start_s,duration_s"; None for nothing."""
    if not text:
        return None
    kind, start_s, duration_s = text.split(",")
    return kind, int(float(start_s) * 1000), int(float(duration_s) * 1000)


class RtcFile:
    """sleep_state.RtcMemory in a file: no flash. Whoever cuts the power deletes it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                return file.read()
        except OSError:
            return b""

    def set(self, data: bytes) -> None:
        with open(self._path, "wb") as file:
            file.write(data)
