"""A decision's walk: from three signed statements, through signed readings, to every computed result before it.

    1 statement      the lender signed the facility, the borrower the pledge, an installer the association
    2 decision       decisions 0 to n of the loan, in order, each signed by the facility's decision key and naming the
                     one before it
    3 rules          they are the facility's
    4 as-of          each was made on a cosigned checkpoint, none of which goes back
    5 (evidence)     its readings, by the walk of tallystick_proof.evidence, all of them logged before that checkpoint
    6 state-before, effects, state-after: recomputed by the decision core, and equal

The core (tallystick_finance.decide) is imported when a decision is verified, and nothing else of the cloud is.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tallystick_proof import keys, verdict
from tallystick_proof.errors import CannotTell, NotVerified, RulesError
from tallystick_proof.evidence import Evidence, VerifiedReading
from tallystick_proof.facts import VerifiedStatement
from tallystick_proof.loan_rules import Rules
from tallystick_proof.statement import Statement
from tallystick_proof.verdict import Step, Verified, counted
from tallystick_wire import cbor
from tallystick_wire.errors import WireError

if TYPE_CHECKING:
    from tallystick_finance import decide as core

Window = tuple[bytes, int, int]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One decision of the chain, computed again from its evidence and found equal."""

    identity: bytes
    number: int
    as_of: tuple[int, int]  # tree size, time_ms
    windows: tuple[Window, ...]
    readings: int  # how many its windows hold
    effects: Sequence[Any]
    state: "core.State"


@dataclass(frozen=True, slots=True)
class LoanVerdict:
    """What a decision's bundle proves."""

    verified: Verified
    facility: Statement
    pledge: Statement
    association: Statement
    decisions: tuple[Recomputed, ...]
    rules: Rules


def verify_decision(evidence: Evidence, now_ms: int | None = None) -> LoanVerdict:
    """The whole walk. NotVerified names the broken link, CannotTell what this installation lacks."""
    core = _core()
    loan, *numbers = evidence.manifest.subject
    number = numbers[0]
    facility, pledge, association = _opening(evidence, loan)
    chain = _decisions(evidence, facility, loan, number)
    since_ms = association.fact.witnessed.earliest_ms
    if since_ms is None:
        raise NotVerified("time", "nothing bounds the beginning of the loan: decisions need witnessed time")
    try:
        rules = Rules.parse(facility.statement.body["rules"])
        state = core.initial_state(facility.statement, pledge.statement, association.statement, since_ms)
    except (RulesError, core.DecideError) as error:
        raise NotVerified("statement", f"the statements open no loan: {error}") from error
    readings: list[VerifiedReading] = []
    recomputed: list[Recomputed] = []
    last: dict[bytes, VerifiedReading] = {}
    for decision in chain:
        found = _recompute(evidence, decision, state, rules, last)
        readings += [one for window in found.readings.values() for one in window]
        recomputed.append(found.decision)
        state = found.decision.state
    for signed in (facility, pledge, association):
        _before(signed, recomputed[0].as_of[0])
    evidence.finish()
    verified = Verified(
        kind="decision",
        subject=evidence.manifest.subject,
        readings=tuple(readings),
        keys=tuple(evidence.used_keys.values()),
        steps=(*verdict.steps(evidence, readings), *_steps(recomputed)),
        remarks=tuple(verdict.remarks(evidence, readings, now_ms)),
        not_proved=verdict.ABOUT_DECISIONS,
    )
    opening = (facility.statement, pledge.statement, association.statement)
    return LoanVerdict(verified, *opening, tuple(recomputed), rules)


def _core() -> Any:
    try:
        from tallystick_finance import decide
    except ModuleNotFoundError as error:
        raise CannotTell(f"the decision core is not installed: {error.name}") from error
    return decide


def _opening(evidence: Evidence, loan: bytes) -> tuple[VerifiedStatement, VerifiedStatement, VerifiedStatement]:
    """Step 1. A loan is named by its pledge, the pledge names the rest."""
    pledge = evidence.statement(loan, keys.PLEDGE)
    body = pledge.statement.body
    facility = evidence.statement(body["facility"], keys.FACILITY)
    for signed, role in ((facility, "lender"), (pledge, "borrower")):
        if signed.signer.thumbprint != facility.statement.body[role]:
            raise NotVerified("statement", f"the {signed.statement.kind} is not signed by the {role} of the facility")
    return facility, pledge, evidence.statement(body["association"], keys.ASSOCIATION)


def _decisions(evidence: Evidence, facility: VerifiedStatement, loan: bytes, number: int) -> list[VerifiedStatement]:
    """Steps 2 and 3: exactly decisions 0 to `number`."""
    found = {one.body["n"]: one for one in evidence.statements(keys.DECISION) if one.body["subject"] == loan}
    rules = _hash(facility.statement.body["rules"])
    chain: list[VerifiedStatement] = []
    for n in range(min(number, len(found)) + 1):
        if n not in found:
            raise NotVerified("decision", f"decision {n} of {number} is missing")
        signed = evidence.statement(found[n].identity, keys.DECISION, facility.statement.body["decision_key"])
        body = signed.statement.body
        if body["previous"] != (chain[-1].statement.identity if chain else None):
            raise NotVerified("decision", f"decision {n} does not name the one before it")
        if body["rules"] != rules:
            raise NotVerified("rules", f"decision {n} was made under other rules than the facility's")
        chain.append(signed)
    return chain


@dataclass(frozen=True, slots=True)
class _Found:
    decision: Recomputed
    readings: Mapping[bytes, Sequence[VerifiedReading]]


def _recompute(
    evidence: Evidence,
    signed: VerifiedStatement,
    state: "core.State",
    rules: Rules,
    last: dict[bytes, VerifiedReading],
) -> _Found:
    """Steps 4 to 6 for one decision. `last` holds each node's last reading and is moved on."""
    core, body = _core(), signed.statement.body
    name = f"decision {body['n']}"
    size, time_ms = _as_of(evidence, signed, state.as_of)
    windows = tuple(_windows(name, body["event"]))
    readings: dict[bytes, list[VerifiedReading]] = {}
    for node, first, final in windows:
        readings[node] = evidence.window(node, first, final, after=last.get(node), strict=False)
        last[node] = readings[node][-1]
    observed = {node: [_observe(evidence, one, size, name) for one in found] for node, found in readings.items()}
    try:
        if core.state_hash(state) != body["state_before"]:
            raise NotVerified("state-before", f"{name} starts from another state than the one before it left")
        after, effects = core.decide(state, core.Event(size, time_ms, observed), rules)
        if cbor.encode(effects) != cbor.encode(body["effects"]):
            raise NotVerified("effects", f"{name} has other effects than its evidence and rules give")
        if core.state_hash(after) != body["state_after"]:
            raise NotVerified("state-after", f"{name} leaves another state than its evidence and rules give")
    except (core.DecideError, WireError) as error:  # WireError: a time that no witness can mean has no encoding
        raise NotVerified("decision", f"{name}: {error}") from error
    count = sum(map(len, readings.values()))
    done = Recomputed(signed.statement.identity, body["n"], (size, time_ms), windows, count, effects, after)
    return _Found(done, readings)


def _as_of(evidence: Evidence, signed: VerifiedStatement, before: tuple[int, int]) -> tuple[int, int]:
    number = signed.statement.body["n"]
    size, time_ms = signed.statement.body["as_of"]
    witnessed = evidence.as_of(number)
    if witnessed.checkpoint.size != size:
        raise NotVerified("as-of", f"decision {number} was made on size {size}, not {witnessed.checkpoint.size}")
    if witnessed.quorum_ms != time_ms and not (evidence.unwitnessed_ok and witnessed.quorum_ms is None):
        raise NotVerified("as-of", f"decision {number} dates its checkpoint {time_ms}, not {witnessed.quorum_ms}")
    if size < before[0] or time_ms < before[1]:
        raise NotVerified("as-of", f"decision {number} goes back behind the one before it")
    if signed.fact.index < size:
        raise NotVerified("as-of", f"decision {number} stands in the ledger before the checkpoint it was made on")
    return size, time_ms


def _windows(name: str, event: cbor.Map) -> Iterator[Window]:
    """The windows of an event, which has one form: {"windows": [[thumbprint, first, last], ...]}, nodes in order."""
    listed = event.get("windows")
    if [key for key, _ in event.pairs] != ["windows"] or not isinstance(listed, list):
        raise NotVerified("decision", f"{name}: its event is not a list of windows")
    before = b""
    for item in listed:
        if not isinstance(item, list) or [type(part) for part in item] != [bytes, int, int] or item[0] <= before:
            raise NotVerified("decision", f"{name}: its windows are not [thumbprint, first, last] in order")
        before = item[0]
        yield item[0], item[1], item[2]


def _observe(evidence: Evidence, one: VerifiedReading, size: int, name: str) -> Any:
    if one.ledger_index >= size:
        raise NotVerified("as-of", f"{name} cites {one}, which came after its checkpoint")
    if one.interval.latest_ms is None:
        raise NotVerified("time", f"nothing bounds {one} from above: decisions need witnessed time")
    return _core().observe(
        one.reading, one.node.public_key, evidence.trust.origin, one.anchor, one.interval.latest_ms
    )


def _before(signed: VerifiedStatement, size: int) -> None:
    if signed.fact.index >= size:
        raise NotVerified("as-of", f"the {signed.statement.kind} came after the first decision's checkpoint")


def _hash(rules: cbor.Map) -> bytes:
    return hashlib.sha256(cbor.encode(rules)).digest()


def _steps(recomputed: Sequence[Recomputed]) -> list[Step]:
    last = recomputed[-1]
    effects = sum(len(one.effects) for one in recomputed)
    return [
        Step("statement", "facility, pledge and association are signed by lender, borrower and installer"),
        Step("decision", f"{counted(len(recomputed), 'decision')} in order, signed by the facility's decision key"),
        Step("as-of", f"the last was made on ledger size {last.as_of[0]}"),
        Step("effects", f"{counted(effects, 'effect')} recomputed from the readings and the lender's rules, and equal"),
    ]
