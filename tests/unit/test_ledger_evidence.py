"""Bundles: whatever the ledger builds, the verifier takes, and the same fact has the same bytes."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_support import LiveLedger, TestGateway

from tallystick_ledger.errors import Conflict, Malformed, NotFound
from tallystick_ledger.evidence import reading_bundle, window_bundle
from tallystick_ledger.gateway_tree import range_proof
from tallystick_ledger.publications import latest
from tallystick_proof import archive, merkle, statement
from tallystick_proof.errors import NotVerified
from tallystick_proof.evidence import Evidence
from tallystick_proof.merkle import Frontier
from tallystick_wire import senml

COUNT = 12


@pytest.fixture
def live(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    """Twelve readings of two nodes over three batches of one gateway; anchors at readings 3 and 9."""
    found = LiveLedger(tmp_path, make_world("evidence"))
    found.enrol("gateway", "gateway-2", "node-a", "node-b")
    found.settle()
    gateway = TestGateway(found.world)
    for number in range(1, COUNT + 1):
        if number in (3, 9):
            with found.ledger.db.read() as tx:
                published = latest(tx)
            assert published is not None
            found.world.nodes["node-a"].hold(published.note)
        for name in ("node-a", "node-b"):
            gateway.take(found.world.nodes[name].measure(450, 10).data)
        if number in (2, 7, COUNT):
            gateway.sync(found.ledger)
            found.settle()
    yield found
    found.close()


def node(live: LiveLedger, name: str = "node-a") -> bytes:
    thumbprint: bytes = live.world.signers[name].thumbprint
    return thumbprint


def test_every_reading_is_proved(live: LiveLedger) -> None:
    for name, seq in itertools.product(("node-a", "node-b"), range(1, COUNT + 1)):
        evidence = Evidence(reading_bundle(live.ledger, node(live, name), seq), live.world.trust)
        found = evidence.reading(node(live, name), seq)
        evidence.finish()
        assert found[-1].reading.chain.seq == seq
        anchored = name == "node-a" and seq >= 3
        assert (found[-1].interval.earliest_ms is not None) == anchored


def test_every_window_is_proved_from_its_anchor(live: LiveLedger) -> None:
    for first, last in itertools.combinations_with_replacement(range(1, COUNT + 1), 2):
        evidence = Evidence(window_bundle(live.ledger, node(live), first, last), live.world.trust)
        start = list(evidence.manifest.subject)[1]
        assert start == (9 if first >= 9 else 3 if first >= 3 else first)
        assert len(evidence.window(node(live), start, last)) == last - start + 1
        evidence.finish()


def test_same_fact_same_bytes_also_much_later(live: LiveLedger) -> None:
    before = reading_bundle(live.ledger, node(live), 5)
    gateway = TestGateway(live.world, "gateway-2")
    gateway.take(live.world.nodes["node-b"].measure(450, 10).data)
    gateway.sync(live.ledger)
    live.settle()
    live.clock.now_ms += 120_000
    live.publisher.publish_once()
    assert reading_bundle(live.ledger, node(live), 5) == before


def test_revocation_of_a_used_key_is_shown(live: LiveLedger) -> None:
    live.admit(live.world.statements[live.world.revoke("node-a", "compromised")][0])
    quiet = archive.read(reading_bundle(live.ledger, node(live), 5))
    assert not [name for name in quiet if name.startswith("statement-")], "not published yet, not provable yet"
    live.settle()
    data = reading_bundle(live.ledger, node(live), 5)
    assert len([name for name in archive.read(data) if name.startswith("statement-")]) == 2
    evidence = Evidence(data, live.world.trust)
    assert evidence.reading(node(live), 5)[-1].node.revoked_reason == "compromised"
    evidence.finish()


def test_what_is_not_there(live: LiveLedger) -> None:
    for thumbprint, seq in ((node(live), COUNT + 1), (bytes(32), 1), (node(live, "gateway"), 1)):
        with pytest.raises(NotFound):
            reading_bundle(live.ledger, thumbprint, seq)
    with pytest.raises(NotFound):
        window_bundle(live.ledger, node(live), 5, COUNT + 1)
    with pytest.raises(Malformed, match="not from 5 to 4"):
        window_bundle(live.ledger, node(live), 5, 4)


def given_up(live: LiveLedger) -> TestGateway:
    """Node a makes 13 to 15 in vain, delivers 16, and says in 17 that it gave 13 to 15 up."""
    gateway, maker = TestGateway(live.world, "gateway-2"), live.world.nodes["node-a"]
    for _ in range(3):
        maker.measure(450, 10)
    gateway.take(maker.measure(450, 10).data)
    maker.gap = (13, 15)
    gateway.take(maker.measure(450, 10).data)
    gateway.sync(live.ledger)
    live.settle()
    return gateway


def test_a_window_over_what_was_given_up(live: LiveLedger) -> None:
    given_up(live)
    for first, shown in ((10, [9, 10, 11, 12, 16, 17]), (16, [9, 10, 11, 12, 16, 17])):
        evidence = Evidence(window_bundle(live.ledger, node(live), first, 17), live.world.trust)
        found = evidence.window(node(live), 9, 17)
        evidence.finish()
        assert [one.reading.chain.seq for one in found] == shown
        assert [one.missing.given_up for one in found] == [0, 0, 0, 0, 3, 0]
        assert found[-1].interval.earliest_ms is not None
    assert Evidence(reading_bundle(live.ledger, node(live), 17), live.world.trust).reading(node(live), 17)


def test_a_window_that_ends_before_the_declaration(live: LiveLedger) -> None:
    """A reading's bundle then begins behind the gap; a window over it is refused, and says how far it must reach."""
    given_up(live)
    alone = Evidence(reading_bundle(live.ledger, node(live), 16), live.world.trust).reading(node(live), 16)
    assert [one.reading.chain.seq for one in alone] == [16]
    with pytest.raises(Conflict, match=r"12 and 16 do not link here: reading 17 declares .* a window up to 17"):
        window_bundle(live.ledger, node(live), 10, 16)


def test_a_gap_that_nobody_declared(live: LiveLedger) -> None:
    gateway, maker = TestGateway(live.world, "gateway-2"), live.world.nodes["node-a"]
    maker.measure(450, 10)
    gateway.take(maker.measure(450, 10).data)
    gateway.sync(live.ledger)
    live.settle()
    with pytest.raises(Conflict, match="12 and 14 do not link: ask for a window on one side"):
        window_bundle(live.ledger, node(live), 10, 14)


def test_unpublished_is_not_provable_yet(live: LiveLedger) -> None:
    gateway = TestGateway(live.world, "gateway-2")
    gateway.take(live.world.nodes["node-a"].measure(450, 10).data)
    gateway.sync(live.ledger)
    with pytest.raises(NotFound):
        reading_bundle(live.ledger, node(live), COUNT + 1)
    live.settle()
    assert reading_bundle(live.ledger, node(live), COUNT + 1)


def test_invalid_readings_are_no_evidence(live: LiveLedger) -> None:
    good = live.world.nodes["node-b"].measure(450, 10).data
    bad = bytearray(good)
    bad[-1] ^= 1
    gateway = TestGateway(live.world, "gateway-2")
    gateway.take(bytes(bad))
    gateway.sync(live.ledger)
    live.settle()
    with pytest.raises(NotFound, match="not valid"):
        reading_bundle(live.ledger, node(live, "node-b"), COUNT + 1)


def test_of_a_fork_only_the_first_is_evidence(live: LiveLedger) -> None:
    original = live.world.nodes["node-a"].made[10]
    pack = senml.encode_pack(original.pack.base_name, [senml.Record("t", "Cel", senml.Decimal(-2, 1))])
    clone = statement.build_reading(live.world.signers["node-a"], original.chain, pack)
    gateway = TestGateway(live.world, "gateway-2")
    gateway.take(clone, live.world.nodes["node-a"].measure(450, 10).data)
    gateway.sync(live.ledger)
    live.settle()
    for bundled in (reading_bundle(live.ledger, node(live), 10), window_bundle(live.ledger, node(live), 9, 12)):
        assert original.data in bundled
        assert clone not in bundled
    evidence = Evidence(window_bundle(live.ledger, node(live), 9, 12), live.world.trust)
    assert len(evidence.window(node(live), 9, 12)) == 4
    evidence.finish()


def test_lost_reading_breaks_a_window(live: LiveLedger) -> None:
    gateway = TestGateway(live.world, "gateway-2")
    live.world.nodes["node-a"].measure(450, 10)
    gateway.take(live.world.nodes["node-a"].measure(450, 10).data)
    gateway.sync(live.ledger)
    live.settle()
    with pytest.raises(Conflict, match="do not link"):
        window_bundle(live.ledger, node(live), 10, COUNT + 2)
    evidence = Evidence(reading_bundle(live.ledger, node(live), COUNT + 2), live.world.trust)
    assert len(evidence.reading(node(live), COUNT + 2)) == 1


def test_a_boot_that_declares_what_it_lost_links(live: LiveLedger) -> None:
    gateway = TestGateway(live.world, "gateway-2")
    device = live.world.nodes["node-a"]
    device.measure(450, 10)
    device.restart(1)
    gateway.take(device.measure(450, 10).data)
    gateway.sync(live.ledger)
    live.settle()
    last = device.seq
    assert last > 256, "the node went on behind its reserved numbers"
    evidence = Evidence(reading_bundle(live.ledger, node(live), last), live.world.trust)
    found = evidence.reading(node(live), last)
    evidence.finish()
    assert [one.reading.chain.seq for one in found] == [9, 10, 11, 12, last]


def test_altered_bundle_is_refused(live: LiveLedger) -> None:
    """A sample; the verifier's own tests flip every byte."""
    data = bytearray(reading_bundle(live.ledger, node(live), 5))
    for at in range(0, len(data), 97):
        data[at] ^= 1
        with pytest.raises(NotVerified):
            Evidence(bytes(data), live.world.trust).reading(node(live), 5)
        data[at] ^= 1


def test_range_proofs_from_a_frontier_equal_those_of_the_whole_tree() -> None:
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(40)]
    for first, size in itertools.combinations(range(0, 40, 3), 2):
        before = Frontier()
        for leaf in leaves[:first]:
            before.append(leaf)
        batch = leaves[first:size]
        for start, end in itertools.combinations(range(first, size + 1), 2):
            proof = range_proof(before.to_bytes(), batch, start, end)
            assert merkle.range_root(start, leaves[start:end], size, proof) == merkle.root(leaves[:size])
