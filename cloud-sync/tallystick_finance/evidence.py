"""The bundle of a decision: everything from which anyone computes it, and all before it, again.

Decisions 0 to n, the three statements that opened the loan, every reading that they cite, and the checkpoint that each
was made on. Proofs come from the ledger's own collector, so the same fact has the same bytes in every bundle.
"""

from tallystick_finance import records
from tallystick_finance.decide import State
from tallystick_finance.errors import Refused
from tallystick_finance.finance import Finance
from tallystick_finance.records import Decision
from tallystick_ledger.db import Tx
from tallystick_ledger.errors import NotFound
from tallystick_ledger.evidence import Collector
from tallystick_proof import statement

_PAGE = 256  # decisions read at a time


def decision_bundle(finance: Finance, identity: bytes) -> bytes:
    """The bundle of the decision with this identity. Refused or NotFound: unknown, or not published yet."""
    with finance.ledger.db.read() as tx:
        wanted = records.decision(tx, identity)
        loan = None if wanted is None else records.loan(tx, wanted.loan)
    if wanted is None or loan is None:
        raise Refused("no-decision", f"no decision {identity.hex()} was made here")
    collector = Collector(finance.ledger, "decision", [loan.id, wanted.n])
    _add_opening(collector, loan.decided)
    for decision, note in _up_to(finance, wanted):
        collector.add_statement(decision.identity)
        collector.add_asof(decision.n, note)
        _add_windows(collector, finance, decision)
    return collector.to_bytes()


def _add_opening(collector: Collector, state: State) -> None:
    for identity in (state.facility, state.pledge, state.association):
        collector.add_statement(identity)


def _up_to(finance: Finance, wanted: Decision) -> list[tuple[Decision, bytes]]:
    """Decisions 0 to `wanted`, each with the note of its as-of checkpoint."""
    found: list[tuple[Decision, bytes]] = []
    while len(found) <= wanted.n:
        with finance.ledger.db.read() as tx:
            page = records.decisions(tx, wanted.loan, len(found) - 1, min(_PAGE, wanted.n + 1 - len(found)))
            found += [(decision, _note(tx, decision)) for decision in page]
        if not page:
            raise NotFound(f"decision {len(found)} of loan {wanted.loan.hex()}")
    return found


def _note(tx: Tx, decision: Decision) -> bytes:
    row = tx.one("SELECT note FROM publication WHERE id = ?", [decision.publication])
    if row is None:
        raise NotFound(f"the checkpoint of decision {decision.n}")
    return bytes(row[0])


def _add_windows(collector: Collector, finance: Finance, decision: Decision) -> None:
    """The readings that a decision folded: its windows without what lies in declared gaps."""
    for node, first, last in statement.parse(decision.data).body["event"]["windows"]:
        with finance.ledger.db.read() as tx:
            gaps = records.gaps(tx, decision.loan, node)
        for last_seq, next_seq in gaps:
            if first <= last_seq < last:
                collector.add_window(node, first, last_seq)
                first = next_seq
        collector.add_window(node, first, last)
