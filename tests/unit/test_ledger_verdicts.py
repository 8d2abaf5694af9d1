"""Verdicts: a function of the log's order and nothing else, whatever the order of work was."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_support import LiveLedger, TestGateway, fsck_findings

from tallystick_ledger.admit import admit
from tallystick_ledger.facts import START, facts
from tallystick_ledger.segment import unpack
from tallystick_ledger.sequencer import sequence, sequence_once
from tallystick_ledger.status import status
from tallystick_proof import statement
from tallystick_wire import cbor, cose, reading, senml
from tallystick_wire.reading import Chain


@pytest.fixture
def live(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    found = LiveLedger(tmp_path, make_world("verdicts"))
    found.enrol("gateway", "gateway-2", "node-a")
    found.settle()
    yield found
    assert fsck_findings(found) == []
    found.close()


def made(live: LiveLedger, count: int = 1, name: str = "node-a") -> list[bytes]:
    return [live.world.nodes[name].measure(450, 10).data for _ in range(count)]


def final(live: LiveLedger) -> list[tuple[int, str]]:
    """(sequence number, verdict) in log order, as the segments hold them now."""
    live.settle()
    with live.ledger.db.read() as tx:
        rows = tx.execute("SELECT batch, rows FROM segment ORDER BY batch, kid")
    placed = [(batch, item.offset, item.seq, item.verdict) for batch, packed in rows for item in unpack(packed)]
    return [(seq, verdict) for _, _, seq, verdict in sorted(placed)]


def history(live: LiveLedger) -> list[tuple[tuple[int, int], str | None]]:
    live.settle()
    return [(fact.place, fact.verdict) for fact in facts(live.ledger, START, 1000) if fact.kind == "reading"]


def forged(live: LiveLedger, like: bytes, name: str = "node-a", celsius_cents: int = 777) -> bytes:
    """Another reading with the same number, signed by the same key: what a cloned node makes."""
    chain = reading.parse(like).chain
    signer = live.world.signers[name]
    pack = senml.encode_pack(
        senml.base_name(live.world.trust.pen, signer.kid), [senml.Record("t", "Cel", senml.Decimal(-2, celsius_cents))]
    )
    return statement.build_reading(signer, chain, pack)


def test_unknown_node_then_enrolled(live: LiveLedger) -> None:
    gateway = TestGateway(live.world)
    gateway.take(*made(live, 2, "node-b"))
    gateway.sync(live.ledger)
    assert final(live) == [(1, "unknown key"), (2, "unknown key")]
    assert status(live.ledger)["unknown_nodes"] == [live.world.signers["node-b"].kid.hex()]
    live.enrol("node-b")
    assert final(live) == [(1, "valid"), (2, "valid")]
    assert status(live.ledger)["nodes"][1]["readings"] == {"valid": 2}
    assert history(live) == [
        ((3, 0), "unknown key"),
        ((3, 1), "unknown key"),
        ((4, 1), "valid"),
        ((4, 2), "valid"),
    ]


def test_enrolment_judges_bad_signatures_and_duplicates_too(live: LiveLedger) -> None:
    first, second = made(live, 2, "node-b")
    bad = bytearray(second)
    bad[-1] ^= 1
    gateway, other = TestGateway(live.world), TestGateway(live.world, "gateway-2")
    gateway.take(first, bytes(bad))
    gateway.sync(live.ledger)
    other.take(first, forged(live, first, "node-b"), second)
    other.sync(live.ledger)
    live.settle()
    live.enrol("node-b")
    assert final(live) == [(1, "valid"), (2, "bad signature"), (1, "duplicate"), (1, "fork"), (2, "valid")]


def test_enrolment_and_readings_in_one_round(live: LiveLedger) -> None:
    """Readings before and behind the enrolment, all pending at once: only the order of commits counts."""
    gateway = TestGateway(live.world)
    gateway.take(*made(live, 1, "node-b"))
    gateway.sync(live.ledger)
    live.enrol("node-b")
    gateway.take(*made(live, 1, "node-b"))
    gateway.sync(live.ledger)
    assert final(live) == [(1, "valid"), (2, "valid")]
    assert history(live) == [((3, 0), "unknown key"), ((4, 1), "valid"), ((5, 1), "valid")]


def test_admitted_while_its_enrolment_was_on_the_way(live: LiveLedger) -> None:
    """The door did not know the key, but at its place in the log the reading's node is enrolled."""
    gateway = TestGateway(live.world)
    gateway.take(*made(live, 1, "node-b"))
    late = live.open()
    # Admit the enrolment through another process between this one's check and its commit.
    enrolment = live.world.statements[live.world.enrolments["node-b"]][0]
    put = live.ledger.blobs.put_if_absent

    def enrol_meanwhile(data: bytes) -> bytes:
        admit(late, enrolment)
        return put(data)

    live.ledger.blobs.put_if_absent = enrol_meanwhile  # type: ignore[method-assign]
    gateway.sync(live.ledger)
    live.ledger.blobs.put_if_absent = put  # type: ignore[method-assign]
    assert final(live) == [(1, "valid")]
    assert history(live) == [((4, 0), "valid")]
    late.db.close()


def test_second_gateway_hears_the_same(live: LiveLedger) -> None:
    heard = made(live, 3)
    gateway, other = TestGateway(live.world), TestGateway(live.world, "gateway-2")
    gateway.take(*heard)
    gateway.sync(live.ledger)
    other.take(heard[1], heard[2], *made(live, 1))
    other.sync(live.ledger)
    assert final(live) == [(1, "valid"), (2, "valid"), (3, "valid"), (2, "duplicate"), (3, "duplicate"), (4, "valid")]


def test_duplicate_and_fork_inside_one_batch(live: LiveLedger) -> None:
    (first,) = made(live)
    gateway = TestGateway(live.world)
    gateway.take(first, first, forged(live, first))
    gateway.sync(live.ledger)
    assert final(live) == [(1, "valid"), (1, "duplicate"), (1, "fork")]


def test_fork_in_a_later_batch_and_its_repetition(live: LiveLedger) -> None:
    heard = made(live, 2)
    gateway = TestGateway(live.world)
    gateway.take(*heard)
    gateway.sync(live.ledger)
    clone = forged(live, heard[1])
    gateway.take(clone, clone)
    gateway.sync(live.ledger)
    assert final(live) == [(1, "valid"), (2, "valid"), (2, "fork"), (2, "fork")]


def test_two_gateways_in_one_round_in_the_order_of_their_commits(live: LiveLedger) -> None:
    heard = made(live, 1)
    clone = forged(live, heard[0])
    gateway, other = TestGateway(live.world), TestGateway(live.world, "gateway-2")
    other.take(clone)
    gateway.take(*heard)
    other.sync(live.ledger)
    gateway.sync(live.ledger)
    assert final(live) == [(1, "valid"), (1, "fork")]


def test_revocation_is_ordered_by_index(live: LiveLedger) -> None:
    gateway = TestGateway(live.world)
    gateway.take(*made(live, 1))
    gateway.sync(live.ledger)
    live.admit(live.world.statements[live.world.revoke("node-a")][0])
    gateway.take(*made(live, 1))
    gateway.sync(live.ledger)
    assert final(live) == [(1, "valid"), (2, "revoked")]


def test_batch_of_a_gateway_that_was_revoked_meanwhile(live: LiveLedger) -> None:
    """Checked before the revocation, committed behind it: what the gateway vouches for is no evidence."""
    gateway = TestGateway(live.world)
    gateway.take(*made(live, 1))
    revocation = live.world.statements[live.world.revoke("gateway")][0]
    put = live.ledger.blobs.put_if_absent

    def revoke_meanwhile(data: bytes) -> bytes:
        live.admit(revocation)
        return put(data)

    live.ledger.blobs.put_if_absent = revoke_meanwhile  # type: ignore[method-assign]
    gateway.sync(live.ledger)
    live.ledger.blobs.put_if_absent = put  # type: ignore[method-assign]
    assert final(live) == [(1, "revoked")]


def test_anchor_must_be_a_published_checkpoint(live: LiveLedger) -> None:
    node = live.world.nodes["node-a"]
    with live.ledger.db.read() as tx:
        ((size, hash16),) = tx.execute("SELECT size, hash FROM publication")
    gateway = TestGateway(live.world)
    for anchor in ((size, hash16, 1), (size + 1, hash16, 1), (size, bytes(16), 1), ((1 << 64) - 1, bytes(16), 1)):
        node.anchor = anchor
        gateway.take(*made(live))
    gateway.sync(live.ledger)
    assert final(live) == [(1, "valid"), (2, "unknown anchor"), (3, "unknown anchor"), (4, "unknown anchor")]


def test_another_pen_is_malformed(live: LiveLedger) -> None:
    signer = live.world.signers["node-a"]
    chain = Chain(1, 1, 1, reading.genesis(live.world.origin, signer.public_key), None)
    pack = senml.encode_pack(senml.base_name(1, signer.kid), [senml.Record("d", None, True)])
    gateway = TestGateway(live.world)
    gateway.take(statement.build_reading(signer, chain, pack))
    gateway.sync(live.ledger)
    assert final(live) == [(0, "malformed")]


def test_another_spelling_of_a_reading_is_malformed(live: LiveLedger) -> None:
    """The unprotected header is not signed: with something in it, one reading would have many entries."""
    (good,) = made(live)
    parts = cbor.decode(good).value
    parts[1] = cbor.Map([(394, b"anything")])
    gateway = TestGateway(live.world)
    gateway.take(cbor.encode(cbor.Tag(18, parts)), good)
    gateway.sync(live.ledger)
    assert final(live) == [(0, "malformed"), (1, "valid")]


def test_forged_numbers_move_nothing(live: LiveLedger) -> None:
    """A number far ahead, not signed by the node: neither its last reading nor what is looked up changes."""
    (good,) = made(live)
    chain = reading.parse(good).chain
    far = Chain(chain.boot, reading.MAX_SEQ, chain.uptime_ms, chain.previous, None)
    pack = senml.encode_pack(
        senml.base_name(live.world.trust.pen, live.world.signers["node-a"].kid), [senml.Record("d", None, True)]
    )
    forged_far = bytearray(statement.build_reading(live.world.signers["node-a"], far, pack))
    forged_far[-1] ^= 1
    gateway = TestGateway(live.world)
    gateway.take(good, bytes(forged_far))
    gateway.sync(live.ledger)
    assert final(live) == [(1, "valid"), (reading.MAX_SEQ, "bad signature")]
    assert status(live.ledger)["nodes"][0]["last_seq"] == 1


def test_reading_by_a_key_that_is_no_node(live: LiveLedger) -> None:
    """A kid of another role stands for no node, whatever it signed."""
    world = live.world
    live.enrol("lender")
    like = reading.parse(made(live)[0])
    protected = reading.protected_header(world.signers["lender"].kid, like.chain)
    pack = senml.encode_pack(
        senml.base_name(world.trust.pen, world.signers["lender"].kid), [senml.Record("d", None, True)]
    )
    gateway = TestGateway(world)
    gateway.take(cose.assemble(protected, pack, bytes(64)))
    gateway.sync(live.ledger)
    assert final(live) == [(1, "unknown key")]


def test_forged_signature_does_not_take_a_number(live: LiveLedger) -> None:
    """Whoever cannot sign for a node cannot make its later, genuine reading a fork."""
    (first,) = made(live)
    bad = bytearray(forged(live, first))
    bad[-1] ^= 1
    gateway = TestGateway(live.world)
    gateway.take(bytes(bad), first)
    gateway.sync(live.ledger)
    assert final(live) == [(1, "bad signature"), (1, "valid")]


def test_rounds_of_any_size_give_the_same(live: LiveLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, other = TestGateway(live.world), TestGateway(live.world, "gateway-2")
    heard = made(live, 2, "node-b")
    for sender, bodies in ((gateway, heard[:1]), (other, heard), (gateway, [forged(live, heard[1], "node-b")])):
        sender.take(*bodies)
        sender.sync(live.ledger)
    live.enrol("node-b")
    monkeypatch.setattr("tallystick_ledger.sequencer.MAX_ROUND", 1)
    assert [sequence_once(live.ledger) for _ in range(5)] == [1, 1, 1, 1, 0]
    assert sequence(live.ledger) == 0
    assert final(live) == [(1, "valid"), (1, "duplicate"), (2, "valid"), (2, "fork")]
