"""One node's readings in one batch, packed: 25 bytes a reading instead of a row of its own."""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from tallystick_ledger.errors import StoreError

_ROW = struct.Struct(">IIB16s")


class Sighting(NamedTuple):
    """One reading: where it lies in its batch, its number, its verdict, and the first 16 bytes of its identity."""

    offset: int
    seq: int
    verdict: str
    link: bytes


# Codes are stored: append only.
VERDICTS = (
    "valid",
    "duplicate",
    "unknown key",
    "revoked",
    "bad signature",
    "fork",
    "unknown anchor",
    "malformed",
)
VALID, DUPLICATE, UNKNOWN_KEY, REVOKED, BAD_SIGNATURE, FORK, UNKNOWN_ANCHOR, MALFORMED = VERDICTS
_CODES = {verdict: code for code, verdict in enumerate(VERDICTS)}

# The signature holds: only these say something about the node's sequence numbers.
SIGNED = frozenset({VALID, DUPLICATE, REVOKED, FORK, UNKNOWN_ANCHOR})
# The first of its sequence number: a later one of the same number is a duplicate of it or a fork.
FIRST = frozenset({VALID, UNKNOWN_ANCHOR})

NO_KID = b""  # the segment of what is no reading at all
NO_LINK = bytes(16)


def pack(sightings: Iterable[Sighting]) -> bytes:
    return b"".join(_ROW.pack(item.offset, item.seq, _CODES[item.verdict], item.link) for item in sightings)


def unpack(data: bytes) -> list[Sighting]:
    """What pack wrote; StoreError otherwise."""
    if len(data) % _ROW.size:
        raise StoreError("a segment is cut")
    rows = []
    for offset, seq, code, link in _ROW.iter_unpack(data):
        if code >= len(VERDICTS):
            raise StoreError(f"a segment holds the verdict code {code}")
        rows.append(Sighting(offset, seq, VERDICTS[code], link))
    return rows


def span(sightings: Iterable[Sighting]) -> tuple[int | None, int | None]:
    """(first, last) sequence number of those whose signature holds; (None, None) for none."""
    numbers = [item.seq for item in sightings if item.verdict in SIGNED]
    return (min(numbers), max(numbers)) if numbers else (None, None)


def unknown(sightings: Iterable[Sighting]) -> int:
    return sum(item.verdict == UNKNOWN_KEY for item in sightings)
