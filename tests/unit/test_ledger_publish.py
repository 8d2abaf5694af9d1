"""Publishing: nothing unwitnessed is shown, and the first checkpoint of a leaf stays the first."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ledger_support import LiveLedger

from tallystick_ledger import publications, tree
from tallystick_ledger.errors import NotFound, PublishError, RolledBack
from tallystick_ledger.publish import Publisher
from tallystick_ledger.sequencer import sequence
from tallystick_ledger.witness_client import WitnessClient
from tallystick_proof import note, tlog_proof
from tallystick_proof.policy import NO_QUORUM


@pytest.fixture
def live(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    found = LiveLedger(tmp_path, make_world("publish"))
    yield found
    found.close()


def published(live: LiveLedger) -> list[int]:
    with live.ledger.db.read() as tx:
        return [size for (size,) in tx.execute("SELECT size FROM publication ORDER BY id")]


def answering(live: LiveLedger, *statuses: int | None) -> Publisher:
    """A publisher whose witnesses answer these; None: as they really do."""
    vkeys = list(live.world.trust.policy.witnesses.values())
    clients: list[WitnessClient] = []
    for witness, status in zip(live.witnesses, statuses, strict=True):

        def answer(request: httpx.Request, witness: Any = witness, status: int | None = status) -> httpx.Response:
            if status is None:
                given = witness.add_checkpoint(request.read())
                return httpx.Response(given.status, content=given.body)
            if status == 0:
                raise httpx.ConnectError("refused", request=request)
            return httpx.Response(status)

        clients.append(WitnessClient(f"http://w{len(clients)}", vkeys, httpx.MockTransport(answer)))
    return Publisher(live.ledger, live.world.signers["ledger"], clients, 60_000, live.clock)


def test_nothing_is_published_of_an_empty_log(live: LiveLedger) -> None:
    assert live.publisher.publish_once() is None
    assert published(live) == []


def test_published_note_meets_the_policy(live: LiveLedger) -> None:
    live.enrol("node-a")
    live.settle()
    with live.ledger.db.read() as tx:
        latest = publications.latest(tx)
    assert latest is not None
    proved = live.world.trust.policy.check(latest.note, live.world.origin)
    assert proved.witnessed
    assert (proved.earliest_ms, proved.quorum_ms) == (latest.earliest_ms, latest.latest_ms)


def test_tiles_end_where_the_published_tree_ends(live: LiveLedger) -> None:
    live.enrol("node-a")
    live.settle()
    live.enrol("node-b")
    sequence(live.ledger)
    with live.ledger.db.read() as tx:
        assert len(tree.tile(tx, 0, 0, 1)) == 32
        for level, number, width in ((0, 0, 2), (0, 0, 256), (0, 1, 1), (1, 0, 1)):
            with pytest.raises(NotFound):
                tree.tile(tx, level, number, width)


@pytest.mark.parametrize("status", [0, 400, 403, 404, 422, 500, 200])
def test_unwitnessed_is_never_published(live: LiveLedger, status: int) -> None:
    live.enrol("node-a")
    sequence(live.ledger)
    with pytest.raises(PublishError, match="not met"):
        answering(live, None, status).publish_once()
    assert published(live) == []
    with live.ledger.db.read() as tx, pytest.raises(NotFound):
        tree.tile(tx, 0, 0, 1)
    live.publisher.publish_once()
    assert published(live) == [1]


def test_any_of_the_witnesses_is_enough_when_the_policy_says_so(
    tmp_path: Path, make_world: Callable[..., Any]
) -> None:
    live = LiveLedger(tmp_path, make_world("any", quorum="any"))
    live.enrol("node-a")
    sequence(live.ledger)
    assert answering(live, 0, None).publish_once() is not None
    live.close()


def test_a_line_of_a_stranger_is_ignored(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    """A witness that answers with somebody else's line spoils nothing: the other one's cosignature is enough."""
    live = LiveLedger(tmp_path, make_world("stranger", quorum="any"))
    live.enrol("node-a")
    sequence(live.ledger)
    vkeys = list(live.world.trust.policy.witnesses.values())
    stranger = live.world.signers["authority-node"].public_key
    line = note.SignatureLine("w.example", note.VerifierKey("w.example", 4, stranger).key_id, bytes(72)).text

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "stranger":
            return httpx.Response(200, content=line.encode())
        given = live.witnesses[0].add_checkpoint(request.read())
        return httpx.Response(given.status, content=given.body)

    clients = [WitnessClient(f"http://{host}", vkeys, httpx.MockTransport(answer)) for host in ("stranger", "known")]
    publisher = Publisher(live.ledger, live.world.signers["ledger"], clients, 60_000, live.clock)
    found = publisher.publish_once()
    assert found is not None
    assert len(note.parse(found.note).lines) == 2
    publisher.close()
    live.close()


def test_without_a_quorum_the_own_signature_is_enough_and_no_time_is_claimed(
    tmp_path: Path, make_world: Callable[..., Any]
) -> None:
    live = LiveLedger(tmp_path, make_world("none", quorum=NO_QUORUM))
    live.enrol("node-a")
    sequence(live.ledger)
    found = answering(live, 0, 0).publish_once()
    assert found is not None
    assert (found.earliest_ms, found.latest_ms) == (None, None)
    live.close()


def test_quiet_log_is_refreshed_and_its_first_note_stays_the_one_for_proofs(live: LiveLedger) -> None:
    live.enrol("node-a")
    live.settle()
    with live.ledger.db.read() as tx:
        before = tree.prove(tx, 0)
    live.clock.now_ms += 10_000
    assert live.publisher.publish_once() is None
    live.clock.now_ms += 60_000
    fresh = live.publisher.publish_once()
    assert published(live) == [1, 1]
    with live.ledger.db.read() as tx:
        assert tree.prove(tx, 0) == before
        assert publications.latest(tx) == fresh
    assert fresh is not None
    assert tlog_proof.parse(before).note != fresh.note


def test_proof_goes_to_the_first_checkpoint_over_the_leaf(live: LiveLedger) -> None:
    for name in ("node-a", "node-b", "gateway"):
        live.enrol(name)
        live.settle()
    with live.ledger.db.read() as tx:
        sizes = [publications.covering(tx, index) for index in range(3)]
        assert [found.size for found in sizes if found] == [1, 2, 3]
        assert publications.covering(tx, 3) is None


def test_a_late_publisher_cannot_put_a_smaller_checkpoint_behind_a_larger_one(
    live: LiveLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes publish: the slow one's checkpoint would become the first over leaves that have one."""
    live.enrol("node-a")
    sequence(live.ledger)
    slow = answering(live, None, None)
    original = slow._insert

    def overtaken(*arguments: Any) -> Any:
        live.enrol("node-b")
        sequence(live.ledger)
        assert live.publisher.publish_once() is not None
        return original(*arguments)

    monkeypatch.setattr(slow, "_insert", overtaken)
    assert slow.publish_once() is None
    assert published(live) == [2]


def test_database_restored_from_a_backup_publishes_nothing(live: LiveLedger) -> None:
    live.enrol("node-a", "node-b")
    live.settle()
    older = LiveLedger(live.folder / "restored", live.world)
    older.enrol("gateway")
    sequence(older.ledger)
    vkeys = list(live.world.trust.policy.witnesses.values())

    def answer(request: httpx.Request) -> httpx.Response:
        given = live.witnesses[0].add_checkpoint(request.read())
        return httpx.Response(given.status, content=given.body)

    clients = [WitnessClient("http://w", vkeys, httpx.MockTransport(answer))]
    publisher = Publisher(older.ledger, live.world.signers["ledger"], clients, 60_000, live.clock)
    with pytest.raises(RolledBack, match="backup"):
        publisher.publish_once()
    older.enrol("gateway-2")  # now of the same size, and another tree
    sequence(older.ledger)
    with pytest.raises(RolledBack):
        publisher.publish_once()
    assert published(older) == []
    older.close()


def test_witness_of_a_forgotten_size_is_asked_again_with_the_right_proof(live: LiveLedger) -> None:
    for name in ("node-a", "node-b", "gateway"):
        live.enrol(name)
        live.settle()
    with live.ledger.db.transaction() as tx:
        tx.execute("UPDATE witness SET size = 1")
    live.enrol("gateway-2")
    live.settle()
    assert published(live) == [1, 2, 3, 4]
