"""Final verdicts, given in log order inside the sequencer's transaction.

A reading's verdict depends on what stands before it: its key's enrolment and revocation, and an earlier reading with
its number. So only here, where an entry gets its index, is a verdict final. Signatures are checked before: at the sync
door, or in `recheck` for readings whose node was enrolled since.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tallystick_ledger import batch as batches
from tallystick_ledger import judge, publications, segment
from tallystick_ledger.batch import Batch
from tallystick_ledger.db import Tx
from tallystick_ledger.directory import Keys
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.segment import FIRST, Sighting
from tallystick_proof import entry
from tallystick_proof.enrolment import EnrolledKey


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry with the index that it is about to get."""

    id: int
    index: int
    kind: int
    data: bytes


Rechecked = dict[tuple[bytes, int], list[Sighting]]  # (kid, batch id) -> its sightings, signatures checked


def recheck(ledger: Ledger, round_: Iterable[Placed]) -> Rechecked:
    """Check the signatures of readings that came as "unknown key" and whose node is enrolled at or in this round.

    What it reads cannot change any more: a batch is never altered, and none can be added below an entry that is
    already committed.
    """
    found: Rechecked = {}
    for item in round_:
        with ledger.db.read() as tx:
            wanted = _newly_known(tx, ledger, item)
        for kid, batch in wanted:
            found[kid, batch.id] = check_batch(ledger, batch).get(kid, [])
    return found


def check_batch(ledger: Ledger, batch: Batch) -> dict[bytes, list[Sighting]]:
    """kid -> sightings of a stored batch, with the keys known now."""
    return check_entries(ledger, batches.entries(ledger.blobs, batch))


def check_entries(ledger: Ledger, entries: list[bytes]) -> dict[bytes, list[Sighting]]:
    """kid -> sightings, as far as one can tell without their place in the log. Never inside a transaction."""
    found = judge.candidates(entries, ledger.trust.pen)
    anchors = {candidate.anchor for candidate in found if candidate.anchor is not None}
    with ledger.db.read() as tx:
        published = {anchor: publications.cited(tx, *anchor) is not None for anchor in anchors}
    return judge.check(found, ledger.keys.by_kid, published)


def settle(tx: Tx, ledger: Ledger, placed: Placed, rechecked: Rechecked) -> None:
    """Give the readings that this entry brings, or makes known, their final verdicts."""
    if placed.kind == entry.CHECKPOINT:
        batch = batches.by_entry(tx, placed.id)
        rows = [] if batch is None else tx.execute("SELECT kid, rows FROM segment WHERE batch = ?", [batch.id])
        for kid, packed in rows:
            if batch is not None:
                known = _enrolled_before(ledger.keys.by_kid(kid), placed.index)
                checked = rechecked.get((kid, batch.id)) if known else None
                _settle_segment(tx, ledger, kid, batch, placed.index, checked or segment.unpack(packed))
        return
    kid = _enrols(ledger, placed)
    if kid is None:
        return
    for batch_id, index, packed in _unknown_before(tx, kid, placed.id):
        _tally(tx, kid, segment.unpack(packed), -1)
        _settle_segment(tx, ledger, kid, batches.by_id(tx, batch_id), index, rechecked[kid, batch_id])


def _settle_segment(
    tx: Tx, ledger: Ledger, kid: bytes, batch: Batch, index: int, checked: list[Sighting]
) -> None:
    """Judge one node's readings in the batch that stands at `index`, and store the verdicts."""
    revoked = was_revoked(ledger.keys, kid, batch.gateway, index)
    final = settle_in_order(checked, revoked, _first_links(tx, kid, batch.id, checked))
    first_seq, last_seq = segment.span(final)
    tx.execute(
        "UPDATE segment SET first_seq = ?, last_seq = ?, unknown = ?, rows = ? WHERE kid = ? AND batch = ?",
        [first_seq, last_seq, segment.unknown(final), segment.pack(final), kid, batch.id],
    )
    _tally(tx, kid, final, 1)


def was_revoked(known: Keys, kid: bytes, gateway: bytes, index: int) -> bool:
    """Whether the node's key, or that of the gateway that vouches for when it came, was revoked before `index`."""
    return any(
        key is not None and key.revoked_index is not None and key.revoked_index < index
        for key in (known.by_kid(kid), known.by_thumbprint(gateway))
    )


def settle_in_order(checked: list[Sighting], revoked: bool, first_links: dict[int, bytes]) -> list[Sighting]:
    """The final verdicts of one node's readings in one batch. `first_links` (number -> link) grows with them."""
    final = []
    for sighting in checked:
        settled = judge.settle(sighting, revoked, first_links.get(sighting.seq))
        if settled.verdict in FIRST:
            first_links[settled.seq] = settled.link
        final.append(settled)
    return final


def _newly_known(tx: Tx, ledger: Ledger, placed: Placed) -> list[tuple[bytes, Batch]]:
    """The segments with unknown readings that can be judged now that `placed` has its place."""
    if placed.kind == entry.STATEMENT:
        kid = _enrols(ledger, placed)
        if kid is None:
            return []
        return [(kid, batches.by_id(tx, batch_id)) for batch_id, _, _ in _unknown_before(tx, kid, placed.id)]
    batch = batches.by_entry(tx, placed.id)
    if batch is None:
        return []
    # Admitted while the enrolment was on its way: not known at the door, but known at its place in the log.
    kids = [kid for (kid,) in tx.execute("SELECT kid FROM segment WHERE batch = ? AND unknown > 0", [batch.id])]
    return [(kid, batch) for kid in kids if _enrolled_before(ledger.keys.by_kid(kid), placed.index)]


def _enrols(ledger: Ledger, placed: Placed) -> bytes | None:
    """The kid of the node that this statement enrols, if it does."""
    key = ledger.keys.enrolled_at(placed.index)
    return key.kid if key is not None and judge.is_node_key(key) else None


def _unknown_before(tx: Tx, kid: bytes, entry_id: int) -> list[tuple[int, int, bytes]]:
    """(batch id, index, rows) of what came from this kid before the entry, in log order."""
    rows = tx.execute(
        "SELECT s.batch, e.idx, s.rows FROM segment s JOIN batch b ON b.id = s.batch JOIN entry e ON e.id = b.entry"
        " WHERE s.kid = ? AND s.unknown > 0 AND b.entry < ? ORDER BY s.batch",
        [kid, entry_id],
    )
    return [(batch_id, index, packed) for batch_id, index, packed in rows]


def _first_links(tx: Tx, kid: bytes, batch_id: int, sightings: list[Sighting]) -> dict[int, bytes]:
    """number -> link of the first reading with it in earlier batches, for the numbers that occur here."""
    first_seq, last_seq = segment.span(sightings)
    if first_seq is None:
        return {}
    rows = tx.execute(
        "SELECT rows FROM segment WHERE kid = ? AND last_seq >= ? AND first_seq <= ? AND batch < ?",
        [kid, first_seq, last_seq, batch_id],
    )
    wanted = {item.seq for item in sightings}
    return {
        item.seq: item.link
        for (packed,) in rows
        for item in segment.unpack(packed)
        if item.seq in wanted and item.verdict in FIRST
    }


def _enrolled_before(key: EnrolledKey | None, index: int) -> bool:
    return key is not None and key.enrolled_index < index


def _tally(tx: Tx, kid: bytes, sightings: list[Sighting], sign: int) -> None:
    counts: dict[str, int] = {}
    for item in sightings:
        counts[item.verdict] = counts.get(item.verdict, 0) + sign
    for verdict, count in counts.items():
        tx.execute(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [kid, verdict, count],
        )
