"""What consumers (finance, later trace) read: every statement and every reading once it is published, in log order.

A fact's place is (index, offset), and a cursor is the place of the last fact that was taken. A statement stands at
(its index, 0); a reading at (index of its gateway's checkpoint, leaf index in the gateway's tree). When a node is
enrolled after its readings came, they stand there as "unknown key", and once more, with the verdict that they have
since, behind the enrolment: at (index of the enrolment, 1), (..., 2), and so on. So a cursor never has to go back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from tallystick_ledger import batch as batches
from tallystick_ledger import publications
from tallystick_ledger.batch import Batch
from tallystick_ledger.db import Tx
from tallystick_ledger.errors import StoreError
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.segment import MALFORMED, NO_KID, UNKNOWN_KEY, Sighting, unpack
from tallystick_proof import entry, statement

READING = "reading"
START = (-1, 0)  # the cursor before the first fact

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fact:
    """One published fact. kind: "reading" or the statement's kind; data: the bare reading or statement.

    verdict: a reading's, None for statements. latest_ms: by then a quorum of witnesses had signed a tree that holds it
    (None: no quorum is asked for). A malformed reading's data may be anything.
    """

    index: int
    offset: int
    kind: str
    data: bytes
    verdict: str | None
    latest_ms: int | None

    @property
    def place(self) -> Place:
        return (self.index, self.offset)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A sequenced and published entry, and what its readings are found by."""

    id: int
    index: int
    kind: int
    data: bytes
    batch: Batch | None


def facts(ledger: Ledger, after: Place, limit: int) -> list[Fact]:
    """At most `limit` facts behind the place `after`, up to the published size; fewer than `limit` is the end.

    Opens its own short reads: never call it inside a transaction.
    """
    found: list[Fact] = []
    index = max(after[0], 0)
    while len(found) < limit:
        current = _published_entry(ledger, index)
        if current is None:
            break
        found += islice(_facts_at(ledger, current, after), limit - len(found))
        index += 1
    return found


def _published_entry(ledger: Ledger, index: int) -> _Entry | None:
    with ledger.db.read() as tx:
        if publications.covering(tx, index) is None:
            return None
        row = tx.one("SELECT id, idx, kind, data FROM entry WHERE idx = ?", [index])
        if row is None:
            raise StoreError(f"published entry {index} is missing")
        entry_id, found, kind, data = row
        return _Entry(entry_id, found, kind, data, batches.by_entry(tx, entry_id))


def _facts_at(ledger: Ledger, current: _Entry, after: Place) -> Iterator[Fact]:
    if current.kind == entry.STATEMENT:
        yield from _statement_facts(ledger, current, after)
    elif current.batch is not None:
        yield from _batch_facts(ledger, current.batch, after)


def _statement_facts(ledger: Ledger, current: _Entry, after: Place) -> Iterator[Fact]:
    """The statement, and behind an enrolment the earlier readings of its key."""
    parsed = statement.parse(current.data)
    if (current.index, 0) > after:
        with ledger.db.read() as tx:
            latest_ms = _latest_ms(tx, current.index)
        yield Fact(current.index, 0, parsed.kind, parsed.data, None, latest_ms)
    key = ledger.keys.enrolled_at(current.index)
    if key is None:
        return
    place = (current.index, 0)
    for batch, sightings in _earlier(ledger, key.kid, current.id):
        fresh = [(index, item) for index, item in enumerate(sightings, place[1] + 1) if (current.index, index) > after]
        if fresh:
            yield from _reading_facts(ledger, batch, [(current.index, index, item) for index, item in fresh])
        place = (current.index, place[1] + len(sightings))


def _earlier(ledger: Ledger, kid: bytes, entry_id: int) -> list[tuple[Batch, list[Sighting]]]:
    """What a key's readings were before it was enrolled, in log order."""
    with ledger.db.read() as tx:
        rows = tx.execute(
            "SELECT s.batch, s.rows FROM segment s JOIN batch b ON b.id = s.batch"
            " WHERE s.kid = ? AND b.entry < ? ORDER BY s.batch",
            [kid, entry_id],
        )
        return [(batches.by_id(tx, batch_id), unpack(packed)) for batch_id, packed in rows]


def _batch_facts(ledger: Ledger, batch: Batch, after: Place) -> Iterator[Fact]:
    """A batch's readings, with the verdict that stood when its checkpoint got its index."""
    if batch.index is None:
        raise StoreError(f"batch {batch.id} is published, but its checkpoint has no index")
    with ledger.db.read() as tx:
        rows = tx.execute("SELECT kid, rows FROM segment WHERE batch = ?", [batch.id])
    wanted = []
    for kid, packed in rows:
        key = ledger.keys.by_kid(kid)
        late = kid != NO_KID and (key is None or key.enrolled_index > batch.index)
        for item in unpack(packed):
            place = (batch.index, batch.first + item.offset)
            if place > after:
                wanted.append((*place, item._replace(verdict=UNKNOWN_KEY) if late else item))
    if wanted:
        yield from _reading_facts(ledger, batch, sorted(wanted))


def _reading_facts(ledger: Ledger, batch: Batch, wanted: list[tuple[int, int, Sighting]]) -> Iterator[Fact]:
    with ledger.db.read() as tx:
        latest_ms = _latest_ms(tx, batch.index or 0)
    contents = batches.entries(ledger.blobs, batch)
    for index, offset, item in wanted:
        data = contents[item.offset]
        if item.verdict != MALFORMED:
            body = entry.GatewayEntry.decode(data).body
            data = body if isinstance(body, bytes) else data
        yield Fact(index, offset, READING, data, item.verdict, latest_ms)


def _latest_ms(tx: Tx, index: int) -> int | None:
    published = publications.covering(tx, index)
    return published.latest_ms if published else None
