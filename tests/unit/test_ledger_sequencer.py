"""The sequencer: indexes in the order of commits, one history however many sequence, nothing half done."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_support import LiveLedger, TestGateway, fsck_findings

from tallystick_ledger import tree
from tallystick_ledger.db import Tx
from tallystick_ledger.errors import StoreError
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.sequencer import sequence, sequence_once
from tallystick_ledger.status import status
from tallystick_ledger.submit import submit
from tallystick_proof import entry, merkle, statement


@pytest.fixture
def live(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    found = LiveLedger(tmp_path, make_world("sequencer"))
    yield found
    found.close()


def statements(live: LiveLedger, count: int) -> list[bytes]:
    """Revocations of a key that nobody enrolled: entries that mean nothing."""
    signer = live.world.signers["authority-node"]
    return [
        statement.build(
            signer,
            "revocation",
            {
                "aud": live.world.origin,
                "jti": number.to_bytes(16, "big"),
                "exp": None,
                "thumbprint": bytes(32),
                "reason": "retired",
            },
        )
        for number in range(count)
    ]


def fill(ledger: Ledger, data: list[bytes]) -> None:
    with ledger.db.transaction() as tx:
        for item in data:
            submit(tx, entry.STATEMENT, item)


def indexes(ledger: Ledger) -> list[tuple[int, bytes]]:
    with ledger.db.read() as tx:
        return [(index, bytes(data)) for index, data in tx.execute("SELECT idx, data FROM entry ORDER BY id")]


def test_head_is_that_of_the_leaves_at_every_size(live: LiveLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick_ledger.sequencer.MAX_ROUND", 37)
    data = statements(live, 600)  # more than two tiles
    leaves = [entry.LedgerEntry(entry.STATEMENT, item).leaf for item in data]
    fill(live.ledger, data)
    total = 0
    while count := sequence_once(live.ledger):
        total += count
        with live.ledger.db.read() as tx:
            assert tree.head(tx) == (total, merkle.root(leaves[:total]))
    assert total == 600
    assert indexes(live.ledger) == list(enumerate(data))
    assert fsck_findings(live) == []


def test_two_sequencers_on_one_database_never_fork(live: LiveLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two handles, as two processes have: whoever loses the race has done nothing."""
    monkeypatch.setattr("tallystick_ledger.sequencer.MAX_ROUND", 5)
    data = statements(live, 200)
    other = live.open()
    done = threading.Event()
    counts = [0, 0]

    def run(number: int, ledger: Ledger) -> None:
        while not done.is_set():
            counts[number] += sequence_once(ledger)
        counts[number] += sequence(ledger)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate((live.ledger, other))]
    for thread in threads:
        thread.start()
    for start in range(0, 200, 7):
        fill(live.ledger, data[start : start + 7])
    done.set()
    for thread in threads:
        thread.join()
    assert sum(counts) == 200, "no entry was sequenced twice"
    assert indexes(live.ledger) == list(enumerate(data))
    assert fsck_findings(live) == []
    other.db.close()


def test_the_slower_sequencer_drops_its_round(live: LiveLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one commits between this one's reading and its transaction."""
    fill(live.ledger, statements(live, 3))
    other = live.open()

    def recheck(ledger: Ledger, pending: list[Any]) -> dict[Any, Any]:
        monkeypatch.undo()
        assert sequence_once(other) == 3
        return {}

    monkeypatch.setattr("tallystick_ledger.sequencer.recheck", recheck)
    assert sequence_once(live.ledger) == 0
    with live.ledger.db.read() as tx:
        assert tree.head(tx).size == 3
    assert fsck_findings(live) == []
    other.db.close()


def test_a_round_that_fails_leaves_nothing(live: LiveLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(live.ledger, statements(live, 3))

    def fail(tx: Tx, old: tree.Head, new: tree.Head) -> bool:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("tallystick_ledger.tree.move_head", fail)
        with pytest.raises(StoreError):
            sequence_once(live.ledger)
    with live.ledger.db.read() as tx:
        assert tree.head(tx).size == 0
        assert tx.execute("SELECT count(*) FROM tile") == [(0,)]
        assert tx.execute("SELECT count(*) FROM entry WHERE idx IS NOT NULL") == [(0,)]
    assert sequence(live.ledger) == 3
    assert fsck_findings(live) == []


def test_syncs_from_many_threads_while_sequencing(live: LiveLedger) -> None:
    """The service's shape: HTTP threads, a sequencer, one connection."""
    live.enrol("gateway", "gateway-2", "node-a", "node-b")
    live.settle()
    done = threading.Event()
    faults: list[BaseException] = []

    def send(gateway: TestGateway, node: str) -> None:
        try:
            for _ in range(15):
                gateway.take(*(live.world.nodes[node].measure(450, 1).data for _ in range(3)))
                gateway.sync(live.ledger)
        except BaseException as fault:  # noqa: BLE001 (a thread's fault must fail the test)
            faults.append(fault)

    def run() -> None:
        while not done.is_set():
            live.settle()

    def look() -> None:
        while not done.is_set():
            assert status(live.ledger)["origin"] == live.world.origin

    sequencer = threading.Thread(target=run)
    watcher = threading.Thread(target=look)
    senders = [
        threading.Thread(target=send, args=(TestGateway(live.world, name), node))
        for name, node in (("gateway", "node-a"), ("gateway-2", "node-b"))
    ]
    for thread in (sequencer, watcher, *senders):
        thread.start()
    for thread in senders:
        thread.join()
    done.set()
    sequencer.join()
    watcher.join()
    live.settle()
    assert faults == []
    with live.ledger.db.read() as tx:
        assert tx.execute("SELECT verdict, sum(count) FROM tally GROUP BY verdict") == [("valid", 90)]
    assert fsck_findings(live) == []
