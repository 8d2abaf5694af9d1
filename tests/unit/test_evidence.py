"""The verifier's walk over readings: what it proves, what it remarks, and at which link it stops."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from evidence_support import broken, codes, walked, with_members

from tallystick_proof import archive, bundle, keys, statement, verdict
from tallystick_proof.bundle import Builder, Manifest, Withheld
from tallystick_proof.evidence import Evidence
from tallystick_proof.keys import Signer
from tallystick_proof.time import shortest_ms
from tallystick_proof.verdict import verify
from tallystick_wire import cbor

if TYPE_CHECKING:
    from small_world import Story, World

DAY_MS = 86_400_000


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


# --- limits


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
