"""Finance's rows, on a transaction that the caller opened; those of readings are in `readings`.

A loan is changed only through `fold` and `post`, and only while its version is the one that was read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tallystick_finance.decide import State, decode_state, encode
from tallystick_finance.errors import ConflictError
from tallystick_ledger.db import Row, Tx
from tallystick_proof.statement import Statement

_FOLDER = Path(__file__).parent
# In the order in which they are applied. One that was released is never changed: the next one changes its tables.
SCHEMAS = {
    name: (_FOLDER / file).read_text("utf-8")
    for name, file in (("finance-1", "schema.sql"), ("finance-2", "schema_2.sql"))
}

_LOAN = """
    number, id, version, lot, facility, lender, borrower, opened_ms, rules, decided, state, decisions, last_decision
    FROM finance_loan
"""
_DECISION = "loan, n, identity, publication, data FROM finance_decision"


@dataclass(frozen=True, slots=True)
class Loan:
    """A row of finance_loan. decided: after the last decision; state: with what was folded since."""

    number: int
    id: bytes
    version: int
    lot: str
    facility: bytes
    lender: bytes
    borrower: bytes
    opened_ms: int
    rules: bytes
    decided: State
    state: State
    decisions: int
    last_decision: bytes | None


class Cursor(NamedTuple):
    """The place of the last fact that was taken, and the last publication that was decided on."""

    idx: int
    offset: int
    publication: int


class Decision(NamedTuple):
    """A posted decision; publication: whose note is its as-of checkpoint."""

    loan: bytes
    n: int
    identity: bytes
    publication: int
    data: bytes


class Event(NamedTuple):
    """Something that happened to a loan; data: JSON text."""

    id: int
    type: str
    loan: bytes
    time_ms: int
    data: str
    attempts: int


class Window(NamedTuple):
    """Folded readings of one node that no decision has cited yet."""

    first: int
    last: int
    readings: int


def cursor(tx: Tx) -> Cursor:
    return Cursor(*tx.execute("SELECT idx, place, publication FROM finance_cursor")[0])


def move_cursor(tx: Tx, old: Cursor, new: Cursor) -> None:
    """ConflictError when another projector moved it since."""
    values = [*new, *old]
    where = "UPDATE finance_cursor SET idx = ?, place = ?, publication = ? WHERE (idx, place, publication) = (?, ?, ?)"
    if tx.changed(where, values) != 1:
        raise ConflictError("another projector runs on this database")


# --- loans


def loan(tx: Tx, loan_id: bytes) -> Loan | None:
    row = tx.one(f"SELECT {_LOAN} WHERE id = ?", [loan_id])
    return None if row is None else _loan(row)


def loans(tx: Tx, after: int, limit: int) -> list[Loan]:
    """In the order in which they were opened, behind the number `after`."""
    rows = tx.execute(f"SELECT {_LOAN} WHERE number > ? ORDER BY number LIMIT ?", [after, limit])
    return [_loan(row) for row in rows]


def loan_on_lot(tx: Tx, lot: str) -> bytes | None:
    """The loan that this lot secures now."""
    row = tx.one("SELECT id FROM finance_loan WHERE lot = ? AND released = 0", [lot])
    return None if row is None else bytes(row[0])


def lent_minor(tx: Tx, facility: bytes) -> int:
    """What is lent under a facility now."""
    sql = "SELECT coalesce(sum(principal), 0) FROM finance_loan WHERE facility = ? AND released = 0"
    return int(tx.execute(sql, [facility])[0][0])


def insert_loan(
    tx: Tx,
    state: State,
    facility: Statement,
    *,
    lot: str,
    rules: bytes,
    opened_ms: int,
    from_size: int,
    silent_at_ms: int | None,
) -> Loan:
    """A new loan, due for its first decision."""
    encoded = encode(state)
    lender, borrower = facility.body["lender"], facility.body["borrower"]
    tx.execute(
        "INSERT INTO finance_loan (id, version, lot, facility, lender, borrower, principal, opened_ms, from_size,"
        " from_ms, rules, decided, state, decisions, due, silent_at_ms)"
        " VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, ?)",
        [
            *(state.pledge, lot, facility.identity, lender, borrower, state.principal_minor, opened_ms),
            *(from_size, state.since_ms, rules, encoded, encoded, silent_at_ms),
        ],
    )
    for node in state.nodes:
        tx.execute("INSERT INTO finance_watch (node, loan) VALUES (?, ?)", [node.thumbprint, state.pledge])
    return _loan(tx.execute(f"SELECT {_LOAN} WHERE id = ?", [state.pledge])[0])


def due(tx: Tx, size: int, time_ms: int, limit: int) -> list[Loan]:
    """Loans on which the checkpoint of this size and time may change something. Not again once they were folded."""
    rows = tx.execute(
        f"SELECT {_LOAN} WHERE (due = 1 OR silent_at_ms <= ?) AND released = 0 AND from_size <= ? AND from_ms <= ?"
        " ORDER BY number LIMIT ?",
        [time_ms, size, time_ms, limit],
    )
    return [_loan(row) for row in rows]


def windows(tx: Tx, loan_id: bytes) -> dict[bytes, Window]:
    """Per node, what no decision has cited yet; nodes without any are left out."""
    rows = tx.execute(
        "SELECT node, first_seq, last_seq, uncited FROM finance_watch WHERE loan = ? AND uncited > 0", [loan_id]
    )
    return {node: Window(*window) for node, *window in rows}


def fold(tx: Tx, loan: Loan, state: State, uncited: Mapping[bytes, Window], silent_at_ms: int | None) -> None:
    """Keep what was folded into the loan without a decision. ConflictError: it was changed since it was read."""
    _update(tx, loan, state, silent_at_ms, "state = ?", [encode(state)])
    for node, window in uncited.items():
        tx.execute(
            "UPDATE finance_watch SET first_seq = ?, last_seq = ?, uncited = ? WHERE node = ? AND loan = ?",
            [*window, node, loan.id],
        )


def add_gap(tx: Tx, loan_id: bytes, node: bytes, last_seq: int, next_seq: int) -> None:
    """The fold of this loan went on from `last_seq` at `next_seq`."""
    tx.execute("INSERT INTO finance_gap VALUES (?, ?, ?, ?)", [loan_id, node, last_seq, next_seq])


def gaps(tx: Tx, loan_id: bytes, node: bytes) -> list[tuple[int, int]]:
    """(last before, first behind) of every gap in the fold of this node, in order."""
    sql = "SELECT last_seq, next_seq FROM finance_gap WHERE loan = ? AND node = ? ORDER BY last_seq"
    return [(last_seq, next_seq) for last_seq, next_seq in tx.execute(sql, [loan_id, node])]


def post(
    tx: Tx, loan: Loan, state: State, decision: Statement, publication: int, silent_at_ms: int | None
) -> None:
    """Make `state` the decided one. ConflictError: the loan was changed since it was read."""
    encoded = encode(state)
    columns = "state = ?, decided = ?, last_decision = ?, decisions = decisions + 1"
    _update(tx, loan, state, silent_at_ms, columns, [encoded, encoded, decision.identity])
    tx.execute("UPDATE finance_watch SET first_seq = NULL, last_seq = NULL, uncited = 0 WHERE loan = ?", [loan.id])
    tx.execute(
        "INSERT INTO finance_decision (loan, n, identity, publication, data) VALUES (?, ?, ?, ?, ?)",
        [loan.id, decision.body["n"], decision.identity, publication, decision.data],
    )


def _update(
    tx: Tx, loan: Loan, state: State, silent_at_ms: int | None, columns: str, values: list[bytes]
) -> None:
    size, time_ms = state.as_of
    changed = tx.changed(
        f"UPDATE finance_loan SET {columns}, version = version + 1, due = 0, from_size = ?, from_ms = ?,"  # noqa: S608
        " silent_at_ms = ? WHERE id = ? AND version = ?",
        [*values, size, time_ms, silent_at_ms, loan.id, loan.version],
    )
    if changed != 1:
        raise ConflictError(f"loan {loan.id.hex()} is no longer at version {loan.version}")


# --- decisions, events, requests


def decisions(tx: Tx, loan_id: bytes, after: int, limit: int) -> list[Decision]:
    """In order, behind decision number `after` (-1: from the first)."""
    sql = f"SELECT {_DECISION} WHERE loan = ? AND n > ? ORDER BY n LIMIT ?"
    return [Decision(*row) for row in tx.execute(sql, [loan_id, after, limit])]


def decision(tx: Tx, identity: bytes) -> Decision | None:
    row = tx.one(f"SELECT {_DECISION} WHERE identity = ?", [identity])
    return None if row is None else Decision(*row)


def add_event(tx: Tx, kind: str, loan_id: bytes, time_ms: int, data: str) -> None:
    """Say what happened, in the transaction in which it happened; the webhook delivers it from here."""
    tx.execute(
        "INSERT INTO finance_event (type, loan, time_ms, data, next_ms) VALUES (?, ?, ?, ?, ?)",
        [kind, loan_id, time_ms, data, time_ms],
    )


def events(tx: Tx, after: int, limit: int) -> list[Event]:
    sql = "SELECT id, type, loan, time_ms, data, attempts FROM finance_event WHERE id > ? ORDER BY id LIMIT ?"
    return [Event(*row) for row in tx.execute(sql, [after, limit])]


def undelivered(tx: Tx, now_ms: int) -> Event | None:
    """The oldest event that should be delivered now."""
    sql = "SELECT id, type, loan, time_ms, data, attempts FROM finance_event WHERE next_ms <= ? ORDER BY id LIMIT 1"
    row = tx.one(sql, [now_ms])
    return None if row is None else Event(*row)


def delivered(tx: Tx, event: Event, next_ms: int | None) -> None:
    """One attempt more; next_ms: when to try again, None: never."""
    tx.execute("UPDATE finance_event SET attempts = attempts + 1, next_ms = ? WHERE id = ?", [next_ms, event.id])


def answered(tx: Tx, key: str) -> tuple[bytes, bytes] | None:
    """(hash of the body, answer) of an earlier request with this Idempotency-Key."""
    row = tx.one("SELECT body, answer FROM finance_request WHERE key = ?", [key])
    return None if row is None else (row[0], row[1])


def answer(tx: Tx, key: str, body: bytes, answer: bytes) -> None:
    tx.execute("INSERT INTO finance_request VALUES (?, ?, ?)", [key, body, answer])


def _loan(row: Row) -> Loan:
    values = list(row)
    values[9:11] = [decode_state(state) for state in row[9:11]]
    return Loan(*values)
