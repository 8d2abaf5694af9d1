"""What the node keeps in RTC memory over a deep sleep, and when that may be believed.

A wake is no boot: numbers, uptime, anchors and the batch go on where they were. Memory that is torn, of another key or
boot, or behind what is on flash is not believed; then it is a boot like any other, and what was in the batch is lost
and declared. What was read is cleared at once, before anything is done with it: the same sleep never ends twice.
"""

import binascii

from tallystick_wire import cbor
from tallystick_wire.errors import CborError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class RtcMemory(Protocol):
        """Memory that lasts over a deep sleep and not over a power cut."""

        def get(self) -> bytes: ...
        def set(self, data: bytes) -> None: ...


MAX_SLEEP_STATE_BYTES = 2048  # of RTC memory on an ESP32
LONGEST_SLEEP_MS = 86_400_000  # and a sleep clock that says more was set by somebody
VERSION = 1
_CRC_BYTES = 4


class SleepState:
    """`uptime_ms` and `counted_ms`: both clocks when the board fell asleep. `parts`: what each part of a node saves."""

    __slots__ = ("boot", "clock", "counted_ms", "kid", "newest_seq", "next_reading_ms", "parts", "uptime_ms")

    def __init__(
        self,
        kid: bytes,
        boot: int,
        newest_seq: int,
        uptime_ms: int,
        counted_ms: int,
        clock: "list[int]",
        next_reading_ms: int,
        parts: "list[Any]",
    ) -> None:
        self.kid = kid
        self.boot = boot
        self.newest_seq = newest_seq  # on flash
        self.uptime_ms = uptime_ms
        self.counted_ms = counted_ms
        self.clock = clock
        self.next_reading_ms = next_reading_ms
        self.parts = parts

    def belongs_to(self, kid: bytes, boot: int, newest_seq: int, counted_ms: int) -> bool:
        """Whether it is of this key and boot, with nothing newer on flash, and a plausible sleep ago."""
        if (self.kid, self.boot, self.newest_seq) != (kid, boot, newest_seq):
            return False
        return 0 <= counted_ms - self.counted_ms <= 2 * LONGEST_SLEEP_MS


def encode(state: SleepState) -> "bytes | None":
    """None when the memory is too small for it: then the batch must go to flash first."""
    fields: "list[Any]" = [VERSION]
    fields += [getattr(state, name) for name in _FIELDS]
    data = cbor.encode(fields)
    data += _crc(data)
    return data if len(data) <= MAX_SLEEP_STATE_BYTES else None


def decode(data: bytes) -> "SleepState | None":
    """None when it is not whole."""
    body = data[:-_CRC_BYTES]
    if len(data) <= _CRC_BYTES or data[-_CRC_BYTES:] != _crc(body):
        return None
    try:
        version, *fields = cbor.decode(body)
    except CborError:
        return None
    return SleepState(*fields) if version == VERSION and len(fields) == len(_FIELDS) else None


_FIELDS = ("kid", "boot", "newest_seq", "uptime_ms", "counted_ms", "clock", "next_reading_ms", "parts")


def _crc(data: bytes) -> bytes:
    return (binascii.crc32(data) & 0xFFFFFFFF).to_bytes(_CRC_BYTES, "big")
