"""The decision core: opening a loan, both sides of every threshold, and what a broken covenant costs."""

from dataclasses import replace
from typing import Any

import pytest
from decide_support import COLD, MINUTE_MS, RULES, SINCE_MS, WARM, A, B, as_of, every, kinds, opened, seen, statements

from tallystick_finance import decide as core
from tallystick_finance.decide import DecideError, Event, NotOpenable, Observation, decide
from tallystick_proof import loan_rules
from tallystick_proof.errors import RulesError
from tallystick_proof.loan_rules import Rules
from tallystick_wire import cbor

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
