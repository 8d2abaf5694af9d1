"""The leaves of both trees, byte for byte: what a gateway logs, and what the ledger logs."""

from dataclasses import dataclass
from typing import Any

from tallystick_proof import merkle
from tallystick_proof.errors import EntryError
from tallystick_wire import cbor
from tallystick_wire.errors import CborError

MAX_ENTRY_BYTES = 65_535  # the uint16 length of C2SP tlog-tiles entry bundles
MAX_SOURCE_CHARACTERS = 128  # a link's name, as the gateway calls it
MAX_MS = 2**63 - 1  # every time in milliseconds fits a signed 64-bit column
MAX_GATEWAY_BOOT = 2**32 - 1

# Entry kinds of a gateway.
READING, EVENT, NOTE = 1, 2, 3
UNSIGNED, COSE = 0, 1  # how an event's body is signed

# Notes of a gateway: what it says about itself.
NOTE_BOOT, NOTE_CLOCK, NOTE_LINK, NOTE_GAP, NOTE_REFUSED = 1, 2, 3, 4, 5
NOTES = {NOTE_BOOT: "boot", NOTE_CLOCK: "clock", NOTE_LINK: "link", NOTE_GAP: "gap", NOTE_REFUSED: "refused"}

# How a gateway knows the time it writes as received_ms.
CLOCK_UNSYNCED, CLOCK_RTC, CLOCK_NTP, CLOCK_NTS, CLOCK_ROUGHTIME, CLOCK_GPS = range(6)
CLOCK_STATES = {
    CLOCK_UNSYNCED: "unsynced",
    CLOCK_RTC: "rtc",
    CLOCK_NTP: "ntp",
    CLOCK_NTS: "nts",
    CLOCK_ROUGHTIME: "roughtime",
    CLOCK_GPS: "gps",
}

# Entry kinds of the ledger.
CHECKPOINT, STATEMENT = 1, 2
LEDGER_KINDS = (CHECKPOINT, STATEMENT)

Body = bytes | tuple[int, bytes] | tuple[int, cbor.Map]


@dataclass(frozen=True, slots=True)
class GatewayEntry:
    """One leaf of a gateway's tree.

    `received_ms` and `error_ms` are only what the gateway says. body: kind 1 the bare reading; kind 2 (0 or 1, bytes);
    kind 3 (note, Map). The content of a body is not judged here: admission is not validity.
    """

    kind: int
    boot: int
    mono_ms: int
    received_ms: int | None
    clock_state: int
    error_ms: int | None
    source: str
    body: Body

    def __post_init__(self) -> None:
        _check_integer("gateway boot", self.boot, 1, MAX_GATEWAY_BOOT)
        _check_integer("mono_ms", self.mono_ms, 0, MAX_MS)
        if self.received_ms is not None:
            _check_integer("received_ms", self.received_ms, 0, MAX_MS)
        if self.error_ms is not None:
            _check_integer("error_ms", self.error_ms, 0, MAX_MS)
        _check_integer("clock state", self.clock_state, 0, max(CLOCK_STATES))
        if not isinstance(self.source, str) or not 0 < len(self.source) <= MAX_SOURCE_CHARACTERS:
            raise EntryError(f"source must be text of 1 to {MAX_SOURCE_CHARACTERS} characters")
        _check_body(self.kind, self.body)

    def encode(self) -> bytes:
        """The leaf's bytes; EntryError when they are more than MAX_ENTRY_BYTES."""
        clock = [self.clock_state, self.error_ms]
        items = [self.kind, [self.boot, self.mono_ms], self.received_ms, clock, self.source, self.body]
        return _encode(items)

    @classmethod
    def decode(cls, data: bytes) -> "GatewayEntry":
        """The entry whose one encoding is `data`; EntryError otherwise."""
        kind, time, received_ms, clock, source, body = _decode(data, 6)
        for field, value in (("time", time), ("clock", clock)):
            if not isinstance(value, list) or len(value) != 2:
                raise EntryError(f"{field} is an array of 2")
        body = tuple(body) if isinstance(body, list) else body
        return cls(kind, time[0], time[1], received_ms, clock[0], clock[1], source, body)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One leaf of the ledger's tree: kind 1 a gateway's checkpoint note, kind 2 a bare statement."""

    kind: int
    data: bytes

    def __post_init__(self) -> None:
        if isinstance(self.kind, bool) or self.kind not in LEDGER_KINDS:
            raise EntryError(f"a ledger entry is of kind {CHECKPOINT} or {STATEMENT}")
        if not isinstance(self.data, bytes) or not self.data:
            raise EntryError("a ledger entry holds bytes")

    def encode(self) -> bytes:
        """The leaf's bytes; EntryError when they are more than MAX_ENTRY_BYTES."""
        return _encode([self.kind, self.data])

    @classmethod
    def decode(cls, data: bytes) -> "LedgerEntry":
        """The entry whose one encoding is `data`; EntryError otherwise."""
        kind, content = _decode(data, 2)
        return cls(kind, content)

    @property
    def leaf(self) -> bytes:
        """The leaf hash, 32 bytes."""
        return merkle.leaf_hash(self.encode())


def _check_body(kind: object, body: object) -> None:
    if isinstance(kind, bool) or kind not in (READING, EVENT, NOTE):
        raise EntryError(f"a gateway entry is of kind {READING}, {EVENT} or {NOTE}")
    if kind == READING:
        if not isinstance(body, bytes):
            raise EntryError("the body of a reading is a byte string")
        return
    if not isinstance(body, tuple) or len(body) != 2:
        raise EntryError("the body of an event or a note is an array of 2")
    if kind == EVENT:
        _check_integer("event signature", body[0], UNSIGNED, COSE)
        if not isinstance(body[1], bytes):
            raise EntryError("an event is a byte string")
    else:
        _check_integer("note", body[0], min(NOTES), max(NOTES))
        if not isinstance(body[1], cbor.Map):
            raise EntryError("what a note says is a map")


def _check_integer(field: str, value: object, lowest: int, highest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise EntryError(f"{field} must be an integer from {lowest} to {highest}")


def _encode(items: list[Any]) -> bytes:
    try:
        data = cbor.encode(items)
    except CborError as error:
        raise EntryError(f"entry: {error}") from None
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryError(f"an entry is at most {MAX_ENTRY_BYTES} bytes")
    return data


def _decode(data: bytes, count: int) -> list[Any]:
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryError(f"an entry is at most {MAX_ENTRY_BYTES} bytes")
    try:
        items = cbor.decode(data)
    except CborError as error:
        raise EntryError(f"entry: {error}") from None
    if not isinstance(items, list) or len(items) != count:
        raise EntryError(f"an entry is an array of {count}")
    return items
