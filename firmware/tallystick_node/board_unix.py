"""A node on a computer: the link on stdin and stdout, flash in a folder, a cold room that is computed.

    TALLYSTICK_NODE_DIR      the node's flash (required)
    TALLYSTICK_INTERVAL_MS   between two readings (1000)
    TALLYSTICK_SEED          of the cold room (1)
    TALLYSTICK_EXCURSION     "start_s,duration_s" of uptime: the compressor fails, the door stands ajar
    TALLYSTICK_DOOR          1: there is a door switch, readings carry d
    TALLYSTICK_ACKS_DIR      where <kid hex>.jsonl gets a line for every reading that is acked
"""

import json
import os
import sys
import time

from tallystick_node import firmware, store
from tallystick_node.clock import Uptime
from tallystick_node.cold_room import ColdRoom
from tallystick_node.errors import NodeError, StorageError
from tallystick_node.files import Directory
from tallystick_node.link import StreamLink
from tallystick_node.sensor import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.cold_room import Excursion

DEFAULT_INTERVAL_MS = 1000
RESTART_AFTER_MS = 1000
SEGMENT_LIMIT = 1024  # 20,480 readings, about 4 MB: two weeks at one a minute


class UnixBoard:
    """See tallystick_node.board.Board."""

    def __init__(self) -> None:
        self.storage = Directory(_setting("TALLYSTICK_NODE_DIR"), [store.FOLDER])
        self.link = self.cable = StreamLink(sys.stdin.buffer, sys.stdout.buffer)
        self.interval_ms = int(os.getenv("TALLYSTICK_INTERVAL_MS") or DEFAULT_INTERVAL_MS)
        self.segment_limit = SEGMENT_LIMIT
        self.reset_cause = "power-on"  # to a node, a new process is a power-on
        here = __file__[: __file__.rindex("/")]
        self.firmware_hash = firmware.firmware_hash([here, here + "/../tallystick_wire"])
        self.random_bytes = os.urandom
        self._acks_folder = os.getenv("TALLYSTICK_ACKS_DIR") or ""
        self._power_on()

    def uptime_ms(self) -> int:
        return self._uptime.ms()

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

    def restart(self, error: Exception) -> None:
        sys.print_exception(error, sys.stderr)  # type: ignore[attr-defined]
        time.sleep(RESTART_AFTER_MS / 1000)
        self._power_on()

    def _power_on(self) -> None:
        self._uptime = Uptime(time.ticks_ms, time.ticks_diff)  # type: ignore[attr-defined]
        room = ColdRoom(int(os.getenv("TALLYSTICK_SEED") or 1), _excursion(os.getenv("TALLYSTICK_EXCURSION")))
        self.channels = [
            Channel("t", lambda: room.measure(self.uptime_ms()).temperature_centi_celsius, -4000, 12500),
            Channel("h", lambda: room.measure(self.uptime_ms()).humidity_percent, 0, 100, low_priority=True),
            Channel("b", lambda: room.measure(self.uptime_ms()).battery_mv, 0, 65535, low_priority=True),
        ]
        if os.getenv("TALLYSTICK_DOOR") == "1":
            self.channels.append(Channel("d", lambda: room.measure(self.uptime_ms()).door_open))


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
