"""From facts to decisions. `step` is the whole flow; a loop calls it until nothing is left.

    ledger.facts --> valid readings, as the decision core sees them --> fold what links --> decide as of a publication
                                                                            |
         no effects: keep the folded state          effects: statement into the log, loan, event  (one transaction)

Publications are taken one by one and in order, so what is decided does not depend on when this ran or how often it was
stopped. The cursor moves in the transaction of what it stands for: after a crash the same step is done again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tallystick_finance import readings, records, views
from tallystick_finance.decide import (
    Event,
    Node,
    Observation,
    State,
    decide,
    event_value,
    observe,
    silent_at_ms,
    state_hash,
)
from tallystick_finance.finance import Finance
from tallystick_finance.records import Cursor, Loan, Window
from tallystick_ledger import publications
from tallystick_ledger.admit import keys_changed
from tallystick_ledger.db import Tx
from tallystick_ledger.facts import READING, Fact, facts
from tallystick_ledger.segment import VALID
from tallystick_ledger.submit import submit
from tallystick_proof import entry, statement
from tallystick_proof.loan_rules import Rules
from tallystick_proof.time import AnchorTime
from tallystick_wire import cbor, reading

FACTS_PAGE = 5000  # more than a full batch (4,096), so that none is decompressed twice
LOANS_PAGE = 64  # loans folded in one transaction: well below a second under the lock
MAX_WINDOW_READINGS = 4096  # a decision is posted at the latest then, so that recomputing one stays quick
_END_OF_ENTRY = 1 << 62  # behind every offset: all facts of that index were taken
JTI_BYTES = 16


@dataclass(frozen=True, slots=True)
class Published:
    """The checkpoint that a step works towards."""

    id: int
    size: int
    time_ms: int | None  # None: no witness told the time, and nothing is decided


def run(finance: Finance) -> int:
    """Decide everything that is published; how many steps it took."""
    steps = 0
    while step(finance):
        steps += 1
    return steps


def step(finance: Finance) -> bool:
    """Take one page of facts, or decide as of one publication; False when there is nothing to do."""
    ledger = finance.ledger
    with ledger.db.read() as tx:
        old = records.cursor(tx)
        published = _next(tx, old.publication)
    if published is None:
        return False
    seen_keys = ledger.keys.follow()
    page: list[Fact] = []
    if (old.idx, old.offset) < (published.size - 1, _END_OF_ENTRY):
        page = [fact for fact in facts(ledger, (old.idx, old.offset), FACTS_PAGE) if fact.index < published.size]
    observed = _observed(finance, page)
    with ledger.db.transaction() as tx:
        if keys_changed(tx, seen_keys):
            return True  # somebody was enrolled or revoked since: look again
        for node, seen in observed:
            readings.add(tx, node, seen)
        for node in {node for node, _ in observed}:
            readings.mark_due(tx, node)
        if len(page) < FACTS_PAGE:
            new = _decide_as_of(tx, finance, published, old)
        else:
            new = Cursor(*page[-1].place, old.publication)
        records.move_cursor(tx, old, new)
    # Durable: readings, decisions and cursor, all or nothing.
    return True


def _next(tx: Tx, after: int) -> Published | None:
    row = tx.one("SELECT id, size, latest_ms FROM publication WHERE id > ? ORDER BY id LIMIT 1", [after])
    return None if row is None else Published(*row)


def _observed(finance: Finance, page: list[Fact]) -> list[tuple[bytes, Observation]]:
    """(node, observation) of the valid readings, with the time that witnesses give them; the rest is no evidence."""
    ledger = finance.ledger
    found = []
    with ledger.db.read() as tx:
        for fact in page:
            if fact.kind != READING or fact.verdict != VALID or fact.latest_ms is None:
                continue
            parsed = reading.parse(fact.data)
            key = ledger.keys.by_kid(parsed.kid)
            if key is not None:  # always: the ledger calls nothing valid without its key
                seen = observe(parsed, key.public_key, ledger.origin, _anchor(tx, parsed), fact.latest_ms)
                found.append((key.thumbprint, seen))
    return found


def _anchor(tx: Tx, found: reading.Reading) -> AnchorTime | None:
    """The reading's own anchor with the time of its checkpoint."""
    if found.chain.anchor is None:
        return None
    size, hash16, uptime_ms = found.chain.anchor
    cited = publications.cited(tx, size, hash16)
    if cited is None or cited.earliest_ms is None:
        return None
    return AnchorTime(found.chain.boot, uptime_ms, cited.earliest_ms)


def _decide_as_of(tx: Tx, finance: Finance, published: Published, old: Cursor) -> Cursor:
    """Decide on the loans that this checkpoint may change; the new cursor. All its facts are taken by now."""
    place = max((old.idx, old.offset), (published.size - 1, _END_OF_ENTRY))
    taken = Cursor(*place, old.publication)
    if published.time_ms is not None:
        due = records.due(tx, published.size, published.time_ms, LOANS_PAGE)
        for loan in due:
            _advance(tx, finance, loan, published, published.time_ms)
        if len(due) == LOANS_PAGE:
            return taken  # more of them may be due: the same publication again
    return taken._replace(publication=published.id)


def _advance(tx: Tx, finance: Finance, loan: Loan, published: Published, time_ms: int) -> None:
    """Fold what links into one loan, decide, and post what follows."""
    rules = Rules.parse(cbor.decode(loan.rules))
    found = {node.thumbprint: list(_linked(tx, loan, node)) for node in loan.state.nodes}
    event = Event(published.size, time_ms, {node: seen for node, seen in found.items() if seen})
    state, effects = decide(loan.state, event, rules)
    uncited = records.windows(tx, loan.id)
    for node, seen in event.windows.items():
        before = uncited.get(node, Window(seen[0].seq, 0, 0))
        uncited[node] = Window(before.first, seen[-1].seq, before.readings + len(seen))
    silent_ms = silent_at_ms(state, rules)
    if effects or sum(window.readings for window in uncited.values()) >= MAX_WINDOW_READINGS:
        finance.check_signer()
        decision = _statement(finance, loan, state, uncited, effects)
        submit(tx, entry.STATEMENT, decision.data)
        records.post(tx, loan, state, decision, published.id, silent_ms)
        if effects:
            now_ms = finance.ledger.now_ms()
            records.add_event(tx, views.DECIDED, loan.id, now_ms, json.dumps(views.decided(state, decision)))
    else:
        records.fold(tx, loan, state, uncited, silent_ms)


def _linked(tx: Tx, loan: Loan, node: Node) -> Iterator[Observation]:
    """What links, and a record of the gaps that boot records and readings declare."""
    last = node.last
    for seen in readings.linked(tx, node, loan.state.since_ms):
        if last is not None and seen.seq > last.seq + 1:
            records.add_gap(tx, loan.id, node.thumbprint, last.seq, seen.seq)
        last = seen
        yield seen


def _statement(
    finance: Finance, loan: Loan, state: State, uncited: dict[bytes, Window], effects: list[Any]
) -> statement.Statement:
    """The signed decision from the loan's decided state to `state`: by the fold, what recomputing at once gives."""
    body = {
        "aud": finance.ledger.origin,
        "jti": finance.random_bytes(JTI_BYTES),
        "exp": None,
        "subject": loan.id,
        "n": loan.decisions,
        "previous": loan.last_decision,
        "state_before": state_hash(loan.decided),
        "event": event_value({node: (window.first, window.last) for node, window in uncited.items()}),
        "rules": state.rules_hash,
        "as_of": list(state.as_of),
        "effects": effects,
        "state_after": state_hash(state),
    }
    return statement.parse(statement.build(finance.signer, "decision", body))
