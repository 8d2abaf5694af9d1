"""The statement door: POST /entries. A statement vouches for itself, so no token is asked for."""

from tallystick_ledger.db import Tx
from tallystick_ledger.errors import Forbidden, Malformed
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.submit import submit
from tallystick_proof import entry, keys, statement
from tallystick_proof.errors import EnrolmentError, StatementError
from tallystick_proof.statement import Statement

# Asked for inside an enrolment, or made by the service itself in the transaction that changes a loan.
NOT_FROM_OUTSIDE = frozenset({keys.ENROL_REQUEST, keys.DECISION})
_ATTEMPTS = 8  # a change of keys between check and commit means: check again; eight in a row means something is wrong


def admit(ledger: Ledger, data: bytes) -> tuple[bytes, int | None]:
    """Log a statement; (its identity, its index or None while it is pending). Durable when this returns.

    The same statement again gives the same answer. Malformed, Forbidden (not its signer's to make, or expired) or
    Conflict (the key has used this jti).
    """
    try:
        parsed = statement.parse(data)
    except StatementError as error:
        raise Malformed(str(error)) from None
    for _ in range(_ATTEMPTS):
        with ledger.db.read() as tx:
            known = index_of(tx, parsed.identity)
        if known is not None:
            return parsed.identity, known[0]
        seen = ledger.keys.follow()
        _check(ledger, parsed)
        with ledger.db.transaction() as tx:
            if not keys_changed(tx, seen):
                submit(tx, entry.STATEMENT, parsed.data)
                return parsed.identity, None
    raise Forbidden("keys change too fast to check this statement: try again")


def index_of(tx: Tx, identity: bytes) -> tuple[int | None] | None:
    """(index or None while pending,) of a logged statement; None when it is not here."""
    row = tx.one("SELECT e.idx FROM statement s JOIN entry e ON e.id = s.entry WHERE s.identity = ?", [identity])
    return None if row is None else (row[0],)


def keys_changed(tx: Tx, seen: int) -> bool:
    """Whether an enrolment or revocation was committed behind the entry `seen`: what was checked may not hold."""
    return (
        tx.one(
            "SELECT 1 FROM statement WHERE kind IN ('enrolment', 'revocation') AND entry > ? LIMIT 1",
            [seen],
        )
        is not None
    )


def _check(ledger: Ledger, parsed: Statement) -> None:
    if parsed.kind in NOT_FROM_OUTSIDE:
        raise Forbidden(f"a {parsed.kind} is not logged through this door")
    expires_ms = parsed.body["exp"]
    if expires_ms is not None and expires_ms < ledger.now_ms():
        raise Forbidden("the statement has expired")
    try:
        ledger.keys.check(parsed)
    except EnrolmentError as error:
        raise Forbidden(str(error)) from None
