"""entry.py: leaves of both trees."""

from dataclasses import replace

import pytest

from tallystick_proof import entry, merkle
from tallystick_proof.entry import GatewayEntry, LedgerEntry
from tallystick_proof.errors import EntryError
from tallystick_wire import cbor

READING = GatewayEntry(entry.READING, 3, 1000, 1_700_000_000_000, entry.CLOCK_NTP, 50, "serial:0", b"\xd2\x84")
EVENT = replace(READING, kind=entry.EVENT, body=(entry.COSE, b"{}"))
NOTE = replace(READING, kind=entry.NOTE, received_ms=None, error_ms=None, body=(entry.NOTE_BOOT, cbor.Map([("a", 1)])))


@pytest.mark.parametrize("item", [READING, EVENT, NOTE])
def test_round_trip(item: GatewayEntry) -> None:
    assert GatewayEntry.decode(item.encode()) == item


def test_bytes_are_as_the_format_says() -> None:
    expected = cbor.encode([1, [3, 1000], 1_700_000_000_000, [2, 50], "serial:0", b"\xd2\x84"])
    assert READING.encode() == expected
    ledger = LedgerEntry(entry.CHECKPOINT, b"text")
    assert ledger.encode() == bytes.fromhex("82014474657874")
    assert ledger.leaf == merkle.leaf_hash(ledger.encode())
    assert LedgerEntry.decode(ledger.encode()) == ledger


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": 0}, "kind 1, 2 or 3"),
        ({"kind": True}, "kind 1, 2 or 3"),
        ({"boot": 0}, "gateway boot"),
        ({"boot": 2**32}, "gateway boot"),
        ({"mono_ms": -1}, "mono_ms"),
        ({"received_ms": 2**63}, "received_ms"),
        ({"received_ms": 1.5}, "received_ms"),
        ({"clock_state": 6}, "clock state"),
        ({"error_ms": -1}, "error_ms"),
        ({"source": ""}, "source"),
        ({"source": "x" * 129}, "source"),
        ({"body": "text"}, "byte string"),
        ({"kind": 2, "body": b"x"}, "array of 2"),
        ({"kind": 2, "body": (2, b"x")}, "event signature"),
        ({"kind": 2, "body": (0, "x")}, "byte string"),
        ({"kind": 3, "body": (0, cbor.Map([]))}, "note"),
        ({"kind": 3, "body": (6, cbor.Map([]))}, "note"),
        ({"kind": 3, "body": (1, [])}, "map"),
        ({"kind": 3, "body": (1, cbor.Map([]), 1)}, "array of 2"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(EntryError, match=message):
        replace(READING, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "items",
    [
        [1, [3, 1000], None, [2, 50], "x"],
        [1, [3, 1000], None, [2, 50], "x", b"", 0],
        [1, 3, None, [2, 50], "x", b""],
        [1, [3, 1000, 1], None, [2, 50], "x", b""],
        [1, [3, 1000], None, [2], "x", b""],
        "text",
    ],
)
def test_other_shapes_are_refused(items: object) -> None:
    with pytest.raises(EntryError):
        GatewayEntry.decode(cbor.encode(items))


def test_size_limit() -> None:
    room = entry.MAX_ENTRY_BYTES - len(replace(READING, body=b"").encode()) - 2  # a longer head for the body
    assert len(replace(READING, body=bytes(room)).encode()) == 65_535
    with pytest.raises(EntryError, match="65535"):
        replace(READING, body=bytes(room + 1)).encode()
    with pytest.raises(EntryError, match="65535"):
        GatewayEntry.decode(bytes(65_536))
    with pytest.raises(EntryError, match="65535"):
        LedgerEntry(entry.STATEMENT, bytes(65_535)).encode()


@pytest.mark.parametrize("item", [(0, b"x"), (3, b"x"), (True, b"x"), (1, b""), (1, "x")])
def test_other_ledger_entries_are_refused(item: tuple[int, bytes]) -> None:
    with pytest.raises(EntryError):
        LedgerEntry(*item)
    with pytest.raises(EntryError):
        LedgerEntry.decode(cbor.encode(list(item)))


def test_trailing_bytes_are_refused() -> None:
    for decode, good in ((GatewayEntry.decode, READING.encode()), (LedgerEntry.decode, LedgerEntry(1, b"x").encode())):
        with pytest.raises(EntryError, match="after the end"):
            decode(good + b"\0")
