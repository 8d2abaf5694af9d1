"""The verifier's walk over readings: what it proves, what it remarks, and at which link it stops."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_proof import archive, bundle, chain, checkpoint, entry, keys, merkle, note, statement, verdict
from tallystick_proof.bundle import Builder, Manifest, Withheld
from tallystick_proof.errors import ArchiveError, CannotTell, NotVerified
from tallystick_proof.evidence import Evidence
from tallystick_proof.keys import Signer
from tallystick_proof.sync import MAX_BATCH_BYTES
from tallystick_proof.time import shortest_ms
from tallystick_proof.verdict import Verified, verify
from tallystick_wire import cbor, cose, reading

if TYPE_CHECKING:
    from tests.conftest import Story, World

DAY_MS = 86_400_000


def walked(world: "World", data: bytes, **options: Any) -> Verified:
    return verify(Evidence(data, world.trust, **options))


def broken(world: "World", data: bytes, **options: Any) -> str:
    """The link at which the walk stops."""
    with pytest.raises(NotVerified) as refused:
        walked(world, data, **options)
    assert refused.value.detail
    return refused.value.link


def codes(verified: Verified) -> list[str]:
    return [remark.code for remark in verified.remarks]


def with_members(data: bytes, **changed: bytes | None) -> bytes:
    """The bundle with members of these stems (underscores for the first dash) changed; None removes one."""
    members: dict[str, bytes | None] = {**archive.read(data), **changed}
    return archive.write({name: content for name, content in members.items() if content is not None})


# --- what is proved


def test_a_reading_led_up_to_from_its_anchor(world: "Story") -> None:
    found = walked(world, world.reading_bundle("node-a", 2))
    assert [one.reading.chain.seq for one in found.readings] == [1, 2]
    first, last = found.readings
    assert first.anchor is not None
    assert last.anchor is None
    assert last.last_anchor == first.anchor
    made = world.nodes["node-a"].made
    elapsed_ms = made[2].chain.uptime_ms - first.anchor.uptime_ms
    assert found.earliest_ms == first.anchor.earliest_ms + shortest_ms(elapsed_ms)
    proof_of_batch = world.ledger.check(world.ledger.first_note(world.ledger_index("node-a", 2)))
    assert found.latest_ms == proof_of_batch.quorum_ms
    assert last.interval.gateway_says_ms is not None
    assert last.interval.consistent
    assert codes(found) == ["absence"]
    assert [(key.kind) for key in found.keys] == ["gateway", "node"]
    assert set(found.not_proved) <= set(verdict.NOT_PROVED)


def test_a_reading_that_carries_its_own_anchor(world: "Story") -> None:
    found = walked(world, world.reading_bundle("node-a", 3))
    assert [one.reading.chain.seq for one in found.readings] == [3]


def test_a_window_over_three_batches(world: "Story") -> None:
    evidence = Evidence(world.window_bundle("node-b", 1, 8), world.trust)
    found = verify(evidence)
    assert [one.reading.chain.seq for one in found.readings] == list(range(1, 9))
    assert evidence.batches == 3
    assert found.earliest_ms == min(one.interval.earliest_ms or 0 for one in found.readings)
    assert found.latest_ms == found.readings[-1].interval.latest_ms
    entries = [one.entry_index for one in found.readings]
    assert entries == sorted(entries)


def test_entries_of_others_stay_withheld(world: "Story") -> None:
    members = archive.read(world.window_bundle("node-a", 3, 7))
    name = next(name for name in members if name.endswith(".entries"))
    items = bundle.decode_entries(name, members[name])
    assert [isinstance(item, Withheld) for item in items] == [False, True, False, True, False, True, False, True, False]


def test_the_head_grows_old(world: "Story") -> None:
    evidence = Evidence(world.reading_bundle("node-a", 2), world.trust)
    found = verify(evidence, now_ms=world.now_ms + 30 * DAY_MS)
    assert codes(found) == ["old-head", "absence"]
    assert "30 days" in found.remarks[0].text
    assert codes(verify(Evidence(world.reading_bundle("node-a", 2), world.trust), now_ms=world.now_ms)) == ["absence"]


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


# --- time


def test_no_anchor_no_lower_bound(make_world: "Callable[..., World]") -> None:
    world = make_world("no-anchor")
    world.minute()
    world.minute()
    world.sync()
    found = walked(world, world.reading_bundle("node-a", 2))
    assert [one.reading.chain.seq for one in found.readings] == [2], "nothing leads to a bound, so nothing is shown"
    assert (found.earliest_ms, codes(found)) == (None, ["no-lower-bound", "absence"])


def test_an_anchor_younger_than_the_proof(make_world: "Callable[..., World]") -> None:
    """Cosignatures dated in the future: earliest after latest is a contradiction, not an interval."""
    world = make_world("future")
    world.revoke("gateway-2")
    world.publish(lags_s=(7200, 7200))
    world.anchor()
    world.minute()
    world.sync()
    assert broken(world, world.reading_bundle("node-a", 1)) == "time"
    evidence = Evidence(world.reading_bundle("node-a", 1), world.trust)
    lenient = evidence.window(world.signers["node-a"].thumbprint, 1, 1, strict=False)
    assert not lenient[0].interval.consistent, "a decision's core counts it against the borrower"


def test_every_anchor_must_be_there(world: "Story") -> None:
    """Also where no time comes from it any more."""
    data = world.window_bundle("node-a", 1, 8)
    anchors = [name for name in archive.read(data) if name.startswith("anchor-")]
    assert len(anchors) == 2
    for name in anchors:
        assert broken(world, with_members(data, **{name: None})) == "anchor"


def test_a_lead_that_is_too_long(make_world: "Callable[..., World]") -> None:
    """What leads to a reading starts at the nearest anchor: there is one bundle, not many."""
    world = make_world("lead")
    world.anchor()
    world.minute()
    world.minute()
    world.anchor()
    world.minute()
    world.minute()
    world.sync()
    node = world.signers["node-a"].thumbprint
    assert [one.reading.chain.seq for one in walked(world, world.reading_bundle("node-a", 4)).readings] == [3, 4]
    for first in (1, 2):
        longer = world.window_bundle("node-a", first, 4)
        data = with_members(longer, **{bundle.MANIFEST: Manifest("reading", (node, 4), world.origin).encode()})
        assert broken(world, data) == "anchor"


# --- keys


def revoked(make_world: "Callable[..., World]", who: str, reason: str, before: bool) -> "tuple[World, bytes]":
    """A world in which `who` is revoked before or after the reading is logged, and the bundle says so."""
    world = make_world("revoked")
    world.anchor()
    world.minute()
    if before:
        identity = world.revoke(who, reason)
        world.publish()
    world.sync()
    if not before:
        identity = world.revoke(who, reason)
        world.publish()
    genuine = archive.read(world.reading_bundle("node-a", 1))
    builder = Builder("reading", [world.signers["node-a"].thumbprint, 1], world.origin)
    world.add_revocation(builder, identity)
    return world, archive.write({**genuine, **archive.read(builder.to_bytes())})


@pytest.mark.parametrize("who", ["node-a", "gateway"])
@pytest.mark.parametrize(("reason", "code"), [("retired", "revoked-later"), ("compromised", "disputed")])
def test_revoked_later(make_world: "Callable[..., World]", who: str, reason: str, code: str) -> None:
    world, data = revoked(make_world, who, reason, before=False)
    assert codes(walked(world, data)) == [code, "absence"]


@pytest.mark.parametrize("who", ["node-a", "gateway"])
def test_revoked_before(make_world: "Callable[..., World]", who: str) -> None:
    world, data = revoked(make_world, who, "retired", before=True)
    assert broken(world, data) == "enrolment"


def test_a_revocation_of_somebody_else_is_left_over(make_world: "Callable[..., World]") -> None:
    world, data = revoked(make_world, "node-b", "retired", before=False)
    assert broken(world, data) == "enrolment"


def test_dates_of_an_enrolment(make_world: "Callable[..., World]") -> None:
    for bounds, link in (
        ({"not_after": 1_760_000_000_000}, "enrolment"),
        ({"not_before": 1_860_000_000_000}, "enrolment"),
        ({"not_before": 1_760_000_000_000, "not_after": 1_860_000_000_000}, None),
    ):
        world = make_world("dates")
        world.signers["node-c"] = Signer(keys.NODE, world.secret("node-c"))
        world.enrolments["node-c"] = world.enrol("node-c", **bounds)
        world.publish()
        world.nodes["node-c"] = type(world.nodes["node-a"])(world, "node-c")
        world.anchor()
        world.minute()
        world.sync()
        data = world.reading_bundle("node-c", 1)
        if link is None:
            assert codes(walked(world, data)) == ["absence"]
        else:
            assert broken(world, data) == link


def test_calibration_overdue(make_world: "Callable[..., World]") -> None:
    world = make_world("calibration")
    overdue = cbor.Map([*_instrument(world).pairs[:2], ("due_ms", 1_750_000_000_000), *_instrument(world).pairs[3:]])
    world.signers["node-c"] = Signer(keys.NODE, world.secret("node-c"))
    world.enrolments["node-c"] = world.enrol("node-c", instrument=overdue)
    world.publish()
    world.nodes["node-c"] = type(world.nodes["node-a"])(world, "node-c")
    world.anchor()
    world.minute()
    world.sync()
    assert codes(walked(world, world.reading_bundle("node-c", 1))) == ["calibration-overdue", "absence"]


def _instrument(world: "World") -> cbor.Map:
    found = statement.parse(world.statements[world.enrolments["node-a"]][0]).body["instrument"]
    pairs = dict(found.pairs)
    order = ("model", "serial", "due_ms", "calibration", "firmware", "channels")
    return cbor.Map([(name, pairs[name]) for name in order])


def test_a_reading_logged_before_its_node_was_enrolled(make_world: "Callable[..., World]") -> None:
    """It waits in the log, and counts once the enrolment is there."""
    world = make_world("early")
    world.signers["node-c"] = Signer(keys.NODE, world.secret("node-c"))
    world.nodes["node-c"] = type(world.nodes["node-a"])(world, "node-c")
    world.anchor()
    world.minute()
    world.sync()
    world.enrolments["node-c"] = world.enrol("node-c")
    world.publish()
    assert codes(walked(world, world.reading_bundle("node-c", 1))) == ["absence"]


# --- witnesses


@pytest.mark.parametrize("quorum", ["none", "all"])
def test_unwitnessed(make_world: "Callable[..., World]", quorum: str) -> None:
    """No quorum asked for, or one cosignature missing: not verified, unless the reader says so."""
    world = make_world("alone", quorum=quorum)
    lags_s = (0,) if quorum == "all" else ()
    world.ledger.published.clear()
    world.publish(lags_s=lags_s)
    world.anchor()
    world.minute()
    world.gateways["gateway"].sync()
    world.publish(lags_s=lags_s)
    data = world.reading_bundle("node-a", 1)
    assert broken(world, data) == "witness"
    found = walked(world, data, unwitnessed_ok=True)
    assert codes(found)[0] == "unwitnessed"
    assert (found.earliest_ms, found.latest_ms) == (None, None)
    assert "WITHOUT witnesses" in next(step.text for step in found.steps if step.link == "witness")


# --- batches


def rebuilt(world: "World", change: Callable[[list[bundle.Item], int], tuple[list[bundle.Item], int]]) -> bytes:
    """The window 3 to 7 of node-a with another choice of what its one batch shows; every proof is right."""
    data = world.window_bundle("node-a", 3, 7)
    members = archive.read(data)
    stem = next(name.removesuffix(".entries") for name in members if name.endswith(".entries"))
    gateway = world.gateways["gateway"]
    items = bundle.decode_entries("", members[stem + ".entries"])
    start, size, _ = bundle.decode_range("", members[stem + ".range"])
    items, start = change(items, start)
    hashes = gateway.tree.tree().range_proof(start, start + len(items), size)
    changed = {
        stem + ".entries": bundle.encode_entries(items),
        stem + ".range": bundle.encode_range(start, size, hashes),
    }
    return with_members(data, **changed)


def test_a_batch_rebuilt_unchanged(world: "Story") -> None:
    data = rebuilt(world, lambda items, start: (items, start))
    assert data == world.window_bundle("node-a", 3, 7)


def test_a_range_that_is_too_wide(world: "Story") -> None:
    entries = world.gateways["gateway"].entries

    def before(items: list[bundle.Item], start: int) -> tuple[list[bundle.Item], int]:
        return [Withheld(merkle.leaf_hash(entries[start - 1])), *items], start - 1

    def behind(items: list[bundle.Item], start: int) -> tuple[list[bundle.Item], int]:
        return [*items, Withheld(merkle.leaf_hash(entries[start + len(items)]))], start

    for change in (before, behind):
        assert broken(world, rebuilt(world, change)) == "unreachable"


def test_an_entry_shown_that_nobody_asked_for(world: "Story") -> None:
    entries = world.gateways["gateway"].entries

    def show(at: int) -> Callable[[list[bundle.Item], int], tuple[list[bundle.Item], int]]:
        return lambda items, start: ([*items[:at], entries[start + at], *items[at + 1 :]], start)

    assert broken(world, rebuilt(world, show(1))) == "unreachable"


def test_a_note_of_the_gateway_shown(world: "Story") -> None:
    entries = world.gateways["gateway"].entries
    note_index = next(at for at, data in enumerate(entries) if cbor.decode(data)[0] == entry.NOTE)
    data = world.window_bundle("node-a", 1, 2)
    members = archive.read(data)
    stem = next(name.removesuffix(".entries") for name in members if name.endswith(".entries"))
    size = bundle.parse_batch_stem(stem)[2]
    hidden = [Withheld(merkle.leaf_hash(one)) for one in entries[1:note_index]]
    items: list[bundle.Item] = [entries[0], *hidden, entries[note_index]]
    hashes = world.gateways["gateway"].tree.tree().range_proof(0, note_index + 1, size)
    changed = {
        stem + ".entries": bundle.encode_entries(items),
        stem + ".range": bundle.encode_range(0, size, hashes),
    }
    assert broken(world, with_members(data, **changed)) == "leaf"


def test_a_needed_entry_withheld(world: "Story") -> None:
    def hide(items: list[bundle.Item], start: int) -> tuple[list[bundle.Item], int]:
        shown = items[2]
        assert isinstance(shown, bytes)
        return [*items[:2], Withheld(merkle.leaf_hash(shown)), *items[3:]], start

    assert broken(world, rebuilt(world, hide)) == "chain"


def test_the_same_reading_twice(make_world: "Callable[..., World]") -> None:
    """A node sends again, the gateway logs it twice: one of the two entries is shown."""
    world = make_world("twice")
    world.anchor()
    world.minute()
    again = world.gateways["gateway"].take(entry.READING, world.nodes["node-a"].made[1].data)
    world.sync()
    data = world.reading_bundle("node-a", 1)
    assert codes(walked(world, data)) == ["absence"]
    members = archive.read(data)
    stem = next(name.removesuffix(".entries") for name in members if name.endswith(".entries"))
    entries = world.gateways["gateway"].entries
    size = bundle.parse_batch_stem(stem)[2]
    items: list[bundle.Item] = [entries[0], Withheld(merkle.leaf_hash(entries[1])), entries[again]]
    hashes = world.gateways["gateway"].tree.tree().range_proof(0, 3, size)
    changed = {
        stem + ".entries": bundle.encode_entries(items),
        stem + ".range": bundle.encode_range(0, size, hashes),
    }
    assert broken(world, with_members(data, **changed)) == "leaf"


def test_a_reading_with_an_unprotected_header(make_world: "Callable[..., World]") -> None:
    """Its signature holds, but not the form in which a gateway must log it."""
    world = make_world("unprotected")
    world.anchor()
    world.minute()
    made = world.nodes["node-a"].measure(450)
    signed = made.sign1
    parts = [signed.protected, cbor.Map([(1, 1)]), signed.payload, signed.signature]
    headed = cbor.encode(cbor.Tag(cose.TAG_SIGN1, parts))
    index = world.gateways["gateway"].take(entry.READING, headed)
    world.where["node-a", 2] = ("gateway", index)
    world.sync()
    assert broken(world, world.reading_bundle("node-a", 2)) == "leaf"


def test_two_gateways_in_one_bundle(make_world: "Callable[..., World]") -> None:
    world = make_world("two")
    world.anchor()
    for gateway in ("gateway", "gateway-2", "gateway"):
        world.now_ms += 60_000
        world.measure("node-a", gateway=gateway)
    world.sync()
    found = walked(world, world.window_bundle("node-a", 1, 3))
    assert [one.gateway for one in found.readings] == [
        world.signers[name].thumbprint for name in ("gateway", "gateway-2", "gateway")
    ]
    assert len(found.keys) == 3


def test_a_checkpoint_of_the_gateway_with_two_lines(world: "Story") -> None:
    data = world.reading_bundle("node-a", 2)
    name = next(name for name in archive.read(data) if name.startswith("batch-") and name.endswith(".checkpoint"))
    signed = note.parse(archive.read(data)[name])
    twice = note.format(note.Note(signed.text, signed.lines * 2))
    assert broken(world, with_members(data, **{name: twice})) == "gateway-signature"


def test_a_batch_signed_by_another_gateway(make_world: "Callable[..., World]") -> None:
    """The other gateway is enrolled too, and its tree head is in the ledger: it is still not this one's."""
    world = make_world("imposter")
    world.anchor()
    world.minute()
    honest, other = world.gateways["gateway"], world.gateways["gateway-2"]
    origin = checkpoint.gateway_origin(world.origin, honest.signer.thumbprint, 1)
    text = checkpoint.Checkpoint(origin, honest.tree.size, honest.tree.tree().root()).text
    line = note.SignatureLine(
        origin,
        note.VerifierKey(origin, note.TYPE_ED25519, honest.signer.public_key).key_id,
        other.signer.sign(note.NoteBody(text)),
    )
    forged = note.format(note.Note(text, [line]))
    honest.batches.append((honest.tree.size, forged, world.ledger.log(entry.CHECKPOINT, forged)))
    world.publish()
    assert broken(world, world.reading_bundle("node-a", 1)) == "gateway-signature"


# --- manifest and members


@pytest.mark.parametrize(
    ("value", "link"),
    [
        (cbor.Map([(1, 1), (2, "item"), (3, [bytes(32), 1]), (4, "ledger.example/north")]), "manifest"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(32)]), (4, "ledger.example/north")]), "manifest"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(31), 1]), (4, "ledger.example/north")]), "manifest"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(32), True]), (4, "ledger.example/north")]), "manifest"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(32), 1]), (4, "ledger.example/south")]), "trust"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(32), 1]), (4, "ledger.example/north"), (5, 0)]), "manifest"),
        (cbor.Map([(1, True), (2, "reading"), (3, [bytes(32), 1]), (4, "ledger.example/north")]), "manifest"),
        ([1, 2, 3], "manifest"),
    ],
)
def test_manifests(world: "Story", value: Any, link: str) -> None:
    data = with_members(world.reading_bundle("node-a", 2), **{bundle.MANIFEST: cbor.encode(value)})
    assert broken(world, data) == link


def test_a_later_version(world: "Story") -> None:
    value = cbor.Map([(1, 2), (2, "reading"), (3, [bytes(32), 1]), (4, "ledger.example/north")])
    data = with_members(world.reading_bundle("node-a", 2), **{bundle.MANIFEST: cbor.encode(value)})
    with pytest.raises(CannotTell, match="version 2"):
        Evidence(data, world.trust)


def test_another_subject(world: "Story") -> None:
    data = world.reading_bundle("node-a", 2)
    node, other = world.signers["node-a"].thumbprint, world.signers["node-b"].thumbprint
    subjects: list[tuple[str, bundle.Subject, str]] = [
        ("reading", (node, 1), "unreachable"),
        ("reading", (node, 3), "chain"),
        ("reading", (other, 2), "enrolment"),
        ("reading", (world.signers["gateway"].thumbprint, 2), "enrolment"),
        ("window", (node, 2, 2), "unreachable"),
        ("window", (node, 1, 3), "chain"),
        ("window", (node, 2, 1), "chain"),
    ]
    for kind, subject, link in subjects:
        manifest = Manifest(kind, subject, world.origin).encode()
        assert broken(world, with_members(data, **{bundle.MANIFEST: manifest})) == link, subject


def test_a_decision_has_its_own_walk(world: "Story") -> None:
    with pytest.raises(CannotTell):
        verify(Evidence(world.decision_bundle(world.loan, 0), world.trust))


def test_the_builder_refuses_two_versions_of_one_fact(world: "Story") -> None:
    builder = Builder("reading", [bytes(32), 1], world.origin)
    builder.add_anchor(7, b"one")
    builder.add_anchor(7, b"one")
    with pytest.raises(ArchiveError, match="twice"):
        builder.add_anchor(7, b"other")
    wrong: list[list[bytes | int]] = [[bytes(32)], [bytes(31), 1], [bytes(32), 1, 1], [bytes(32), -1]]
    for subject in wrong:
        with pytest.raises(ArchiveError, match="subject"):
            Builder("reading", subject, world.origin)


def test_progress_is_told(world: "Story") -> None:
    told: list[tuple[str, int, int]] = []
    evidence = Evidence(
        world.window_bundle("node-a", 1, 8), world.trust, progress=lambda *what: told.append(what)
    )
    verify(evidence)
    assert ("batches", 0, 3) in told
    assert ("readings", 0, 8) in told


# --- limits


def test_members_are_refused_by_size_before_they_are_decoded(world: "Story") -> None:
    data = world.reading_bundle("node-a", 2)
    stem = next(name.removesuffix(".entries") for name in archive.read(data) if name.endswith(".entries"))
    huge = {
        bundle.MANIFEST: (bundle.MAX_MANIFEST_BYTES, "manifest"),
        stem + ".range": (bundle.MAX_RANGE_BYTES, "root"),
        stem + ".entries": (bundle.MAX_ENTRIES_BYTES, "leaf"),
    }
    for name, (most, link) in huge.items():
        with pytest.raises(NotVerified, match=f"at most {most}") as refused:
            walked(world, with_members(data, **{name: bytes(most + 1)}))
        assert refused.value.link == link
    with pytest.raises(NotVerified, match=f"1 to {bundle.MAX_ITEMS} are allowed"):
        walked(world, with_members(data, **{stem + ".entries": b"\x40" * (bundle.MAX_ITEMS + 1)}))
    assert len(bundle.decode_entries("m", b"\x40" * bundle.MAX_ITEMS)) == bundle.MAX_ITEMS


def test_the_largest_batch_fits_its_member() -> None:
    """All withheld, or 4 MiB of entries: the bound refuses nothing that a gateway may sync."""
    withheld: list[bundle.Item] = [Withheld(bytes(32))] * bundle.MAX_ITEMS
    shown: list[bundle.Item] = [bytes(MAX_BATCH_BYTES // bundle.MAX_ITEMS)] * bundle.MAX_ITEMS
    for items in (withheld, shown):
        assert len(bundle.encode_entries(items)) <= bundle.MAX_ENTRIES_BYTES
    assert len(bundle.encode_range(2**62, 2**63, [bytes(32)] * 126)) <= bundle.MAX_RANGE_BYTES
    assert len(Manifest("window", (bytes(32), 2**63, 2**63), "x" * 128).encode()) <= bundle.MAX_MANIFEST_BYTES


def test_statements_that_had_expired(make_world: "Callable[..., World]") -> None:
    for late_ms, good in ((0, True), (120_000, False)):
        world = make_world("expired")
        world.signers["node-c"] = Signer(keys.NODE, world.secret("node-c"))
        world.enrolments["node-c"] = world.enrol("node-c", exp=world.now_ms + 1_000)
        world.publish(after_ms=1_000 + late_ms)
        world.nodes["node-c"] = type(world.nodes["node-a"])(world, "node-c")
        world.anchor()
        world.minute()
        world.sync()
        if good:
            assert codes(walked(world, world.reading_bundle("node-c", 1))) == ["absence"]
        else:
            assert broken(world, world.reading_bundle("node-c", 1)) == "enrolment"
