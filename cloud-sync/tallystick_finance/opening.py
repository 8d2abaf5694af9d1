"""Opening a loan: the lender's facility, the borrower's pledge and the installer's association must fit one another.

There is no decision statement for it: the two signed statements are the opening, and the first decision starts from
the state that they give. Every "no" says what was found, what is allowed, and what to do next.
"""

import hashlib
import json
from typing import NamedTuple

from tallystick_finance import money, readings, records, views
from tallystick_finance.decide import DecideError, NotOpenable, State, initial_state, silent_at_ms
from tallystick_finance.errors import MoneyError, Refused
from tallystick_finance.finance import Finance
from tallystick_finance.records import Loan
from tallystick_ledger import publications
from tallystick_ledger.admit import keys_changed
from tallystick_ledger.db import Tx
from tallystick_ledger.evidence import MAX_WINDOW_READINGS
from tallystick_proof import statement
from tallystick_proof.keys import DECISION, NODE, ORGANISATION
from tallystick_proof.loan_rules import Rules
from tallystick_proof.statement import Statement
from tallystick_wire import cbor

# The first decision folds everything since the association, in one transaction of about a second; and no bundle shows
# more of one node in one window.
MAX_OPENING_READINGS = MAX_WINDOW_READINGS
MAX_KEY_CHARACTERS = 128  # of an Idempotency-Key: a UUID has 36

# rule of decide.initial_state -> what was found, and what is allowed
_NO = {
    "facility": "the pledge names facility {0}, not {1}",
    "association": "the pledge names association {0}, not {1}",
    "lot": "the pledge is about lot {0}, the association about {1}",
    "currency": "the pledge is in {0}, the facility in {1}",
    "principal": "a principal of {0}; at least {1} is needed",
    "limit": "a principal of {0} is above the facility's limit of {1}",
    "advance": "a principal of {0} is above {1}, which may be lent on this value",
}


class Published(NamedTuple):
    """A statement that the witnesses have seen."""

    statement: Statement
    place: int  # its index in the ledger
    earliest_ms: int  # when the first checkpoint over it was first cosigned


def open_loan(finance: Finance, facility: bytes, pledge: bytes, key: str) -> Loan:
    """Open the loan of these two statements (identities); Refused says why not. `key`: an Idempotency-Key.

    The same key and statements again answer with the same loan; the same key with others is refused. A refusal is not
    kept: the key may be used again once its reason is gone.
    """
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise Refused("key-missing", f"Idempotency-Key must be 1 to {MAX_KEY_CHARACTERS} printable ASCII characters")
    body = hashlib.sha256(facility + pledge).digest()
    while True:
        seen_keys = finance.ledger.keys.follow()
        with finance.ledger.db.transaction() as tx:
            if keys_changed(tx, seen_keys):
                continue  # somebody was enrolled or revoked since: look again
            earlier = records.answered(tx, key)
            if earlier is None:
                opened = _open(tx, finance, facility, pledge)
                records.answer(tx, key, body, opened.id)
                return opened
            if earlier[0] != body:
                raise Refused("key-reused", f"{key!r} came with another facility or pledge")
            return find(tx, earlier[1])


def find(tx: Tx, loan_id: bytes) -> Loan:
    """The loan; Refused when there is none."""
    found = records.loan(tx, loan_id)
    if found is None:
        raise Refused("no-loan", f"no loan {loan_id.hex()} was opened here")
    return found


def _open(tx: Tx, finance: Finance, facility_id: bytes, pledge_id: bytes) -> Loan:
    facility = _published(tx, finance, "facility", facility_id)
    pledge = _published(tx, finance, "pledge", pledge_id)
    association = _published(tx, finance, "association", pledge.statement.body["association"])
    _check_signers(finance, facility.statement, pledge.statement)
    state = _initial(facility.statement, pledge.statement, association)
    lot = association.statement.body["lot"]
    _check_books(tx, facility.statement, state, lot)
    _check_nodes(tx, finance, state)
    rules = facility.statement.body["rules"]
    now_ms = finance.ledger.now_ms()
    opened = records.insert_loan(
        tx,
        state,
        facility.statement,
        lot=lot,
        rules=cbor.encode(rules),
        opened_ms=now_ms,
        from_size=max(facility.place, pledge.place, association.place) + 1,
        silent_at_ms=silent_at_ms(state, Rules.parse(rules)),
    )
    records.add_event(tx, views.OPENED, opened.id, now_ms, json.dumps(views.opened(state, lot)))
    return opened


def _published(tx: Tx, finance: Finance, kind: str, identity: bytes) -> Published:
    name = f"{kind} {identity.hex()}"
    sql = "SELECT e.idx, e.data FROM statement s JOIN entry e ON e.id = s.entry WHERE s.identity = ?"
    row = tx.one(sql, [identity])
    found = None if row is None else statement.parse(row[1])
    if row is None or found is None or found.kind != kind:
        raise Refused("no-statement", f"{name} is not in the ledger")
    covering = None if row[0] is None else publications.covering(tx, row[0])
    if covering is None:
        raise Refused("not-published", f"{name} is in no published checkpoint")
    if covering.earliest_ms is None:
        raise Refused("no-witness", "decisions need a time that witnesses vouch for, and this policy has no quorum")
    expires_ms, now_ms = found.body["exp"], finance.ledger.now_ms()
    if expires_ms is not None and expires_ms < now_ms:
        raise Refused("expired", f"{name} was good until {expires_ms}, it is {now_ms}")
    return Published(found, row[0], covering.earliest_ms)


def _check_signers(finance: Finance, facility: Statement, pledge: Statement) -> None:
    """The lender signed the facility, its borrower the pledge; no key is revoked; its decisions are ours to sign."""
    lender, borrower, named = (facility.body[role] for role in ("lender", "borrower", "decision_key"))
    ours = finance.signer.thumbprint
    if named != ours:
        raise Refused("decision-key", f"the facility names {named.hex()}, our key is {ours.hex()}")
    for role, signed, required in (("lender", facility, lender), ("borrower", pledge, borrower)):
        if signed.kid != required[: len(signed.kid)]:
            detail = f"the {signed.kind} is signed by {signed.kid.hex()}, the {role} is {required.hex()}"
            raise Refused("signer", detail)
    _check_key(finance, "revoked", "lender", lender, ORGANISATION)
    _check_key(finance, "revoked", "borrower", borrower, ORGANISATION)
    _check_key(finance, "revoked", "decision", ours, DECISION)


def _check_key(finance: Finance, problem: str, role: str, thumbprint: bytes, kind: str) -> None:
    key = finance.ledger.keys.by_thumbprint(thumbprint)
    if key is None or key.kind != kind:
        raise Refused(problem, f"the {role} key {thumbprint.hex()} is not enrolled as {kind}")
    if key.revoked_index is not None:
        raise Refused(problem, f"the {role} key {thumbprint.hex()} was revoked at ledger index {key.revoked_index}")


def _initial(facility: Statement, pledge: Statement, association: Published) -> State:
    """The state that the three statements give."""
    currency = pledge.body["currency"]

    def side(value: object) -> str:
        if type(value) is int:
            return money.text(value, currency)
        return value.hex() if isinstance(value, bytes) else str(value)

    try:
        money.exponent(currency)
        return initial_state(facility, pledge, association.statement, association.earliest_ms)
    except NotOpenable as no:
        raise Refused(no.rule, _NO[no.rule].format(side(no.found), side(no.allowed))) from None
    except (DecideError, MoneyError) as error:
        raise Refused("rules", str(error)) from None


def _check_books(tx: Tx, facility: Statement, state: State, lot: str) -> None:
    """One loan a pledge, one loan a lot, and no more in all than the facility allows."""
    if records.loan(tx, state.pledge) is not None:
        name = state.pledge.hex()
        raise Refused("already-open", f"pledge {name} has opened its loan", f"read it at /v1/loans/{name}")
    taken = records.loan_on_lot(tx, lot)
    if taken is not None:
        raise Refused("lot-pledged", f"lot {lot} secures loan {taken.hex()}")
    lent, limit = records.lent_minor(tx, facility.identity), facility.body["limit_minor"]
    if lent + state.principal_minor > limit:
        total, most, left = (
            money.text(minor, state.currency) for minor in (lent + state.principal_minor, limit, limit - lent)
        )
        detail = f"all its loans together would be {total}, above its limit of {most}"
        raise Refused("facility-exhausted", detail, f"borrow at most {left}, or raise the limit")


def _check_nodes(tx: Tx, finance: Finance, state: State) -> None:
    """Every node that watches the lot is enrolled and valid, and its past is short enough to be folded."""
    for node in state.nodes:
        _check_key(finance, "node", "node", node.thumbprint, NODE)
    held = sum(readings.count(tx, node.thumbprint, state.since_ms) for node in state.nodes)
    if held > MAX_OPENING_READINGS:
        found = f"{held} readings since the association; at most {MAX_OPENING_READINGS} are folded at once"
        raise Refused("too-much-evidence", found)
