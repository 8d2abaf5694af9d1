"""Published checkpoints: which one proofs use, which one is newest, and what time they prove."""

from dataclasses import dataclass

from tallystick_ledger.db import Row, Tx

_SELECT = "SELECT size, hash, earliest_ms, latest_ms, note FROM publication"


@dataclass(frozen=True, slots=True)
class Publication:
    """A cosigned checkpoint. earliest_ms: not before; latest_ms: a quorum had signed by then (None: no quorum)."""

    size: int
    hash: bytes  # 16 bytes: what an anchor cites
    earliest_ms: int | None
    latest_ms: int | None
    note: bytes


def latest(tx: Tx) -> Publication | None:
    """The newest one, None before the first."""
    return _publication(tx.one(f"{_SELECT} ORDER BY id DESC LIMIT 1"))


def covering(tx: Tx, index: int) -> Publication | None:
    """The first one whose tree holds the leaf `index`: the one that every bundle uses for it."""
    return _publication(
        tx.one(f"{_SELECT} WHERE size > ? ORDER BY size, id LIMIT 1", [index])
    )


def cited(tx: Tx, size: int, hash16: bytes) -> Publication | None:
    """The first one of this size, when an anchor of [size, hash16] means it; None: no such checkpoint of this log."""
    if size >> 63:  # an anchor may name any 64-bit size, a column holds 63 bits
        return None
    found = _publication(tx.one(f"{_SELECT} WHERE size = ? ORDER BY id LIMIT 1", [size]))
    return found if found and found.hash == hash16 else None


def _publication(row: Row | None) -> Publication | None:
    return None if row is None else Publication(*row)
