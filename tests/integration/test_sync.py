"""Sync against a real ledger over HTTP: what is confirmed, what comes down, how a gateway with another history goes on.

The gateway's writer is played by the test, which appends entries; the ledger publishes when the test says so.
"""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_ledger import HttpLedger

from tallystick_edge import config, enrol
from tallystick_edge.anchors import Anchor
from tallystick_edge.clock import Clock
from tallystick_edge.config import Config
from tallystick_edge.entries import EntryMaker
from tallystick_edge.files import Files
from tallystick_edge.journal import Journal
from tallystick_edge.log import Log
from tallystick_edge.metrics import Metrics
from tallystick_edge.sync import Syncer
from tallystick_ledger import batch as batches
from tallystick_proof import entry, merkle
from tallystick_proof.checkpoint import anchor_hash
from tallystick_proof.entry import GatewayEntry
from tallystick_proof.sync import MAX_BATCH_ENTRIES, MAX_DOWNLINK_STATEMENTS
from tallystick_provisioning.outbox import Outbox


class Gateway:
    """A log and its syncer; `transport` stands between it and the network."""

    def __init__(self, folder: Path, world: Any, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self.folder, self.world, self.url, self.transport = folder, world, url, transport
        folder.mkdir(exist_ok=True)
        self.signer = world.signers["gateway"]
        self.files = Files(self.signer, world.secret("token gateway").hex(), bytes(32), world.trust)
        self.anchors: list[Anchor] = []
        self.output = io.StringIO()
        self.node = world.nodes["node-a"]
        self.kept: list[bytes] = []
        self.open()

    def open(self) -> None:
        """Start (again) on what lies in the folder."""
        self.log = Log.open(self.folder / "log.db")
        self.maker = EntryMaker(1, Clock())
        self.metrics = Metrics()
        self.syncer = Syncer(
            self.settings(), self.files, self.log, self.maker, self.metrics, Journal(self.output),
            self.anchors.append, self.transport,
        )
        self.log.commit([self.maker.note(entry.NOTE_BOOT, {"rows": len(self.log)})])

    def settings(self) -> Config:
        text = config.template("trust.toml", self.url, "site.key", ["/dev/null"], {"checkpoint_interval_ms": 1000})
        return config.parse(text, self.folder)

    def take(self, count: int = 1) -> None:
        made = [self.node.measure() for _ in range(count)]
        self.log.commit([self.maker.reading(one.data, "serial:x") for one in made])
        self.kept += [one.data for one in made]

    def close(self) -> None:
        self.syncer._client.close()
        self.log.close()

    def in_step(self) -> bool:
        """The ledger has everything."""
        self.syncer.round()
        return self.log.backlog() == 0


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("sync")


@pytest.fixture
def ledger(tmp_path: Path, world: Any) -> Iterator[HttpLedger]:
    """A ledger in which the gateway is enrolled."""
    made = HttpLedger(tmp_path / "ledger", world)
    made.enrol("gateway")
    made.settle()
    yield made
    made.close()


@pytest.fixture
def gateway(tmp_path: Path, world: Any, ledger: HttpLedger) -> Iterator[Gateway]:
    made = Gateway(tmp_path / "gw", world, ledger.url)
    yield made
    made.close()


def readings_at(ledger: HttpLedger, gateway: Gateway) -> list[bytes]:
    """Every reading that the ledger holds of a gateway, in the order of its epochs."""
    with ledger.ledger.db.read() as tx:
        rows = tx.execute(
            "SELECT b.id FROM batch b JOIN epoch e ON e.id = b.epoch WHERE e.gateway = ? ORDER BY e.number, b.size",
            [gateway.signer.thumbprint],
        )
        held = [batches.by_id(tx, number) for (number,) in rows]
    entries = [GatewayEntry.decode(data) for one in held for data in batches.entries(ledger.ledger.blobs, one)]
    return [one.body for one in entries if one.kind == entry.READING and isinstance(one.body, bytes)]


def test_everything_arrives_and_is_confirmed(ledger: HttpLedger, gateway: Gateway) -> None:
    gateway.take(3)
    wait_s = gateway.syncer.round()
    assert wait_s == 1.0
    assert (gateway.log.epoch.confirmed_size, gateway.log.backlog()) == (4, 0)
    assert readings_at(ledger, gateway) == gateway.kept
    gateway.take(2)
    assert gateway.in_step()
    assert ledger.epochs(gateway.signer.thumbprint) == {1: (6, False)}
    assert readings_at(ledger, gateway) == gateway.kept


def test_rounds_with_nothing_new_bring_news(ledger: HttpLedger, gateway: Gateway, world: Any) -> None:
    gateway.syncer.round()
    assert gateway.log.head.witnessed_size == 0
    assert gateway.log.downlink_count() == 1, "the gateway's own enrolment"
    ledger.enrol("node-a", "node-b")
    ledger.settle()
    gateway.syncer.round()
    known = [data for data, _ in gateway.log.downlink()]
    assert known[1:] == [world.statements[world.enrolments[name]][0] for name in ("node-a", "node-b")]
    assert gateway.log.head.witnessed_size == 1
    assert gateway.log._one("SELECT ledger_index FROM checkpoint")[0] is not None
    assert len(gateway.log) == 1, "polling adds nothing to the log"


def test_a_long_downlink_comes_in_pages(ledger: HttpLedger, gateway: Gateway, make_world: Callable[..., Any]) -> None:
    names = [f"n{number}" for number in range(MAX_DOWNLINK_STATEMENTS + 10)]
    many = make_world("sync", nodes=names)
    for name in names:
        ledger.admit(many.statements[many.enrolments[name]][0])
    ledger.settle()
    gateway.syncer.round()
    assert gateway.log.downlink_count() == len(names) + 1


def test_anchors_are_the_ledgers_published_checkpoints(ledger: HttpLedger, gateway: Gateway, world: Any) -> None:
    gateway.syncer.round()
    ledger.settle()
    gateway.syncer.round()
    note = gateway.log.head.note
    assert note is not None
    found = world.trust.policy.check(note, world.origin)
    assert gateway.anchors[-1] == Anchor(found.checkpoint.size, anchor_hash(found.text))
    assert gateway.anchors[-1].size == 2


def test_a_note_that_our_own_policy_refuses_is_no_anchor(
    ledger: HttpLedger, tmp_path: Path, world: Any, make_world: Callable[..., Any]
) -> None:
    gateway = Gateway(tmp_path / "strict", world, ledger.url)
    strict = make_world("elsewhere").trust.policy
    gateway.syncer._trust = type(world.trust)(
        world.origin, world.trust.pen, world.trust.authorities, strict, world.trust.max_head_age_s
    )
    gateway.syncer.round()
    assert gateway.log.backlog() == 0, "the sync itself goes on"
    assert (gateway.anchors, gateway.log.head.note) == ([], None)
    assert "event=ledger-note-refused" in gateway.output.getvalue()
    gateway.close()


def test_more_than_one_batch_in_one_round(ledger: HttpLedger, gateway: Gateway) -> None:
    note = gateway.maker.note(entry.NOTE_LINK, {"link": "x", "up": 1})
    gateway.log.commit([note] * (MAX_BATCH_ENTRIES + 10))
    gateway.syncer.round()
    assert gateway.log.backlog() == 0
    assert ledger.epochs(gateway.signer.thumbprint) == {1: (MAX_BATCH_ENTRIES + 11, False)}


class Lossy(httpx.BaseTransport):
    """Delivers every request and loses the answers to the first `lost`."""

    def __init__(self, lost: int) -> None:
        self.lost, self.inner, self.requests = lost, httpx.HTTPTransport(), 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        response = self.inner.handle_request(request)
        if self.lost:
            self.lost -= 1
            response.read()
            response.close()
            raise httpx.ReadError("the answer got lost")
        return response

    def close(self) -> None:
        self.inner.close()


def test_a_lost_answer_costs_a_repetition(ledger: HttpLedger, tmp_path: Path, world: Any) -> None:
    gateway = Gateway(tmp_path / "gw", world, ledger.url, Lossy(1))
    gateway.take(2)
    assert gateway.syncer.round() <= 0.5
    assert gateway.log.epoch.confirmed_size == 0
    assert gateway.in_step()
    assert (readings_at(ledger, gateway), gateway.log.epoch.number) == (gateway.kept, 1)
    gateway.close()


def test_a_lost_answer_with_more_behind_it(ledger: HttpLedger, tmp_path: Path, world: Any) -> None:
    """The ledger is ahead of what we know, but with a checkpoint of ours: go on from there."""
    gateway = Gateway(tmp_path / "gw", world, ledger.url, Lossy(1))
    gateway.take(2)
    gateway.syncer.round()
    gateway.take(2)
    assert gateway.in_step()
    assert (readings_at(ledger, gateway), gateway.log.epoch.number) == (gateway.kept, 1)
    assert ledger.epochs(gateway.signer.thumbprint) == {1: (5, False)}
    gateway.close()


def test_a_crash_before_the_answer_was_kept(ledger: HttpLedger, gateway: Gateway) -> None:
    gateway.take(2)
    gateway.log.sign_checkpoints(gateway.syncer._sign)
    batch = gateway.log.batch(0)
    assert batch is not None
    gateway.syncer._exchange(batch)
    gateway.close()
    gateway.open()
    assert gateway.in_step()
    assert (readings_at(ledger, gateway), gateway.log.epoch.number) == (gateway.kept, 1)


def test_a_restored_card_opens_the_next_epoch(ledger: HttpLedger, gateway: Gateway) -> None:
    gateway.take(2)
    gateway.syncer.round()
    gateway.take(1)  # only in the image
    gateway.close()
    image = gateway.folder / "image.db"
    shutil.copy(gateway.folder / "log.db", image)
    gateway.open()
    gateway.take(3)
    gateway.syncer.round()
    gateway.close()

    shutil.copy(image, gateway.folder / "log.db")
    gateway.open()
    gateway.take(1)
    assert gateway.in_step()
    epochs = ledger.epochs(gateway.signer.thumbprint)
    assert set(epochs) == {1, 2}
    held = readings_at(ledger, gateway)
    assert set(held) == set(gateway.kept), "nothing that was taken is missing"
    notes = [GatewayEntry.decode(data) for _, data in gateway.log.rows()]
    assert entry.NOTE_GAP in [one.body[0] for one in notes if one.kind == entry.NOTE]


def test_a_new_card_finds_a_free_epoch(ledger: HttpLedger, gateway: Gateway) -> None:
    for expected in (1, 2, 3):
        gateway.take(2)
        assert gateway.in_step()
        assert set(ledger.epochs(gateway.signer.thumbprint)) == set(range(1, expected + 1))
        gateway.close()
        for path in gateway.folder.glob("log.db*"):
            path.unlink()
        gateway.open()
    assert readings_at(ledger, gateway) == gateway.kept


def test_two_histories_of_one_size_freeze_and_go_on(ledger: HttpLedger, gateway: Gateway) -> None:
    """A conflicting checkpoint is what a restored card cannot avoid when it was offline: logged, frozen, next epoch."""
    gateway.take(3)
    gateway.syncer.round()
    gateway.close()
    for path in gateway.folder.glob("log.db*"):
        path.unlink()
    gateway.open()
    gateway.take(3)
    assert gateway.in_step()
    assert ledger.epochs(gateway.signer.thumbprint)[1] == (4, True)
    assert ledger.epochs(gateway.signer.thumbprint)[2][1] is False
    assert readings_at(ledger, gateway) == gateway.kept


def test_a_row_that_went_bad_under_a_signed_checkpoint(ledger: HttpLedger, gateway: Gateway) -> None:
    gateway.take(1)
    gateway.syncer.round()
    gateway.take(3)
    gateway.log.sign_checkpoints(gateway.syncer._sign)
    gateway.log.quarantine(3, gateway.maker.note(entry.NOTE_GAP, {"why": "unreadable row", "row": 3}))
    assert gateway.in_step()
    assert gateway.log.epoch.number == 2
    assert set(readings_at(ledger, gateway)) == {gateway.kept[0], gateway.kept[1], gateway.kept[3]}


def test_a_root_that_never_fits_does_not_open_epochs_for_ever(
    ledger: HttpLedger, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = gateway.syncer._sign
    monkeypatch.setattr(gateway.syncer, "_sign", lambda epoch, size, root: honest(epoch, size, merkle.EMPTY_ROOT))
    for _ in range(10):
        gateway.syncer.round()
    assert gateway.log.epoch.number <= 3
    assert ledger.epochs(gateway.signer.thumbprint) == {}


def test_a_wrong_token_changes_nothing(ledger: HttpLedger, tmp_path: Path, world: Any) -> None:
    gateway = Gateway(tmp_path / "gw", world, ledger.url)
    gateway.files = Files(gateway.signer, "0" * 64, bytes(32), world.trust)
    gateway.close()
    gateway.open()
    gateway.take(1)
    waits = [gateway.syncer.round() for _ in range(12)]
    assert waits[0] <= 0.5 < 15 < waits[-1] <= 60
    assert (gateway.log.epoch.number, gateway.log.epoch.confirmed_size) == (1, 0)
    assert "outcome=Refused" in gateway.output.getvalue()
    gateway.close()


def test_no_ledger_and_then_one(ledger: HttpLedger, tmp_path: Path, world: Any) -> None:
    gateway = Gateway(tmp_path / "gw", world, "http://127.0.0.1:1")
    gateway.take(3)
    for _ in range(3):
        gateway.syncer.round()
        gateway.take(1)
    assert gateway.log.epoch.confirmed_size == 0
    gateway.url = ledger.url
    gateway.close()
    gateway.open()
    assert gateway.in_step()
    assert readings_at(ledger, gateway) == gateway.kept
    gateway.close()


def test_an_enrolment_that_waits_is_sent(tmp_path: Path, world: Any) -> None:
    ledger = HttpLedger(tmp_path / "ledger", world)
    gateway = Gateway(tmp_path / "gw", world, ledger.url)
    outbox = Outbox(gateway.folder / enrol.OUTBOX)
    outbox.keep(world.statements[world.enrolments["gateway"]][0])
    gateway.take(1)
    gateway.syncer.round()
    assert outbox.waiting() == []
    ledger.settle()
    assert gateway.in_step()
    gateway.close()
    ledger.close()
