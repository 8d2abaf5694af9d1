"""What the API says: loans, decisions, effects and events as JSON, each made in one place."""

from typing import Any

import msgspec

from tallystick_finance import money
from tallystick_finance.decide import Effect, State
from tallystick_finance.records import Event, Loan
from tallystick_proof.loan_rules import BPS, Rules
from tallystick_proof.statement import Statement
from tallystick_wire import cbor

OPENED, DECIDED = "tallystick.loan.opened", "tallystick.loan.decided"  # event types, as CloudEvents wants them


class Money(msgspec.Struct, frozen=True):
    """Minor units are exact; the text is for people."""

    minor: int
    currency: str
    text: str


class AsOf(msgspec.Struct, frozen=True):
    size: int
    time_ms: int


class MarginCall(msgspec.Struct, frozen=True):
    amount: Money
    due_ms: int


class NodeView(msgspec.Struct, frozen=True):
    """How far a node's chain is folded; null before its first reading."""

    node: str
    last_seq: int | None
    earliest_ms: int
    warm_ms: int


class LoanView(msgspec.Struct, frozen=True):
    id: str
    status: str
    lot: str
    facility: str
    pledge: str
    association: str
    lender: str
    borrower: str
    principal: Money
    value: Money
    base: Money
    haircut_bps: int
    margin_call: MarginCall | None
    broken: list[str]
    nodes: list[NodeView]
    as_of: AsOf
    decisions: int
    opened_ms: int
    evidence: str | None


class WindowView(msgspec.Struct, frozen=True):
    node: str
    first: int
    last: int


class EffectView(msgspec.Struct, frozen=True, omit_defaults=True):
    """kind alert: covenant, node, ms, limit_ms; haircut: bps; margin-call: amount, due_ms."""

    kind: str
    text: str
    covenant: str | None = None
    node: str | None = None
    ms: int | None = None
    limit_ms: int | None = None
    bps: int | None = None
    amount: Money | None = None
    due_ms: int | None = None


class DecisionView(msgspec.Struct, frozen=True):
    identity: str
    loan: str
    n: int
    previous: str | None
    as_of: AsOf
    windows: list[WindowView]
    effects: list[EffectView]
    rules: str
    state_before: str
    state_after: str
    evidence: str


class EventView(msgspec.Struct, frozen=True):
    id: int
    type: str
    loan: str
    time_ms: int
    data: Any


def amount(minor: int, currency: str) -> Money:
    return Money(minor, currency, money.text(minor, currency))


def loan(loan: Loan) -> LoanView:
    state, rules = loan.state, Rules.parse(cbor.decode(loan.rules))

    def cash(minor: int) -> Money:
        return amount(minor, state.currency)

    return LoanView(
        id=loan.id.hex(),
        status=state.status,
        lot=loan.lot,
        facility=loan.facility.hex(),
        pledge=state.pledge.hex(),
        association=state.association.hex(),
        lender=loan.lender.hex(),
        borrower=loan.borrower.hex(),
        principal=cash(state.principal_minor),
        value=cash(state.value_minor),
        base=cash(rules.base_minor(state.value_minor, state.haircut_bps)),
        haircut_bps=state.haircut_bps,
        margin_call=None if state.call is None else MarginCall(cash(state.call[0]), state.call[1]),
        broken=list(state.broken),
        nodes=[
            NodeView(node.thumbprint.hex(), node.last.seq if node.last else None, node.earliest_ms, node.warm_ms)
            for node in state.nodes
        ],
        as_of=AsOf(*state.as_of),
        decisions=loan.decisions,
        opened_ms=loan.opened_ms,
        evidence=None if loan.last_decision is None else evidence_path(loan.last_decision),
    )


def decision(decision: Statement) -> DecisionView:
    body = decision.body
    previous = body["previous"]
    return DecisionView(
        identity=decision.identity.hex(),
        loan=body["subject"].hex(),
        n=body["n"],
        previous=None if previous is None else previous.hex(),
        as_of=AsOf(*body["as_of"]),
        windows=[WindowView(node.hex(), first, last) for node, first, last in body["event"]["windows"]],
        effects=[effect(item) for item in body["effects"]],
        rules=body["rules"].hex(),
        state_before=body["state_before"].hex(),
        state_after=body["state_after"].hex(),
        evidence=evidence_path(decision.identity),
    )


def effect(item: Effect) -> EffectView:
    """One effect of a decision statement, with a sentence for people."""
    kind = item[0]
    if kind == "alert":
        _, covenant, node, ms, limit_ms = item
        words = {"too-warm": "was too warm", "silence": "was silent"}[covenant]
        text = f"node {node.hex()[:16]} {words} for {duration(ms)}; the limit is {duration(limit_ms)}"
        return EffectView(kind, text, covenant=covenant, node=node.hex(), ms=ms, limit_ms=limit_ms)
    if kind == "haircut":
        return EffectView(kind, f"haircut of {item[1] * 100 / BPS:g} % on the value of the lot", bps=item[1])
    _, minor, currency, due_ms = item
    owed = amount(minor, currency)
    return EffectView(kind, f"margin call of {owed.text}", amount=owed, due_ms=due_ms)


def event(event: Event) -> EventView:
    return EventView(event.id, event.type, event.loan.hex(), event.time_ms, msgspec.json.decode(event.data))


def opened(state: State, lot: str) -> dict[str, Any]:
    """The data of the event that a loan was opened."""
    principal = amount(state.principal_minor, state.currency)
    text = f"loan of {principal.text} opened against lot {lot}"
    return {"loan": state.pledge.hex(), "lot": lot, "principal": msgspec.to_builtins(principal), "text": text}


def decided(state: State, statement: Statement) -> dict[str, Any]:
    """The data of the event that a decision changed something."""
    view = decision(statement)
    return {
        "loan": view.loan,
        "status": state.status,
        "decision": msgspec.to_builtins(view),
        "text": "; ".join(effect.text for effect in view.effects),
    }


def evidence_path(identity: bytes) -> str:
    return f"/evidence/decisions/{identity.hex()}"


def duration(ms: int) -> str:
    """31 min 4 s; whole seconds are enough for people."""
    seconds = ms // 1000
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) if shown else f"{ms} ms"
