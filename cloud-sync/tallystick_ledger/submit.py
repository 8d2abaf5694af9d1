"""The one way into the log. Everything that the ledger will ever hold passes `submit`, in its caller's transaction.

    POST /entries --> admit --------+
    POST .../sync --> sync_door ----+--> submit(tx) --> entry (pending) --> sequencer: index, tiles, head --> publish
    finance decisions --------------+        |
                                             +-- the caller's own rows, in the same transaction

There is one commit point: when the transaction that held `submit` is durable, the entry's place in the log is fixed,
and the caller's rows with it. Nothing is lost that was answered, and nothing is logged that was not committed.
"""

from tallystick_ledger.db import Tx
from tallystick_ledger.errors import Conflict, Malformed
from tallystick_proof import entry, statement
from tallystick_proof.errors import EntryError, StatementError


def submit(tx: Tx, kind: int, data: bytes) -> int:
    """Add an entry (entry.CHECKPOINT or entry.STATEMENT) to the sequencer's input; its id.

    The same leaf again is the same id. Whether its signer may say this is for the doors to check, before. Malformed:
    no such entry. Conflict: the key has already used this statement's jti for something else.
    """
    try:
        leaf = entry.LedgerEntry(kind, data).leaf
        parsed = statement.parse(data) if kind == entry.STATEMENT else None
    except (EntryError, StatementError) as error:
        raise Malformed(str(error)) from None
    known = tx.one("SELECT id FROM entry WHERE leaf = ?", [leaf])
    if known:
        return int(known[0])
    if parsed is not None:
        _refuse_reuse(tx, parsed)
    tx.execute("INSERT INTO entry (kind, data, leaf) VALUES (?, ?, ?)", [kind, data, leaf])
    (entry_id,) = tx.execute("SELECT last_insert_rowid()")[0]
    if parsed is not None:
        tx.execute(
            "INSERT INTO statement (identity, entry, kind, kid, jti) VALUES (?, ?, ?, ?, ?)",
            [parsed.identity, entry_id, parsed.kind, parsed.kid, parsed.body["jti"]],
        )
    return int(entry_id)


def _refuse_reuse(tx: Tx, parsed: statement.Statement) -> None:
    """A jti makes a statement single: the same key may not spend it twice. Other bytes of one identity are malformed
    by then (statements are bare), so an equal identity cannot get here."""
    if tx.one("SELECT 1 FROM statement WHERE kid = ? AND jti = ?", [parsed.kid, parsed.body["jti"]]):
        raise Conflict("this key has used this jti for another statement")
