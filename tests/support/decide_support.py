"""A loan in memory and observations of its nodes, as the tests of the decision core make them."""

from collections.abc import Sequence
from typing import Any

from tallystick_finance import decide as core
from tallystick_finance.decide import Event, Observation, State
from tallystick_proof import statement
from tallystick_proof.keys import INSTALLER, NODE, ORGANISATION, Signer
from tallystick_proof.loan_rules import Rules
from tallystick_proof.statement import Statement
from tallystick_wire import cbor

ORIGIN = "ledger.example/log"
LENDER, BORROWER = (Signer(ORGANISATION, bytes([n]) * 32) for n in (1, 2))
INSTALL = Signer(INSTALLER, bytes([3]) * 32)
A, B = sorted((Signer(NODE, bytes([n]) * 32) for n in (4, 5)), key=lambda signer: signer.thumbprint)

SINCE_MS = 1_790_000_000_000  # the start of the association; everything below is relative to it
MINUTE_MS = 60_000
RULES: dict[str, Any] = {
    "warm_limit": cbor.Tag(4, [-1, 80]),
    "warm_for_ms": 30 * MINUTE_MS,
    "silence_for_ms": 60 * MINUTE_MS,
    "advance_bps": 8000,
    "haircut_warm_bps": 2000,
    "haircut_silence_bps": 5000,
    "cure_ms": 24 * 60 * MINUTE_MS,
}
COLD, WARM = (-2, 400), (-2, 801)


def statements(
    nodes: Sequence[Signer] = (A,), rules: dict[str, Any] | None = None, **pledged: Any
) -> tuple[Statement, Statement, Statement]:
    """A facility, a pledge of 1,250,000.00 CNY of goods for 900,000.00 CNY, and the association of the lot."""

    def signed(signer: Signer, kind: str, **body: Any) -> Statement:
        common = {"aud": ORIGIN, "jti": bytes(16), "exp": None}
        return statement.parse(statement.build(signer, kind, common | body))

    facility = signed(
        LENDER,
        "facility",
        lender=LENDER.thumbprint,
        borrower=BORROWER.thumbprint,
        decision_key=bytes(32),
        currency="CNY",
        limit_minor=100_000_000,
        rules=cbor.Map(list((RULES if rules is None else rules).items())),
    )
    association = signed(
        INSTALL,
        "association",
        place="room 3",
        lot="L7",
        nodes=[node.thumbprint for node in nodes],
        since_ms=SINCE_MS,
    )
    terms = {
        "facility": facility.identity,
        "association": association.identity,
        "lot": "L7",
        "value_minor": 125_000_000,
        "principal_minor": 90_000_000,
        "currency": "CNY",
    }
    return facility, signed(BORROWER, "pledge", **(terms | pledged)), association


def opened(nodes: Sequence[Signer] = (A,), rules: dict[str, Any] | None = None) -> tuple[State, Rules]:
    facility, pledge, association = statements(nodes, rules)
    return core.initial_state(facility, pledge, association, SINCE_MS), Rules.parse(facility.body["rules"])


def link(seq: int) -> bytes:
    return seq.to_bytes(16, "big")


def seen(seq: int, at_ms: int, temperature: tuple[int, int] | None = COLD, **other: Any) -> Observation:
    """Reading `seq` of the first boot, made `at_ms` after the start, with an anchor of that very moment."""
    uptime_ms = other.pop("uptime_ms", at_ms)
    boot = other.pop("boot", 1)
    values: dict[str, Any] = {
        "previous": None if seq == 1 else link(seq - 1),
        "link": link(seq),
        "anchor": (boot, uptime_ms, SINCE_MS + at_ms),
        "latest_ms": SINCE_MS + at_ms,
        "last_persisted": None,
    }
    return Observation(seq=seq, boot=boot, uptime_ms=uptime_ms, temperature=temperature, **(values | other))


def every(interval_ms: int, *temperatures: tuple[int, int] | None, first: int = 1) -> list[Observation]:
    return [seen(first + at, (first + at) * interval_ms, value) for at, value in enumerate(temperatures)]


def as_of(at_ms: int, *window: Observation, node: Signer = A, size: int = 10) -> Event:
    return Event(size, SINCE_MS + at_ms, {node.thumbprint: window} if window else {})


def kinds(effects: list[core.Effect]) -> list[Any]:
    return [effect[1] if effect[0] == "alert" else effect[0] for effect in effects]
