"""Runs in MicroPython on the counting port: a board and a broker for a whole node.

The files lie in `port.flash`, outside the heap, as on a board. Of what the port lacks (time, json, select, socket, tls)
there is as much as the node needs to be imported and to talk to a broker, which answers from here. MicroPython subset.
"""

import builtins
import errno
import gc
import sys

import port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tallystick_node.board import Link
    from tallystick_node.sensor import Channel

BLOCK_BYTES = 4096  # a file takes one: none of these is larger
CERTIFICATE_BYTES = 700


class Flash:
    """files.Storage; like LittleFS it keeps names and content out of the heap as far as it can."""

    def __init__(self) -> None:
        self._memory = memoryview(port.flash())  # type: ignore[attr-defined]
        self._where: dict[str, tuple[int, int]] = {}  # name -> block, length
        self._free = list(range(len(self._memory) // BLOCK_BYTES))

    def read(self, name: str) -> bytes:
        block, length = self._find(name)
        return bytes(self._memory[block * BLOCK_BYTES : block * BLOCK_BYTES + length])

    def write(self, name: str, pieces: "list[bytes]") -> None:
        if name in self._where:
            self.remove(name)
        block, length = self._free.pop(), 0
        for piece in pieces:
            at = block * BLOCK_BYTES + length
            self._memory[at : at + len(piece)] = piece
            length += len(piece)
        self._where[name] = block, length

    def rename(self, old: str, new: str) -> None:
        found = self._find(old)
        if new in self._where:
            self.remove(new)
        del self._where[old]
        self._where[new] = found

    def remove(self, name: str) -> None:
        self._free.append(self._find(name)[0])
        del self._where[name]

    def names(self) -> "list[str]":
        return sorted(self._where)

    def _find(self, name: str) -> "tuple[int, int]":
        if name not in self._where:
            raise OSError(errno.ENOENT)
        return self._where[name]


class Broker:
    """Lets everybody in, takes every packet; `heard(payload)` answers what is published, or is silent."""

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
            answer = self.heard(packet[topic_end + 8 :])
            if answer is not None:
                self._out.append(b"\x30" + bytes([len(self.down) + 1 + len(answer)]) + self.down + b"\x00" + answer)
        elif kind == 12:
            self._out.append(b"\xd0\x00")
        return len(packet)

    def read(self, limit: int) -> "bytes | None":
        room = bytearray(limit)  # what a read takes, however little has arrived
        if self.is_lost:
            self.is_lost = False
            self._out.clear()
            return b""
        if not self._out:
            return None
        packet = self._out.pop(0)
        room[: len(packet)] = packet
        return bytes(room[: len(packet)])

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

    socket = SSLContext = __enter__ = itself

    def __exit__(self, *_: object) -> None:
        return None

    def wrap_socket(self, *_: object, **__: object) -> Broker:
        return self._broker

    def getaddrinfo(self, *_: object) -> "list[Any]":
        return [(2, 1, 0, "", b"")]

    def dumps(self, value: object) -> str:
        return str(value)

    def read(self, *_: object) -> bytes:
        return bytes(CERTIFICATE_BYTES)


class Silence:
    """The cable's streams: nobody is there."""

    def read(self, count: int) -> None:
        return None


def install(broker: Broker) -> None:
    """From here on `import time` and the others find something."""
    world = Everything(broker)
    for name in ("time", "json", "select", "socket", "tls"):
        sys.modules[name] = world  # type: ignore[assignment]
    builtins.open = world.itself  # type: ignore[assignment]


class Board:
    """board.Board, never asleep, as long as `goes_on()`. Time passes in idle only."""

    batch_readings = 20
    give_up_oldest = False
    interval_ms, batch_ms, trial_ms = 60_000, 1_800_000, 3_600_000
    linger_ms, listen_ms, shortest_sleep_ms = 3000, 60_000, 5000
    segment_limit = 96
    reset_cause = "power-on"
    firmware_hash = bytes(8)
    slots = None
    rtc_memory = None

    def __init__(self) -> None:
        self.storage = Flash()
        self.now_ms = 0
        self.acks = 0
        self.link: Link | None = None
        self.cable: Link | None = None
        self.channels: list[Channel] = []
        self.goes_on: Callable[[], bool] = lambda: False

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

    def restart(self, error: Exception) -> None:
        raise error
