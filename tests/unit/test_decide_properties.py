"""The decision core on real readings and on any: it is a fold, and no trick with evidence improves a loan."""

import pytest
from decide_support import COLD, MINUTE_MS, ORIGIN, SINCE_MS, WARM, A, B, as_of, link, opened
from hypothesis import given
from hypothesis import strategies as st

from tallystick_finance import decide as core
from tallystick_finance.decide import DecideError, Event, Node, Observation, decide
from tallystick_proof import chain, statement
from tallystick_proof.time import AnchorTime
from tallystick_wire import cbor, reading, senml
from tallystick_wire.reading import BootRecord, Chain, GapRecord
from tallystick_wire.senml import Decimal, Record

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
