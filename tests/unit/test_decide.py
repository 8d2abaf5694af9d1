"""The decision core: both sides of every threshold, what links, and what no trick with evidence can improve."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_finance import decide as core
from tallystick_finance.decide import DecideError, Event, Node, NotOpenable, Observation, State, decide
from tallystick_proof import chain, loan_rules, statement
from tallystick_proof.errors import RulesError
from tallystick_proof.keys import INSTALLER, NODE, ORGANISATION, Signer
from tallystick_proof.loan_rules import Rules
from tallystick_proof.statement import Statement
from tallystick_proof.time import AnchorTime
from tallystick_wire import cbor, reading, senml
from tallystick_wire.reading import BootRecord, Chain, GapRecord
from tallystick_wire.senml import Decimal, Record

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


# --- opening


def test_opening() -> None:
    state, rules = opened()
    assert (state.status, state.principal_minor, state.haircut_bps) == ("active", 90_000_000, 0)
    assert state.as_of == (0, SINCE_MS)
    assert rules.base_minor(state.value_minor, 0) == 100_000_000
    assert core.decode_state(core.encode(state)) == state


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"facility": bytes(32)}, "facility"),
        ({"association": bytes(32)}, "association"),
        ({"lot": "L8"}, "lot"),
        ({"currency": "EUR"}, "currency"),
        ({"principal_minor": 0}, "principal"),
        ({"principal_minor": 100_000_001, "value_minor": 250_000_000}, "limit"),
        ({"principal_minor": 100_000_000, "value_minor": 124_999_999}, "advance"),
    ],
)
def test_statements_that_open_nothing(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(NotOpenable) as refused:
        core.initial_state(*statements(**change), SINCE_MS)
    assert refused.value.rule == rule


def test_principal_at_the_limit_and_at_the_advance() -> None:
    core.initial_state(*statements(principal_minor=100_000_000, value_minor=125_000_000), SINCE_MS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warm_limit": 8.0}, "warm_limit"),
        ({"warm_limit": cbor.Tag(4, [-13, 8])}, "warm_limit"),
        ({"warm_limit": cbor.Tag(4, [True, 8])}, "warm_limit"),
        ({"warm_for_ms": 0}, "warm_for_ms"),
        ({"warm_for_ms": True}, "warm_for_ms"),
        ({"silence_for_ms": loan_rules.MAX_RULE_MS + 1}, "silence_for_ms"),
        ({"advance_bps": 10_001}, "advance_bps"),
        ({"cure_ms": None}, "cure_ms"),
        ({"grace_ms": 5}, "grace_ms"),
        ({"haircut_silence_bps": 1999}, "unplugging"),
    ],
)
def test_rules_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RulesError, match=message):
        Rules.parse(cbor.Map(list((RULES | change).items())))


def test_rules_must_be_whole() -> None:
    for name in RULES:
        with pytest.raises(RulesError, match=name):
            Rules.parse(cbor.Map([(key, value) for key, value in RULES.items() if key != name]))
    with pytest.raises(RulesError, match="map"):
        Rules.parse([RULES])
    with pytest.raises(RulesError, match="unknown"):
        Rules.parse(cbor.Map([*RULES.items(), ([1], 1)]))


def test_other_rules_than_the_facilitys() -> None:
    state, rules = opened()
    with pytest.raises(DecideError, match="rules"):
        decide(state, as_of(MINUTE_MS), replace(rules, hash=bytes(32)))


# --- too warm


def warm_then_cold(warm_ms: int) -> list[Observation]:
    """Cold for a minute, then one warm reading, and cold again so that the warm stretch is `warm_ms` long by uptime."""
    return [seen(1, 0), seen(2, MINUTE_MS), seen(3, 2 * MINUTE_MS, WARM), seen(4, MINUTE_MS + warm_ms)]


# A node's minute may be 200 ppm longer than a true one: 30 minutes of uptime are at most 30 minutes and 360 ms.
BREAKS_MS = 29 * MINUTE_MS + 59_640


@pytest.mark.parametrize(("warm_ms", "breaks"), [(BREAKS_MS - 1, False), (BREAKS_MS, True)])
def test_warm_threshold(warm_ms: int, breaks: bool) -> None:
    state, rules = opened()
    after, effects = decide(state, as_of(40 * MINUTE_MS, *warm_then_cold(warm_ms)), rules)
    if not breaks:
        assert effects == []
        assert after.status == "active"
        return
    assert effects == [
        ["alert", "too-warm", A.thumbprint, 30 * MINUTE_MS, 30 * MINUTE_MS],
        ["haircut", 2000],
        ["margin-call", 10_000_000, "CNY", SINCE_MS + 40 * MINUTE_MS + 24 * 60 * MINUTE_MS],
    ]
    assert (after.status, after.haircut_bps, after.broken) == ("margin_call", 2000, ("too-warm",))


@pytest.mark.parametrize(
    ("temperature", "warm"),
    [
        ((-1, 80), False),  # at the limit
        ((-2, 800), False),
        ((0, 8), False),
        ((-2, 801), True),
        ((-12, 8_000_000_000_001), True),
        ((12, 1), True),
        ((-12, -1), False),
        (None, True),  # a fault: nobody can say that it was cold
    ],
)
def test_what_counts_as_warm(temperature: tuple[int, int] | None, warm: bool) -> None:
    state, rules = opened()
    after, _ = decide(state, as_of(3 * MINUTE_MS, *every(MINUTE_MS, temperature, temperature)), rules)
    assert (after.nodes[0].warm_ms > 0) is warm


def test_a_single_cold_reading_does_not_end_a_warm_stretch() -> None:
    state, rules = opened()
    one_cold, two_cold = [WARM, COLD] * 16, [WARM, COLD, COLD] * 11
    assert "too-warm" in kinds(decide(state, as_of(40 * MINUTE_MS, *every(MINUTE_MS, *one_cold)), rules)[1])
    assert kinds(decide(state, as_of(40 * MINUTE_MS, *every(MINUTE_MS, *two_cold)), rules)[1]) == []


def test_time_after_the_last_reading_is_silence_not_warmth() -> None:
    state, rules = opened()
    after, effects = decide(state, as_of(59 * MINUTE_MS, *every(MINUTE_MS, COLD, WARM)), rules)
    assert effects == []
    assert after.nodes[0].warm_ms == MINUTE_MS + 12


# --- silence


@pytest.mark.parametrize(("at_ms", "breaks"), [(61 * MINUTE_MS - 1, False), (61 * MINUTE_MS, True)])
def test_silence_threshold(at_ms: int, breaks: bool) -> None:
    state, rules = opened()
    after, effects = decide(state, as_of(at_ms, seen(1, MINUTE_MS)), rules)
    assert (kinds(effects) == ["silence", "haircut", "margin-call"]) is breaks
    assert (core.silent_at_ms(state, rules), core.silent_at_ms(after, rules)) == (
        SINCE_MS + 60 * MINUTE_MS,
        None if breaks else SINCE_MS + 61 * MINUTE_MS,
    )


def test_a_node_that_never_speaks_is_silent_from_the_start() -> None:
    state, rules = opened((A, B))
    _, effects = decide(state, as_of(60 * MINUTE_MS, seen(1, 59 * MINUTE_MS), node=A), rules)
    assert effects[0] == ["alert", "silence", B.thumbprint, 60 * MINUTE_MS, 60 * MINUTE_MS]
    before, _ = decide(state, as_of(59 * MINUTE_MS, seen(1, 59 * MINUTE_MS), node=A), rules)
    assert core.silent_at_ms(before, rules) == SINCE_MS + 60 * MINUTE_MS


def test_silence_counts_from_the_earliest_time_not_from_the_latest() -> None:
    """A reading that was published late may be old: its anchor, not its arrival, says how young it must be."""
    late = seen(1, MINUTE_MS, latest_ms=SINCE_MS + 50 * MINUTE_MS)
    state, rules = opened()
    assert kinds(decide(state, as_of(61 * MINUTE_MS, late), rules)[1])[0] == "silence"


def test_a_reading_without_an_anchor_is_as_old_as_it_can_be() -> None:
    state, rules = opened()
    window = [seen(1, MINUTE_MS), seen(2, 30 * MINUTE_MS, anchor=None), seen(3, 59 * MINUTE_MS, anchor=None)]
    after, _ = decide(state, as_of(60 * MINUTE_MS, *window), rules)
    # The uptime since the last anchor counts, as slow as a fast clock makes it.
    assert after.nodes[0].earliest_ms == SINCE_MS + MINUTE_MS + 58 * MINUTE_MS * 999_800 // 1_000_000
    bare = [one._replace(anchor=None) for one in window]
    assert decide(state, as_of(59 * MINUTE_MS, *bare), rules)[0].nodes[0].earliest_ms == SINCE_MS


def test_silence_between_two_readings_of_one_boot() -> None:
    """Late evidence shows an hour without a reading although both ends are there."""
    state, rules = opened()
    _, effects = decide(state, as_of(62 * MINUTE_MS, seen(1, MINUTE_MS), seen(2, 61 * MINUTE_MS)), rules)
    assert effects[0] == ["alert", "silence", A.thumbprint, 60 * MINUTE_MS + 720, 60 * MINUTE_MS]


# --- what links


def reboot(seq: int, at_ms: int, last_persisted: int, **other: Any) -> Observation:
    values: dict[str, Any] = {"boot": 2, "uptime_ms": 100, "last_persisted": last_persisted}
    values["previous"] = link(last_persisted)
    return seen(seq, at_ms, **(values | other))


def test_an_undeclared_gap_is_refused_and_so_becomes_silence() -> None:
    state, rules = opened()
    with pytest.raises(DecideError, match="reading 3 does not link"):
        decide(state, as_of(4 * MINUTE_MS, seen(1, 0), seen(3, 2 * MINUTE_MS)), rules)
    held, _ = decide(state, as_of(2 * MINUTE_MS, seen(1, 0)), rules)
    assert "silence" in kinds(decide(held, as_of(60 * MINUTE_MS), rules)[1])


def test_a_reboot_that_declares_its_gap_links() -> None:
    state, rules = opened()
    window = [*every(MINUTE_MS, COLD, COLD, COLD), reboot(257, 10 * MINUTE_MS, 2)]
    after, effects = decide(state, as_of(11 * MINUTE_MS, *window), rules)
    assert effects == []
    assert after.nodes[0].last == window[-1]


def test_a_reboot_does_not_make_the_readings_before_it_older() -> None:
    """The new boot has no anchor yet: the old one says less than the reading before it already proved."""
    state, rules = opened()
    window = [seen(1, 0), seen(2, 30 * MINUTE_MS, anchor=None), reboot(3, 31 * MINUTE_MS, 2, anchor=None)]
    after, _ = decide(state, as_of(32 * MINUTE_MS, *window), rules)
    assert after.nodes[0].earliest_ms == SINCE_MS + 30 * MINUTE_MS * 999_800 // 1_000_000


def test_the_declared_gap_is_silence_too() -> None:
    state, rules = opened()
    first = seen(1, MINUTE_MS)
    just, over = (reboot(2, at_ms, 1) for at_ms in (61 * MINUTE_MS - 1, 61 * MINUTE_MS))
    assert kinds(decide(state, as_of(61 * MINUTE_MS, first, just), rules)[1]) == []
    assert kinds(decide(state, as_of(61 * MINUTE_MS, first, over), rules)[1])[0] == "silence"


def gave_up(first: int, last: int, at_ms: int, temperature: tuple[int, int] | None = COLD) -> list[Observation]:
    """Readings `last` + 1 and `last` + 2 behind what was given up, the second of which declares it."""
    behind = seen(last + 1, at_ms, temperature)
    return [behind, seen(last + 2, at_ms + MINUTE_MS, COLD, gap=(first, last))]


def test_what_was_given_up_is_silence() -> None:
    """The reading that declares comes later in the window; the gap is time without a reading all the same."""
    state, rules = opened()
    first = seen(1, MINUTE_MS)
    for at_ms, found in ((60 * MINUTE_MS, []), (61 * MINUTE_MS, ["silence"])):
        after, effects = decide(state, as_of(62 * MINUTE_MS, first, *gave_up(2, 50, at_ms)), rules)
        assert kinds(effects)[:1] == found
        assert [node.last.seq for node in after.nodes if node.last] == [52]


def test_what_was_given_up_is_warm_when_either_side_is() -> None:
    state, rules = opened()
    for before, behind, found in (
        (COLD, COLD, []),
        (WARM, COLD, ["too-warm"]),
        (COLD, WARM, ["too-warm"]),
        (COLD, None, ["too-warm"]),
    ):
        window = [seen(1, MINUTE_MS, before), *gave_up(2, 30, 31 * MINUTE_MS, behind)]
        assert kinds(decide(state, as_of(33 * MINUTE_MS, *window), rules)[1])[:1] == found


def test_a_gap_that_nobody_declares_is_refused() -> None:
    """Whoever withholds readings cannot say so in the node's name; nor can another node, or an earlier window."""
    state, rules = opened((A, B))
    first, behind, declares = seen(1, MINUTE_MS), *gave_up(2, 3, 4 * MINUTE_MS)
    with pytest.raises(DecideError, match="does not link"):
        decide(state, as_of(6 * MINUTE_MS, first, behind), rules)
    with pytest.raises(DecideError, match="does not link"):
        decide(state, as_of(6 * MINUTE_MS, first, behind, declares._replace(gap=(2, 2))), rules)
    others = {A.thumbprint: [first, behind], B.thumbprint: [*every(MINUTE_MS, *[COLD] * 4), declares]}
    with pytest.raises(DecideError, match="does not link"):
        decide(state, Event(10, SINCE_MS + 6 * MINUTE_MS, others), rules)
    # A stolen or broken node that declares what is still to come has declared nothing.
    told, _ = decide(state, as_of(6 * MINUTE_MS, first._replace(gap=(1, 9))), rules)
    with pytest.raises(DecideError, match="does not link"):
        decide(told, as_of(6 * MINUTE_MS, behind, size=11), rules)


def test_a_declaration_changes_nothing_about_readings_that_arrived() -> None:
    state, rules = opened()
    window = every(MINUTE_MS, COLD, WARM, COLD, COLD)
    wide = [*window[:-1], window[-1]._replace(gap=(1, 3))]
    plain, told = (decide(state, as_of(5 * MINUTE_MS, *found), rules) for found in (window, wide))
    assert plain == told
    assert core.state_hash(plain[0]) == core.state_hash(told[0])
    assert core.decode_state(core.encode(told[0])) == told[0]
    with pytest.raises(DecideError, match="does not link"):
        decide(state, as_of(5 * MINUTE_MS, *wide[:2], wide[2]._replace(previous=link(9)), wide[3]), rules)


def test_a_state_has_the_bytes_that_it_always_had() -> None:
    """Decisions that were made before there were gap records are computed again to the byte."""
    state, rules = opened()
    after, _ = decide(state, as_of(3 * MINUTE_MS, *every(MINUTE_MS, COLD, WARM)), rules)
    last = after.nodes[0].last
    assert last is not None
    fields = cbor.decode(core.encode(after))[8][0][4]
    expected = [2, 1, 2 * MINUTE_MS, link(1), link(2), [1, 2 * MINUTE_MS, SINCE_MS + 2 * MINUTE_MS]]
    assert fields == [*expected, SINCE_MS + 2 * MINUTE_MS, list(WARM), None]
    assert core.decode_observation(core.encode(last)) == last
    told = last._replace(gap=(1, 1))
    assert core.decode_observation(core.encode(told)) == told


def test_unplugging_a_warm_node_never_pays() -> None:
    """The node goes dark while the room is warm and comes back when it is cold: the dark time counts as warm."""
    state, rules = opened()
    dark = [*every(MINUTE_MS, COLD, WARM), reboot(3, 33 * MINUTE_MS, 2)]
    assert "too-warm" in kinds(decide(state, as_of(34 * MINUTE_MS, *dark), rules)[1])
    for_good = decide(state, as_of(62 * MINUTE_MS, *every(MINUTE_MS, COLD, WARM)), rules)[0]
    honest = decide(state, as_of(40 * MINUTE_MS, *every(MINUTE_MS, COLD, *[WARM] * 35)), rules)[0]
    assert for_good.haircut_bps >= honest.haircut_bps > 0


@pytest.mark.parametrize(
    "second",
    [
        seen(3, MINUTE_MS),
        seen(2, MINUTE_MS, previous=link(7)),
        seen(2, MINUTE_MS, previous=None),
        seen(1, MINUTE_MS, previous=link(1)),
        seen(2, MINUTE_MS, boot=2),  # a new boot without a boot record
        reboot(3, MINUTE_MS, 2),  # it still had reading 2
        reboot(3, MINUTE_MS, 2, previous=link(1)),
        reboot(1, MINUTE_MS, 0, previous=None),
        reboot(2, MINUTE_MS, 1, boot=0),
        reboot(2, MINUTE_MS, 1, previous=link(9)),  # it names another reading 1
    ],
)
def test_what_does_not_link(second: Observation) -> None:
    state, rules = opened()
    first, _ = decide(state, as_of(0, seen(1, 0, uptime_ms=5)), rules)
    with pytest.raises(DecideError, match="does not link"):
        decide(first, as_of(2 * MINUTE_MS, second), rules)


def test_a_chain_begins_at_its_genesis_or_before_the_association() -> None:
    node = Node(A.thumbprint, SINCE_MS)
    assert core.links(node, seen(1, MINUTE_MS), SINCE_MS)
    assert core.links(node, seen(300, 0), SINCE_MS)
    assert not core.links(node, seen(300, 1), SINCE_MS)


def test_time_before_the_association_does_not_count() -> None:
    """A node that hung in another room first: its last reading there was warm and hours ago."""
    state, rules = opened()
    window = [
        seen(8, -300 * MINUTE_MS, WARM, uptime_ms=0, anchor=None),
        seen(9, 5 * MINUTE_MS, uptime_ms=305 * MINUTE_MS),
    ]
    after, effects = decide(state, as_of(6 * MINUTE_MS, *window), rules)
    assert effects == []
    assert after.nodes[0].warm_ms == 5 * MINUTE_MS


def test_a_clock_that_falls_within_a_boot_measures_nothing() -> None:
    state, rules = opened()
    window = [seen(1, MINUTE_MS, WARM), seen(2, 40 * MINUTE_MS, uptime_ms=0)]
    after, effects = decide(state, as_of(41 * MINUTE_MS, *window), rules)
    assert effects[0] == ["alert", "too-warm", A.thumbprint, 39 * MINUTE_MS, 30 * MINUTE_MS]
    assert after.nodes[0].earliest_ms == SINCE_MS + 40 * MINUTE_MS


def test_contradictory_time_counts_for_nothing() -> None:
    """An anchor from after the reading's own proof would make the node look younger than it is."""
    state, rules = opened()
    good = seen(1, MINUTE_MS)
    forged = seen(2, 2 * MINUTE_MS, anchor=(1, 2 * MINUTE_MS, SINCE_MS + 63 * MINUTE_MS + 1))
    after, _ = decide(state, as_of(3 * MINUTE_MS, good, forged), rules)
    assert after.nodes[0].earliest_ms == SINCE_MS + MINUTE_MS
    assert after.nodes[0].anchor == good.anchor
    skewed = forged._replace(anchor=(1, 2 * MINUTE_MS, SINCE_MS + 3 * MINUTE_MS))
    after, _ = decide(state, as_of(3 * MINUTE_MS, good, skewed), rules)
    assert after.nodes[0].earliest_ms == SINCE_MS + 2 * MINUTE_MS, "witness clocks may differ; the earlier end counts"


# --- loans


def test_two_nodes_one_warm() -> None:
    state, rules = opened((A, B))
    warm, cold = every(MINUTE_MS, *[WARM] * 32), every(MINUTE_MS, *[COLD] * 32)
    event = Event(10, SINCE_MS + 33 * MINUTE_MS, {A.thumbprint: cold, B.thumbprint: warm})
    after, effects = decide(state, event, rules)
    assert [effect[:3] for effect in effects if effect[0] == "alert"] == [["alert", "too-warm", B.thumbprint]]
    assert event.value() == cbor.Map([("windows", [[A.thumbprint, 1, 32], [B.thumbprint, 1, 32]])])
    assert [node.last.seq for node in after.nodes if node.last] == [32, 32]


def test_a_covenant_breaks_once() -> None:
    state, rules = opened()
    window = every(MINUTE_MS, *[WARM] * 64)
    first, effects = decide(state, as_of(40 * MINUTE_MS, *window[:32]), rules)
    assert kinds(effects) == ["too-warm", "haircut", "margin-call"]
    second, effects = decide(first, as_of(70 * MINUTE_MS, *window[32:]), rules)
    assert effects == []
    assert (second.haircut_bps, second.call) == (first.haircut_bps, first.call)


def test_the_second_covenant_may_call_more_but_buys_no_time() -> None:
    state, rules = opened()
    warm, _ = decide(state, as_of(40 * MINUTE_MS, *every(MINUTE_MS, *[WARM] * 32)), rules)
    silent, effects = decide(warm, as_of(100 * MINUTE_MS), rules)
    assert warm.call is not None
    # 1,250,000.00 * 80 % * 50 % = 500,000.00; due when the first call was.
    assert effects[1:] == [["haircut", 5000], ["margin-call", 40_000_000, "CNY", warm.call[1]]]
    assert silent.broken == ("too-warm", "silence")


def test_the_second_covenant_alerts_even_when_it_costs_nothing_more() -> None:
    state, rules = opened()
    silent, _ = decide(state, as_of(60 * MINUTE_MS), rules)
    window = [seen(1, 61 * MINUTE_MS, WARM), seen(2, 95 * MINUTE_MS, WARM)]
    after, effects = decide(silent, as_of(96 * MINUTE_MS, *window), rules)
    assert kinds(effects) == ["too-warm"]
    assert (after.haircut_bps, after.call) == (silent.haircut_bps, silent.call)


def test_a_haircut_that_leaves_enough_calls_nothing() -> None:
    state, rules = opened(rules=RULES | {"haircut_warm_bps": 1000, "haircut_silence_bps": 1001})
    warm, effects = decide(state, as_of(40 * MINUTE_MS, *every(MINUTE_MS, *[WARM] * 32)), rules)
    assert kinds(effects) == ["too-warm", "haircut"], "90 % of 1,000,000.00 still covers 900,000.00"
    assert warm.status == "active"
    _, effects = decide(warm, as_of(100 * MINUTE_MS), rules)
    assert effects[-1][:2] == ["margin-call", 10_000]


def test_the_base_is_rounded_down() -> None:
    _, rules = opened()
    assert [rules.base_minor(value, bps) for value, bps in ((1, 0), (2, 0), (99, 2000), (99, 10_000))] == [0, 1, 63, 0]


def test_as_of_never_goes_back() -> None:
    state, rules = opened()
    first, _ = decide(state, as_of(MINUTE_MS, size=10), rules)
    for event in (as_of(MINUTE_MS, size=9), as_of(MINUTE_MS - 1, size=11)):
        with pytest.raises(DecideError, match="lies before"):
            decide(first, event, rules)
    decide(first, as_of(MINUTE_MS, size=10), rules)


def test_a_node_that_does_not_watch_the_lot() -> None:
    state, rules = opened()
    with pytest.raises(DecideError, match="watch"):
        decide(state, as_of(MINUTE_MS, seen(1, 0), node=B), rules)


# --- from real readings


def read(
    seq: int,
    previous: bytes,
    value: "senml.Value",
    boot: int = 1,
    persisted: int | None = None,
    gap: tuple[int, int] | None = None,
) -> reading.Reading:
    records = [Record("t", "Cel", value)]
    if persisted is not None:
        records += BootRecord("power-on", persisted, 256, bytes(8), bytes(8)).records()
    if gap is not None:
        records += GapRecord(*gap).records()
    pack = senml.encode_pack(senml.base_name(32473, A.kid), records)
    return reading.parse(statement.build_reading(A, Chain(boot, seq, 1000 * seq, previous, None), pack))


def test_observe() -> None:
    genesis = reading.genesis(ORIGIN, A.public_key)
    first = read(1, genesis, Decimal(-2, 451), persisted=0)
    anchor = AnchorTime(1, 10, SINCE_MS)
    found = core.observe(first, A.public_key, ORIGIN, anchor, SINCE_MS + 5)
    assert found == Observation(1, 1, 1000, None, first.link, (1, 10, SINCE_MS), SINCE_MS + 5, (-2, 451), 0)
    assert core.decode_observation(core.encode(found)) == found
    second = core.observe(read(2, first.link, 4), A.public_key, ORIGIN, None, SINCE_MS)
    assert (second.previous, second.temperature, second.last_persisted) == (first.link, (0, 4), None)
    assert core.observe(first, A.public_key, "other.example/log", None, SINCE_MS).previous == genesis
    assert (first.gap, second.gap) == (None, None)
    assert core.observe(read(9, bytes(16), 4, gap=(2, 7)), A.public_key, ORIGIN, None, SINCE_MS).gap == (2, 7)


@pytest.mark.parametrize("value", ["broken", True, b"\x01"])
def test_a_temperature_that_is_no_number_is_a_fault(value: "senml.Value") -> None:
    assert core.observe(read(2, bytes(16), value), A.public_key, ORIGIN, None, SINCE_MS).temperature is None


@given(
    before=st.tuples(st.integers(1, 4), st.integers(1, 2)),
    after=st.tuples(st.integers(1, 4), st.integers(1, 2), st.booleans(), st.none() | st.integers(0, 4)),
    gap=st.none() | st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_links_is_the_rule_of_the_proof(
    before: tuple[int, int], after: tuple[int, int, bool, int | None], gap: tuple[int, int] | None
) -> None:
    """decide folds exactly what a bundle's walk accepts as a chain."""
    (seq, boot), (next_seq, next_boot, names, persisted) = before, after
    earlier = read(seq, bytes(16), 4, boot)
    later = read(next_seq, earlier.link if names else b"\x01" * 16, 4, next_boot, persisted)
    node = Node(A.thumbprint, SINCE_MS, last=core.observe(earlier, A.public_key, ORIGIN, None, SINCE_MS))
    declared = chain.Declared([] if gap is None else [(*gap, 9)])
    folds = core.links(node, core.observe(later, A.public_key, ORIGIN, None, SINCE_MS), SINCE_MS, declared)
    assert folds is (chain.missing_between(earlier, later, declared) is not None)


def test_stored_bytes_are_checked() -> None:
    for junk in (b"", b"\x80", b"\xff", cbor.encode([1, 2, 3])):
        with pytest.raises(DecideError):
            core.decode_state(junk)
        with pytest.raises(DecideError):
            core.decode_observation(junk)


# --- properties


@st.composite
def lives(draw: st.DrawFn) -> list[Observation]:
    """A node's readings as they link: mostly cold, a reboot now and then, anchors sometimes, proofs late."""
    found: list[Observation] = []
    at_ms, uptime_ms, boot, seq, previous = 0, 0, 1, 1, None
    for _ in range(draw(st.integers(0, 12))):
        step_ms = draw(st.sampled_from([MINUTE_MS, 9 * MINUTE_MS, 25 * MINUTE_MS]))
        at_ms += step_ms
        uptime_ms += step_ms
        persisted = None
        if found and draw(st.integers(0, 5)) == 0:
            boot, uptime_ms, persisted = boot + 1, 50, draw(st.integers(0, found[-1].seq))
            previous = found[-1].link if persisted == found[-1].seq else link(persisted)
            seq += draw(st.integers(0, 3))
        anchor = (boot, uptime_ms, SINCE_MS + at_ms - draw(st.integers(0, 2 * MINUTE_MS)))
        found.append(
            Observation(
                seq=seq,
                boot=boot,
                uptime_ms=uptime_ms,
                previous=previous,
                link=link(seq),
                anchor=anchor if draw(st.booleans()) else None,
                latest_ms=SINCE_MS + at_ms + draw(st.integers(0, 5 * MINUTE_MS)),
                temperature=draw(st.sampled_from([COLD, COLD, COLD, WARM, None])),
                last_persisted=persisted,
            )
        )
        previous, seq = link(seq), seq + 1
    return found


@given(
    life=lives(),
    other=lives(),
    cuts=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    times=st.tuples(st.integers(0, 400), st.integers(0, 400)),
)
def test_it_is_a_fold(
    life: list[Observation], other: list[Observation], cuts: tuple[int, int], times: tuple[int, int]
) -> None:
    """Folding in two steps, of which the first has no effects, is folding in one."""
    state, rules = opened((A, B))
    early, late = sorted(SINCE_MS + minutes * MINUTE_MS for minutes in times)
    parts = {A.thumbprint: (life[: cuts[0]], life[cuts[0] :]), B.thumbprint: (other[: cuts[1]], other[cuts[1] :])}
    middle, effects = decide(state, Event(5, early, {node: part[0] for node, part in parts.items()}), rules)
    whole = decide(state, Event(9, late, {A.thumbprint: life, B.thumbprint: other}), rules)
    stepped = decide(middle, Event(9, late, {node: part[1] for node, part in parts.items()}), rules)
    if effects == []:
        assert stepped == whole
        assert core.state_hash(stepped[0]) == core.state_hash(whole[0])
    assert core.decode_state(core.encode(whole[0])) == whole[0]


@given(life=lives(), cut=st.integers(0, 12), minutes=st.integers(0, 500))
def test_hiding_the_newest_readings_never_improves_the_loan(life: list[Observation], cut: int, minutes: int) -> None:
    """Who holds readings back gains at most the time that the lender allows for silence, and then pays more."""
    state, rules = opened()
    at_ms = SINCE_MS + minutes * MINUTE_MS
    full, _ = decide(state, Event(9, at_ms, {A.thumbprint: life}), rules)
    hidden, _ = decide(state, Event(9, at_ms, {A.thumbprint: life[:cut]}), rules)
    assert hidden.nodes[0].earliest_ms <= full.nodes[0].earliest_ms
    still_allowed = at_ms - hidden.nodes[0].earliest_ms < rules.silence_for_ms
    assert still_allowed or hidden.haircut_bps >= full.haircut_bps
    assert still_allowed or (hidden.call or (0, 0))[0] >= (full.call or (0, 0))[0]


@given(life=lives(), minutes=st.integers(0, 500))
def test_weaker_evidence_never_improves_the_loan(life: list[Observation], minutes: int) -> None:
    """Faults instead of temperatures, proofs later, and no anchors: each can only cost."""
    state, rules = opened()
    at_ms = SINCE_MS + minutes * MINUTE_MS
    full, _ = decide(state, Event(9, at_ms, {A.thumbprint: life}), rules)
    for weaker in (
        [one._replace(temperature=None) for one in life],
        [one._replace(latest_ms=one.latest_ms + MINUTE_MS) for one in life],
        [one._replace(anchor=None) for one in life],
    ):
        found, _ = decide(state, Event(9, at_ms, {A.thumbprint: weaker}), rules)
        assert found.haircut_bps >= full.haircut_bps
        assert found.nodes[0].earliest_ms <= full.nodes[0].earliest_ms + MINUTE_MS


@given(life=lives(), hours=st.integers(1, 9))
def test_waiting_never_improves_the_loan(life: list[Observation], hours: int) -> None:
    state, rules = opened()
    now, _ = decide(state, as_of(400 * MINUTE_MS, *life), rules)
    later, _ = decide(now, as_of((400 + 60 * hours) * MINUTE_MS), rules)
    assert later.haircut_bps >= now.haircut_bps
    assert set(later.broken) >= set(now.broken)
