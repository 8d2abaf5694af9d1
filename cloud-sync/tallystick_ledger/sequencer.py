"""The sequencer: gives pending entries their indexes, in the order in which they were committed.

One round is one transaction: verdicts, tiles, indexes and the head, which moves by compare-and-swap. A crash anywhere
before its commit means that nothing happened, and the next round does the same again. Two sequencers on one database
compute the same round from the same rows; the one that commits second finds the head moved and drops its work.
"""

from tallystick_ledger import tree
from tallystick_ledger.db import Tx
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.settle import Placed, recheck, settle

MAX_ROUND = 64  # entries: with full batches about a second under the lock; more pending ones take another round


def sequence(ledger: Ledger) -> int:
    """Sequence everything that is pending; how many entries got an index."""
    total = 0
    while count := sequence_once(ledger):
        total += count
    return total


def sequence_once(ledger: Ledger) -> int:
    """One round; how many entries got an index: 0 when nothing is pending or another sequencer was faster."""
    with ledger.db.read() as tx:
        old = tree.head(tx)
        pending = _pending(tx, old.size)
        leaves = [bytes(leaf) for (leaf,) in _leaves(tx, pending)]
    ledger.keys.follow()  # also with nothing pending here: another process may have sequenced
    if not pending:
        return 0
    rechecked = recheck(ledger, pending)
    with ledger.db.transaction() as tx:
        if tree.head(tx) != old:
            return 0
        for placed in pending:
            tx.execute("UPDATE entry SET idx = ? WHERE id = ?", [placed.index, placed.id])
            settle(tx, ledger, placed, rechecked)
        new = tree.append(tx, old.size, leaves)
        tree.move_head(tx, old, new)
    # Durable. Publishing signs what stands here, never anything that is not.
    return len(pending)


def _pending(tx: Tx, size: int) -> list[Placed]:
    rows = tx.execute("SELECT id, kind, data FROM entry WHERE idx IS NULL ORDER BY id LIMIT ?", [MAX_ROUND])
    return [Placed(entry_id, size + position, kind, data) for position, (entry_id, kind, data) in enumerate(rows)]


def _leaves(tx: Tx, pending: list[Placed]) -> list[tuple[bytes]]:
    if not pending:
        return []
    rows = tx.execute("SELECT leaf FROM entry WHERE id BETWEEN ? AND ? ORDER BY id", [pending[0].id, pending[-1].id])
    return [(leaf,) for (leaf,) in rows]
