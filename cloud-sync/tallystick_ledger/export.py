"""`cloud export readings`: every reading of the log once, as a CBOR sequence (RFC 8742) that any tool can read.

One item a reading: [ledger index, leaf index in the gateway's tree, received_ms | null, verdict, reading]. Of several
with one (kid, sequence number) only one is written: the one that counts as the first, or else the earliest.
"""

from collections.abc import Iterator

from tallystick_ledger import batch as batches
from tallystick_ledger.batch import Batch
from tallystick_ledger.db import Tx
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.segment import DUPLICATE, FIRST, FORK, MALFORMED, Sighting, unpack
from tallystick_proof.entry import GatewayEntry
from tallystick_wire import cbor

_PAGE = 100  # batches listed at a time
# Never the one to write: the first of its number is elsewhere, or it has none.
_NEVER = frozenset({DUPLICATE, FORK, MALFORMED})


def readings(ledger: Ledger) -> Iterator[bytes]:
    """The items of the sequence, encoded, in the order of the log."""
    written: set[tuple[bytes, int]] = set()  # only of those that are no firsts: rare
    for batch in _batches(ledger):
        with ledger.db.read() as tx:
            chosen = sorted(_chosen(tx, batch, written))
        if not chosen:
            continue
        contents = batches.entries(ledger.blobs, batch)
        for offset, verdict in chosen:
            decoded = GatewayEntry.decode(contents[offset])
            item = [batch.index, batch.first + offset, decoded.received_ms, verdict, decoded.body]
            yield cbor.encode(item)


def _batches(ledger: Ledger) -> Iterator[Batch]:
    last_id = 0
    while True:
        with ledger.db.read() as tx:
            ids = tx.execute(
                "SELECT b.id FROM batch b JOIN entry e ON e.id = b.entry"
                " WHERE b.id > ? AND e.idx IS NOT NULL ORDER BY b.id LIMIT ?",
                [last_id, _PAGE],
            )
            page = [batches.by_id(tx, batch_id) for (batch_id,) in ids]
        if not page:
            return
        yield from page
        last_id = page[-1].id


def _chosen(tx: Tx, batch: Batch, written: set[tuple[bytes, int]]) -> Iterator[tuple[int, str]]:
    """(offset, verdict) of what this batch contributes."""
    for kid, packed in tx.execute("SELECT kid, rows FROM segment WHERE batch = ?", [batch.id]):
        for item in unpack(packed):
            if item.verdict in FIRST or (item.verdict not in _NEVER and _is_only_one(tx, kid, item, written)):
                yield item.offset, item.verdict


def _is_only_one(tx: Tx, kid: bytes, item: Sighting, written: set[tuple[bytes, int]]) -> bool:
    """Whether nothing better has this number, and nothing equal was written before."""
    if (kid, item.seq) in written:
        return False
    rows = tx.execute(
        "SELECT rows FROM segment WHERE kid = ? AND last_seq >= ? AND first_seq <= ?", [kid, item.seq, item.seq]
    )
    if any(other.seq == item.seq and other.verdict in FIRST for (packed,) in rows for other in unpack(packed)):
        return False
    written.add((kid, item.seq))
    return True
