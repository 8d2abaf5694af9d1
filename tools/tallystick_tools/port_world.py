"""Runs in MicroPython on the counting port: a board and a broker for a whole node.

Of what the port lacks (time, json, select, socket, tls, and by port_files os) there is as much as the node needs to be
imported and to talk to a broker, which answers from here. MicroPython subset.
"""

import builtins
import gc
import sys

from tallystick_tools.port_files import Disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tallystick_node.board import Link
    from tallystick_node.sensor import Channel
    from tallystick_node.slots import FileSlots

CERTIFICATE, CERTIFICATE_BYTES = "/ca.crt", 700
SLOTS = "/slots"


class Broker:
    """Lets everybody in, takes every packet; `heard(payload)` is told what is published, publish() answers."""

    def __init__(self) -> None:
        self.heard: Any = None
        self.down = b""  # the topic that the node hears
        self.is_lost = False
        self._out: list[bytes] = []

    def write(self, packet: bytes) -> int:
        kind, at = packet[0] >> 4, 2 if packet[1] < 0x80 else 3
        if kind == 1:
            self._out.append(b"\x20\x03\x00\x00\x00")
        elif kind == 8:
            self.down = packet[at + 3 : -1]
            self._out.append(b"\x90\x04" + packet[at : at + 2] + b"\x00\x00")
        elif kind == 3:
            topic_end = at + 2 + int.from_bytes(packet[at : at + 2], "big")
            self._out.append(b"\x40\x02" + packet[topic_end : topic_end + 2])
            self.heard(packet[topic_end + 8 :])
        elif kind == 12:
            self._out.append(b"\xd0\x00")
        return len(packet)

    def publish(self, payload: bytes) -> None:
        length = len(self.down) + 1 + len(payload)
        head = bytes([0x30, length & 0x7F | 0x80, length >> 7])
        self._out.append(b"".join([head, self.down, b"\x00", payload]))

    def read(self, limit: int) -> "bytes | None":
        room = bytearray(limit)  # what a read takes, however little has arrived
        if self.is_lost:
            self.is_lost = False
            self._out.clear()
            return b""
        if not self._out:
            return None
        length = 0
        while self._out and length + len(self._out[0]) <= limit:
            packet = self._out.pop(0)
            room[length : length + len(packet)] = packet
            length += len(packet)
        return bytes(room[:length])

    def close(self) -> None:
        self._out.clear()


class Everything:
    """What connects, polls, waits and opens, and does nothing of it."""

    POLLIN, POLLOUT, POLLERR, POLLHUP, SOCK_STREAM = 1, 4, 8, 16, 1
    PROTOCOL_TLS_CLIENT, CERT_REQUIRED = 0, 2

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def poll(self, *_: object) -> "Any":
        return self if not _ else [(self, self.POLLOUT)]

    def nothing(self, *_: object, **__: object) -> None:
        return None

    register = unregister = modify = setblocking = connect = close = load_verify_locations = nothing
    sleep_ms = sleep_us = nothing

    def itself(self, *_: object) -> "Everything":
        return self

    socket = SSLContext = itself

    def wrap_socket(self, *_: object, **__: object) -> Broker:
        return self._broker

    def getaddrinfo(self, *_: object) -> "list[Any]":
        return [(2, 1, 0, "", b"")]

    def dumps(self, value: object) -> str:
        return str(value)


class Silence:
    """The cable's streams: nobody is there."""

    def read(self, count: int) -> None:
        return None


def install(broker: Broker) -> None:
    """From here on `import time` and the others find something."""
    world = Everything(broker)
    for name in ("time", "json", "select", "socket", "tls"):
        sys.modules[name] = world  # type: ignore[assignment]
    disk = Disk()
    sys.modules["os"] = disk  # type: ignore[assignment]
    builtins.open = disk.open  # type: ignore[assignment]
    for folder in ("/tallystick", "/tallystick/s", SLOTS):
        disk.mkdir(folder)
    disk.open(CERTIFICATE, "wb").write(bytes(CERTIFICATE_BYTES))


class Board:
    """board.Board, never asleep, as long as `goes_on()`. Time passes in idle only."""

    batch_readings = 20
    give_up_oldest = False
    interval_ms, batch_ms, trial_ms = 60_000, 1_800_000, 3_600_000
    linger_ms, listen_ms, shortest_sleep_ms = 3000, 60_000, 5000
    segment_limit = 96
    reset_cause = "power-on"
    firmware_hash = bytes(8)
    rtc_memory = None

    def __init__(self) -> None:
        from tallystick_node.files import Directory

        self.storage = Directory("/tallystick", ["s"])
        self.now_ms = 0
        self.acks = 0
        self.link: Link | None = None
        self.cable: Link | None = None
        self.channels: list[Channel] = []
        self.goes_on: Callable[[], bool] = lambda: False

    @property
    def slots(self) -> "FileSlots":
        from tallystick_node.slots import FileSlots

        return FileSlots(SLOTS)

    def random_bytes(self, count: int) -> bytes:
        return bytes(count)

    def uptime_ms(self) -> int:
        return self.now_ms

    def sleep_clock_ms(self) -> int:
        return self.now_ms

    def feed(self) -> None:
        """No watchdog."""

    def acked(self, kid: bytes, seq: int, identity: bytes) -> None:
        self.acks += 1

    def identify(self) -> None:
        """No light."""

    def note(self, text: str) -> None:
        """As on a board."""

    def idle(self, wait_ms: int) -> None:
        gc.collect()  # as on a board
        self.now_ms += max(10, wait_ms)

    def awake(self) -> bool:
        return self.goes_on()

    def reboot(self) -> None:
        """The life ends here."""

    def restart(self, error: Exception) -> None:
        raise error
