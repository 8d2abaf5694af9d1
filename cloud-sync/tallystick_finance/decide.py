"""The decision core: (state, event, rules) -> (state, effects). Pure, integers only; a verifier runs this very file.

How a decision is computed, and how anyone computes it again:

    rules = Rules.parse(facility.body["rules"])
    state = initial_state(facility, pledge, association, since_ms)         the opening, three signed statements
    seen  = observe(reading, public_key, origin, anchor, latest_ms)        one valid reading, with its time bounds
    event = Event(as_of_size, as_of_ms, {thumbprint: [seen, ...]})
    state, effects = decide(state, event, rules)

since_ms is the lower time bound (earliest cosignature) of the first published checkpoint that covers the association;
latest_ms the upper bound (quorum time) of the first one that covers a reading; as_of_ms that of the decision's own
checkpoint. Every doubt is decided against the borrower:

- Evidence is complete or it does not count. Per node, readings are folded in order and only while each names the one
  before it, or a boot record or a reading of the same window declares what is missing (`links`). decide refuses
  anything else, so a gap cannot be hidden: the caller holds what follows it.
- Silence: as_of_ms minus the earliest time of a node's last folded reading; also the time between two folded readings.
- Too warm: the time between two folded readings counts when EITHER is above the limit (strictly), summed until two
  neighbours are at or below it. A reading without a usable temperature `t` (a fault) counts as above the limit.
- A covenant breaks at its limit, not beyond it (>=). It breaks once in the life of a loan.

It is a fold: decide over e1, without effects, and then e2 is decide over e1 and e2 together. Therefore the readings may
be folded as they arrive and cited together when something happens.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tallystick_proof.chain import NOTHING_DECLARED, Declared, between
from tallystick_proof.errors import RulesError
from tallystick_proof.exact import Number, decimal, scaled
from tallystick_proof.loan_rules import Rules
from tallystick_proof.statement import Statement
from tallystick_proof.time import AnchorTime, interval, longest_ms
from tallystick_wire import cbor
from tallystick_wire.errors import CborError
from tallystick_wire.reading import Reading, genesis

TOO_WARM, SILENCE = COVENANTS = ("too-warm", "silence")
TEMPERATURE = "t"

Anchor = tuple[int, int, int]  # boot, uptime_ms at receipt, earliest cosignature time of its checkpoint in ms
Gap = tuple[int, int]  # first and last of the numbers that a reading declares as given up
Effect = list[Any]  # ["alert", covenant, thumbprint, ms, limit_ms] | ["haircut", bps] | ["margin-call", minor, cur, ms]


class DecideError(Exception):
    """The input is not one that a decision may be computed from; the message says why."""


class NotOpenable(DecideError):
    """The statements do not open a loan: `rule` names the broken rule, `found` and `allowed` are its two sides."""

    def __init__(self, rule: str, found: object, allowed: object) -> None:
        super().__init__(f"{rule}: {found} where {allowed} is allowed")
        self.rule = rule
        self.found = found
        self.allowed = allowed


class Observation(NamedTuple):
    """What one valid reading says. previous None: it stands at the genesis of its node's chain."""

    seq: int
    boot: int
    uptime_ms: int
    previous: bytes | None
    link: bytes
    anchor: Anchor | None  # that this reading carries
    latest_ms: int  # quorum time of the first published checkpoint that covers it
    temperature: Number | None  # None: a fault
    last_persisted: int | None  # of the boot record; None: not the first reading of a boot
    gap: Gap | None = None  # only until it is folded: it declares nothing behind its own reading


def observe(
    reading: Reading, public_key: bytes, origin: str, anchor: AnchorTime | None, latest_ms: int
) -> Observation:
    """The observation in a reading whose signature, enrolment and time bounds the caller has checked.

    anchor: the reading's own, with its checkpoint's earliest cosignature time; None when it carries none.
    """
    chain = reading.chain
    boot_record = reading.boot_record
    return Observation(
        seq=chain.seq,
        boot=chain.boot,
        uptime_ms=chain.uptime_ms,
        previous=None if chain.previous == genesis(origin, public_key) else chain.previous,
        link=reading.link,
        anchor=None if anchor is None else (anchor.boot, anchor.uptime_ms, anchor.earliest_ms),
        latest_ms=latest_ms,
        temperature=decimal(reading.pack.get(TEMPERATURE)),
        last_persisted=None if boot_record is None else boot_record.last_persisted,
        gap=reading.gap,
    )


@dataclass(frozen=True, slots=True)
class Event:
    """New evidence as of one published checkpoint: per node its next readings, in order."""

    as_of_size: int
    as_of_ms: int
    windows: Mapping[bytes, Sequence[Observation]]

    def value(self) -> cbor.Map:
        """As it stands in the decision statement: {"windows": [[thumbprint, first seq, last seq], ...]}, sorted."""
        return event_value({node: (seen[0].seq, seen[-1].seq) for node, seen in self.windows.items() if seen})


def event_value(windows: Mapping[bytes, tuple[int, int]]) -> cbor.Map:
    return cbor.Map([("windows", [[node, first, last] for node, (first, last) in sorted(windows.items())])])


class Node(NamedTuple):
    """How far one node's chain is folded."""

    thumbprint: bytes
    earliest_ms: int  # no later than the last folded reading was made; at first the start of the association
    anchor: Anchor | None = None
    warm_ms: int = 0  # length of the warm stretch that the last folded reading ends
    last: Observation | None = None


class State(NamedTuple):
    """A loan as its decisions left it. Only `decide` makes the next one."""

    facility: bytes
    pledge: bytes  # also the loan's id
    association: bytes
    rules_hash: bytes
    currency: str
    principal_minor: int
    value_minor: int
    since_ms: int
    nodes: tuple[Node, ...]  # sorted by thumbprint
    as_of: tuple[int, int]  # tree size, time_ms
    broken: tuple[str, ...] = ()  # covenants, in the order of COVENANTS
    haircut_bps: int = 0
    call: tuple[int, int] | None = None  # the open margin call: amount in minor units, due_ms

    @property
    def status(self) -> str:
        return "active" if self.call is None else "margin_call"


def initial_state(facility: Statement, pledge: Statement, association: Statement, since_ms: int) -> State:
    """The loan that these statements open; NotOpenable or DecideError when they do not fit one another.

    That the lender signed the facility, the borrower the pledge and an installer the association is the caller's check:
    it holds the keys.
    """
    try:
        rules = Rules.parse(facility.body["rules"])
    except RulesError as error:
        raise DecideError(str(error)) from None
    lent, lot = pledge.body, association.body
    principal, value = lent["principal_minor"], lent["value_minor"]
    ceiling = rules.base_minor(value, 0)
    for rule, fits, found, allowed in (
        ("facility", lent["facility"] == facility.identity, lent["facility"], facility.identity),
        ("association", lent["association"] == association.identity, lent["association"], association.identity),
        ("lot", lent["lot"] == lot["lot"], lent["lot"], lot["lot"]),
        ("currency", lent["currency"] == facility.body["currency"], lent["currency"], facility.body["currency"]),
        ("principal", principal > 0, principal, 1),
        ("limit", principal <= facility.body["limit_minor"], principal, facility.body["limit_minor"]),
        ("advance", principal <= ceiling, principal, ceiling),
    ):
        if not fits:
            raise NotOpenable(rule, found, allowed)
    return State(
        facility=facility.identity,
        pledge=pledge.identity,
        association=association.identity,
        rules_hash=rules.hash,
        currency=lent["currency"],
        principal_minor=principal,
        value_minor=value,
        since_ms=since_ms,
        nodes=tuple(Node(thumbprint, since_ms) for thumbprint in sorted(lot["nodes"])),
        as_of=(0, since_ms),
    )


def decide(state: State, event: Event, rules: Rules) -> tuple[State, list[Effect]]:
    """The state after `event`, and what follows from it; no effects: nothing changed for either side.

    Raises DecideError for readings that do not link, nodes that do not watch the lot, other rules than the facility's,
    and an as-of that lies before the state's.
    """
    known = {node.thumbprint for node in state.nodes}
    if rules.hash != state.rules_hash:
        raise DecideError("these are not the rules of the facility")
    if event.as_of_size < state.as_of[0] or event.as_of_ms < state.as_of[1]:
        raise DecideError(f"as of {event.as_of_size} at {event.as_of_ms} lies before {state.as_of}")
    if not known.issuperset(event.windows):
        raise DecideError("a node that does not watch this lot")
    nodes: list[Node] = []
    measured: dict[str, list[tuple[bytes, int]]] = {TOO_WARM: [], SILENCE: []}
    for node in state.nodes:
        folded, warm_ms, gap_ms = _fold(node, event.windows.get(node.thumbprint, ()), state.since_ms, rules)
        nodes.append(folded)
        measured[TOO_WARM].append((node.thumbprint, warm_ms))
        measured[SILENCE].append((node.thumbprint, max(gap_ms, event.as_of_ms - folded.earliest_ms)))
    folded_state = state._replace(nodes=tuple(nodes), as_of=(event.as_of_size, event.as_of_ms))
    return _judge(folded_state, measured, rules)


def links(node: Node, seen: Observation, since_ms: int, declared: Declared = NOTHING_DECLARED) -> bool:
    """Whether `seen` may be folded next: nothing that the node made, and kept, is missing before it.

    After another reading: the rule of tallystick_proof.chain. First of all: the genesis of its chain, or a reading that
    was published before the association began. declared: what the readings of this node's window declare.
    """
    if node.last is None:
        return seen.previous is None or seen.latest_ms <= since_ms
    return between(node.last, seen, declared) is not None


def declared_by(window: Iterable[Observation]) -> Declared:
    return Declared((*seen.gap, seen.seq) for seen in window if seen.gap is not None)


def silent_at_ms(state: State, rules: Rules) -> int | None:
    """The as-of time at which silence breaks the loan if no reading follows; None once it has."""
    if SILENCE in state.broken:
        return None
    return min(node.earliest_ms for node in state.nodes) + rules.silence_for_ms


def _fold(node: Node, window: Sequence[Observation], since_ms: int, rules: Rules) -> tuple[Node, int, int]:
    """(node, its longest warm stretch, its longest time between two readings) after `window`.

    Time over which readings are missing is time between two readings like any other.
    """
    longest_warm_ms = longest_gap_ms = 0
    declared = declared_by(window)
    for seen in window:
        if not links(node, seen, since_ms, declared):
            raise DecideError(f"reading {seen.seq} does not link to the one before it")
        gap_ms = _elapsed_ms(node, seen, since_ms)
        warm = node.last is not None and (_is_warm(node.last, rules) or _is_warm(seen, rules))
        earliest_ms, anchor = _earliest(node, seen)
        last = seen._replace(gap=None)
        node = Node(node.thumbprint, earliest_ms, anchor, node.warm_ms + gap_ms if warm else 0, last)
        longest_warm_ms = max(longest_warm_ms, node.warm_ms)
        longest_gap_ms = max(longest_gap_ms, gap_ms)
    return node, longest_warm_ms, longest_gap_ms


def _elapsed_ms(node: Node, seen: Observation, since_ms: int) -> int:
    """An upper bound for the time from the last folded reading (or the start) to `seen`; time before the start is none.

    Within one boot by the node's own clock, as slow as it may run; else, or when it fell, between calendar bounds.
    """
    last = node.last
    if last is None or last.boot != seen.boot or last.uptime_ms > seen.uptime_ms:
        return max(0, seen.latest_ms - node.earliest_ms)
    return max(0, min(longest_ms(seen.uptime_ms - last.uptime_ms), seen.latest_ms - since_ms))


def _earliest(node: Node, seen: Observation) -> tuple[int, Anchor | None]:
    """(a time no later than `seen` was made, the anchor to go on with).

    Time that contradicts itself (earliest after latest) counts for nothing: the bound stays where it was.
    """
    anchor = seen.anchor or node.anchor
    if anchor is None:
        return node.earliest_ms, None
    bounds = interval(seen.boot, seen.uptime_ms, AnchorTime(*anchor), seen.latest_ms, None)
    if not bounds.consistent or bounds.earliest_ms is None:
        return node.earliest_ms, node.anchor
    return max(node.earliest_ms, min(bounds.earliest_ms, seen.latest_ms)), anchor


def _is_warm(seen: Observation, rules: Rules) -> bool:
    return seen.temperature is None or scaled(seen.temperature) > scaled(rules.warm_limit)


def _judge(
    state: State, measured: Mapping[str, list[tuple[bytes, int]]], rules: Rules
) -> tuple[State, list[Effect]]:
    """Break the covenants that were exceeded, take the larger haircut, call what the goods no longer cover."""
    limits_ms = {TOO_WARM: rules.warm_for_ms, SILENCE: rules.silence_for_ms}
    haircuts_bps = {TOO_WARM: rules.haircut_warm_bps, SILENCE: rules.haircut_silence_bps}
    effects: list[Effect] = [
        ["alert", covenant, thumbprint, found_ms, limits_ms[covenant]]
        for covenant in COVENANTS
        if covenant not in state.broken
        for thumbprint, found_ms in measured[covenant]
        if found_ms >= limits_ms[covenant]
    ]
    newly = {effect[1] for effect in effects}
    broken = tuple(covenant for covenant in COVENANTS if covenant in newly or covenant in state.broken)
    haircut_bps = max([state.haircut_bps, *(haircuts_bps[covenant] for covenant in newly)])
    if haircut_bps > state.haircut_bps:
        effects.append(["haircut", haircut_bps])
    short_minor = state.principal_minor - rules.base_minor(state.value_minor, haircut_bps)
    call = state.call
    if short_minor > (0 if call is None else call[0]):
        # A larger call replaces the amount; the due date of the first one stands: a second breach buys no time.
        call = (short_minor, state.as_of[1] + rules.cure_ms if call is None else call[1])
        effects.append(["margin-call", short_minor, state.currency, call[1]])
    return state._replace(broken=broken, haircut_bps=haircut_bps, call=call), effects


def encode(value: State | Observation) -> bytes:
    """Deterministic CBOR: an array of the fields in their order. Of a state, its SHA-256 stands in the decision."""
    return cbor.encode(_fields(value))


def state_hash(state: State) -> bytes:
    return hashlib.sha256(encode(state)).digest()


def decode_state(data: bytes) -> State:
    """The state that `encode` wrote; DecideError for other bytes."""
    try:
        state = State(*_tuples(cbor.decode(data)))
        nodes = (Node(*node) for node in state.nodes)
        return state._replace(
            nodes=tuple(node if node.last is None else node._replace(last=Observation(*node.last)) for node in nodes)
        )
    except (CborError, TypeError) as error:
        raise DecideError(f"not a stored state: {error}") from None


def decode_observation(data: bytes) -> Observation:
    """The observation that `encode` wrote; DecideError for other bytes."""
    try:
        return Observation(*_tuples(cbor.decode(data)))
    except (CborError, TypeError) as error:
        raise DecideError(f"not a stored observation: {error}") from None


def _fields(value: Any) -> Any:
    """Tuples in tuples; an observation without a gap, as all of a state are, has no field for it."""
    if not isinstance(value, tuple):
        return value
    return [_fields(item) for item in (value[:-1] if isinstance(value, Observation) and not value.gap else value)]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
