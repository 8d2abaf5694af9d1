"""The verifier's walk where readings are missing: restarts, and what a node gave up and declared."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from evidence_support import broken, codes, walked
from hypothesis import given
from hypothesis import strategies as st

from tallystick_proof import bundle, chain, entry, statement
from tallystick_proof.errors import NotVerified
from tallystick_proof.evidence import Evidence
from tallystick_wire import reading

if TYPE_CHECKING:
    from small_world import World


# --- restarts


def restarted(make_world: "Callable[..., World]", lost: int) -> "World":
    world = make_world("restart")
    world.anchor()
    for _ in range(4):
        world.minute()
    world.nodes["node-a"].restart(lost)
    for _ in range(2):
        world.minute()
    world.sync()
    return world


@pytest.mark.parametrize("lost", [0, 2])
def test_a_restart_declares_what_may_be_lost(make_world: "Callable[..., World]", lost: int) -> None:
    world = restarted(make_world, lost)
    found = walked(world, world.window_bundle("node-a", 1, 258))
    assert [one.reading.chain.seq for one in found.readings] == [1, 2, 3, 4, 257, 258]
    assert [one.missing.unknown for one in found.readings] == [0, 0, 0, 0, 252, 0]
    assert codes(found) == ["unclean-restart", "absence"]
    assert "up to 252 unknown" in found.remarks[0].text
    # The anchor of the earlier boot still bounds what came later, by the order of the chain alone.
    anchor = found.readings[0].anchor
    assert anchor is not None
    assert found.readings[-1].interval.earliest_ms == anchor.earliest_ms


def test_the_lead_crosses_a_restart(make_world: "Callable[..., World]") -> None:
    world = restarted(make_world, 0)
    made = world.nodes["node-a"].made
    assert bundle.lead(made[seq] for seq in (258, 257, 4, 3, 2, 1)) == 1
    assert bundle.lead(made[seq] for seq in (258, 257, 3, 2, 1)) == 258, "what does not link leads nowhere"
    assert bundle.lead([made[258]]) == 258


def test_a_boot_record_that_hides_what_was_persisted(make_world: "Callable[..., World]") -> None:
    """Reading 4 was persisted, so it cannot be left out before the restart."""
    world = restarted(make_world, 0)
    made = world.nodes["node-a"].made
    assert chain.missing_between(made[4], made[257]) == (0, (), 252)
    assert chain.missing_between(made[3], made[257]) is None
    del made[4]
    assert broken(world, world.window_bundle("node-a", 1, 258)) == "chain"


def test_a_reading_left_out(make_world: "Callable[..., World]") -> None:
    world = restarted(make_world, 0)
    del world.nodes["node-a"].made[2]
    assert broken(world, world.window_bundle("node-a", 1, 4)) == "chain"


def test_a_fork_does_not_link(make_world: "Callable[..., World]") -> None:
    """A clone with the node's key made another reading 2: the genuine reading 3 does not name it."""
    world = make_world("fork")
    world.anchor()
    world.minute()
    clone = make_world("fork").nodes["node-a"]
    clone.measure()
    world.minute()
    world.minute()
    forged = clone.measure(900)
    index = world.gateways["gateway"].take(entry.READING, forged.data)
    world.sync()
    world.nodes["node-a"].made[2] = forged
    world.where["node-a", 2] = ("gateway", index)
    assert broken(world, world.window_bundle("node-a", 2, 3)) == "chain"


# --- readings that were given up


def gave_up(make_world: "Callable[..., World]", *, declare: bool = True) -> "World":
    """Node a made 3 to 5 in vain, delivers 6 and 7, and says in 8 and 9 that it gave up 3 to 5."""
    world = make_world("given-up")
    world.anchor()
    for _ in range(2):
        world.minute()
    given_up = world.lose("node-a", 3)
    for _ in range(2):
        world.minute()
    world.nodes["node-a"].gap = given_up if declare else None
    for _ in range(2):
        world.minute()
    world.sync()
    return world


def test_declared_readings_may_be_missing_and_it_is_said(make_world: "Callable[..., World]") -> None:
    world = gave_up(make_world)
    found = walked(world, world.window_bundle("node-a", 1, 9))
    assert [one.reading.chain.seq for one in found.readings] == [1, 2, 6, 7, 8, 9]
    assert [one.missing for one in found.readings if one.missing != chain.NOTHING] == [(3, (8,), 0)]
    assert codes(found) == ["given-up", "absence"]
    kid = world.nodes["node-a"].signer.kid.hex()
    text = f"3 readings, 3 to 5, were given up by the node between reading 2 and reading 6 of {kid}"
    assert found.remarks[0].text == f"{text}; declared by reading 8"
    steps = {step.link: step.text for step in found.steps}
    assert steps["chain"] == "6 readings in line; 1 declared gap, 3 readings given up"
    # The node's own clock goes on over the gap, and so does the lower bound.
    assert found.readings[2].interval.earliest_ms is not None


def test_an_undeclared_gap_is_refused(make_world: "Callable[..., World]") -> None:
    """Whoever holds readings back cannot say so in the node's name."""
    world = gave_up(make_world, declare=False)
    assert broken(world, world.window_bundle("node-a", 1, 9)) == "chain"


def test_a_declaration_counts_in_its_own_window_only(make_world: "Callable[..., World]") -> None:
    world = gave_up(make_world)
    assert broken(world, world.window_bundle("node-a", 1, 7)) == "chain"
    assert codes(walked(world, world.window_bundle("node-a", 1, 8))) == ["given-up", "absence"]


def test_a_declaration_of_another_node_is_none(make_world: "Callable[..., World]") -> None:
    world = gave_up(make_world, declare=False)
    world.nodes["node-b"].gap = (3, 5)
    world.minute()
    world.sync()
    evidence = Evidence(world.windows_bundle({"node-a": (1, 10), "node-b": (1, 7)}), world.trust)
    assert evidence.window(world.signers["node-b"].thumbprint, 1, 7)
    with pytest.raises(NotVerified, match="does not follow"):
        evidence.window(world.signers["node-a"].thumbprint, 1, 10)


def test_a_declaration_that_is_too_narrow(make_world: "Callable[..., World]") -> None:
    world = gave_up(make_world, declare=False)
    world.nodes["node-a"].gap = (3, 4)
    world.minute()
    world.sync()
    assert broken(world, world.window_bundle("node-a", 1, 10)) == "chain"
    world.nodes["node-a"].gap = (5, 5)
    world.minute()
    world.sync()
    found = walked(world, world.window_bundle("node-a", 1, 11))
    assert found.remarks[0].text.endswith("; declared by 2 readings, 10 to 11")


def test_a_wide_declaration_says_nothing_about_readings_that_arrived(make_world: "Callable[..., World]") -> None:
    """1 to 9 are declared, 3 to 5 are missing: all others are still evidence, and still have to link."""
    world = gave_up(make_world, declare=False)
    world.nodes["node-a"].gap = (1, 9)
    world.minute()
    world.sync()
    found = walked(world, world.window_bundle("node-a", 1, 10))
    assert [one.reading.chain.seq for one in found.readings] == [1, 2, 6, 7, 8, 9, 10]
    made = world.nodes["node-a"].made
    declared = chain.Declared.of([made[10]])
    assert chain.missing_between(made[6], made[7], declared) == chain.NOTHING
    assert chain.missing_between(made[7], made[6], declared) is None
    clone = reading.parse(statement.build_reading(world.signers["node-a"], made[7].chain, made[1].payload))
    assert chain.missing_between(clone, made[8], declared) is None, "8 names the genuine 7"


def test_a_gap_over_a_restart(make_world: "Callable[..., World]") -> None:
    """What the boot record calls persisted must be declared; what lies behind it is unknown."""
    world = make_world("gap-restart")
    world.anchor()
    world.minute()
    world.nodes["node-a"].gap = world.lose("node-a", 4)
    world.nodes["node-a"].restart()
    world.measure("node-a")
    world.sync()
    found = walked(world, world.window_bundle("node-a", 1, 257))
    assert found.readings[1].missing == (4, (257,), 251)
    assert codes(found) == ["unclean-restart", "given-up", "absence"]
    assert found.remarks[1].text.startswith("4 readings, 2 to 5, were given up by the node between reading 1 and")


def test_a_boot_whose_first_reading_was_given_up_too(make_world: "Callable[..., World]") -> None:
    world = make_world("gap-boots")
    world.minute()
    first, _ = world.lose("node-a", 2)
    world.nodes["node-a"].restart()
    _, last = world.lose("node-a", 1)
    world.nodes["node-a"].gap = (first, last)
    world.measure("node-a")
    world.sync()
    found = walked(world, world.window_bundle("node-a", 1, 258))
    assert found.readings[1].missing == (256, (258,), 0)
    assert found.readings[1].reading.chain.boot == 2


def test_the_lead_crosses_a_declared_gap(make_world: "Callable[..., World]") -> None:
    world = gave_up(make_world)
    made = world.nodes["node-a"].made
    assert bundle.lead(made[seq] for seq in (9, 8, 7, 6, 2, 1)) == 1
    assert bundle.lead(made[seq] for seq in (7, 6, 2, 1)) == 7, "the reading that declares is not among them"
    assert bundle.lead((made[seq] for seq in (7, 6, 2, 1)), [made[8]]) == 1


@given(
    ranges=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair)))),
    wanted=st.tuples(st.integers(1, 35), st.integers(0, 15)).map(lambda pair: (pair[0], sum(pair))),
)
def test_declared_is_the_union_of_its_ranges(ranges: list[tuple[int, int]], wanted: tuple[int, int]) -> None:
    declared = chain.Declared((first, last, 100 + at) for at, (first, last) in enumerate(ranges))
    numbers = {number for first, last in ranges for number in range(first, last + 1)}
    found = declared.by(*wanted)
    assert bool(found) is numbers.issuperset(range(wanted[0], wanted[1] + 1))
    named = {number for seq in found for number in range(ranges[seq - 100][0], ranges[seq - 100][1] + 1)}
    assert not found or named.issuperset(range(wanted[0], wanted[1] + 1))
    assert declared.first_undeclared(wanted[0]) == next(n for n in range(wanted[0], 99) if n not in numbers)
