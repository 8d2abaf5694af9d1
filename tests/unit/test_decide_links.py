"""The decision core: which readings it folds, and what the gaps between them count for."""

from typing import Any

import pytest
from decide_support import COLD, MINUTE_MS, SINCE_MS, WARM, A, B, as_of, every, kinds, link, opened, seen

from tallystick_finance import decide as core
from tallystick_finance.decide import DecideError, Event, Node, Observation, decide
from tallystick_wire import cbor


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
