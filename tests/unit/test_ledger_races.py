"""Two requests of one gateway at once, and a disk that refuses: what is answered is stored, nothing is half stored."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_support import LiveLedger, TestGateway, fsck_findings

from tallystick_ledger import batch as batches
from tallystick_ledger.blobs import Blobs
from tallystick_ledger.errors import EpochClosed, KnownSize, StoreError
from tallystick_proof.sync import SyncRequest


@pytest.fixture
def live(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    found = LiveLedger(tmp_path, make_world("races"))
    found.enrol("gateway", "node-a")
    found.settle()
    yield found
    found.close()


@pytest.fixture
def gateway(live: LiveLedger) -> TestGateway:
    """Six readings, of which the ledger has the first two."""
    made = TestGateway(live.world)
    made.take(*(live.world.nodes["node-a"].measure(450, 10).data for _ in range(6)))
    made.sync(live.ledger, SyncRequest(0, made.entries[:2], made.note(2)))
    return made


def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let `act` happen once between a request's checks and its transaction."""
    put = batches.put

    def put_late(*arguments: Any) -> Any:
        monkeypatch.setattr(batches, "put", put)
        act()
        return put(*arguments)

    monkeypatch.setattr(batches, "put", put_late)


def sizes(live: LiveLedger) -> list[tuple[Any, ...]]:
    """(first, size) of every batch, and the epoch's head as the last one."""
    with live.ledger.db.read() as tx:
        return [
            *tx.execute("SELECT first, size FROM batch ORDER BY id"),
            *tx.execute("SELECT 'head', size FROM epoch"),
        ]


def test_the_slower_of_two_requests_looks_again(
    live: LiveLedger, gateway: TestGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry overtakes the request that it retries, with more in it: the head must not go back."""
    faster, slower = (SyncRequest(2, gateway.entries[2:end], gateway.note(end)) for end in (6, 4))
    between(monkeypatch, lambda: gateway.sync(live.ledger, faster))
    with pytest.raises(KnownSize) as told:
        gateway.sync(live.ledger, slower)
    assert told.value.known_size == 6
    assert sizes(live) == [(0, 2), (2, 6), ("head", 6)]
    live.settle()
    assert fsck_findings(live) == []


def test_an_epoch_that_freezes_meanwhile_takes_nothing(
    live: LiveLedger, gateway: TestGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar = TestGateway(live.world)
    liar.take(*(live.world.nodes["node-a"].measure(450, 10).data for _ in range(2)))

    def lie() -> None:
        with pytest.raises(EpochClosed, match="contradict"):
            liar.sync(live.ledger)

    between(monkeypatch, lie)
    with pytest.raises(EpochClosed, match="frozen"):
        gateway.sync(live.ledger, SyncRequest(2, gateway.entries[2:], gateway.note()))
    assert sizes(live) == [(0, 2), ("head", 2)]


def test_no_row_names_a_blob_that_is_not_there(
    live: LiveLedger, gateway: TestGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries are durable before the first row about them, so a disk that refuses them leaves no row."""
    before = sizes(live)
    with live.ledger.db.read() as tx:
        entries = tx.execute("SELECT count(*) FROM entry")

    def full(blobs: Blobs, data: bytes) -> bytes:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "put_if_absent", full)
        with pytest.raises(StoreError, match="full"):
            gateway.sync(live.ledger)
    with live.ledger.db.read() as tx:
        assert tx.execute("SELECT count(*) FROM entry") == entries
    assert sizes(live) == before
    assert gateway.sync(live.ledger).known_size == 6
