"""The sync door: what it takes, what it refuses, and that a refusal leaves no trace."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from ledger_support import LiveLedger, TestGateway

from tallystick_ledger.errors import (
    EpochClosed,
    Forbidden,
    KnownSize,
    Malformed,
    TooLarge,
    Unauthorized,
    Unfitting,
    Unsupported,
)
from tallystick_ledger.facts import START, facts
from tallystick_ledger.sync_door import authorize, decode_body, receive
from tallystick_proof import merkle
from tallystick_proof.sync import MAX_SYNC_BYTES, SyncRequest


@pytest.fixture
def live(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    found = LiveLedger(tmp_path, make_world("sync"))
    found.enrol("gateway", "gateway-2", "node-a")
    found.settle()
    yield found
    found.close()


@pytest.fixture
def gateway(live: LiveLedger) -> TestGateway:
    return TestGateway(live.world)


def readings(live: LiveLedger, count: int, name: str = "node-a") -> list[bytes]:
    return [live.world.nodes[name].measure(450, 10).data for _ in range(count)]


def verdicts(live: LiveLedger) -> list[str | None]:
    live.settle()
    return [fact.verdict for fact in facts(live.ledger, START, 10_000) if fact.kind == "reading"]


def rows(live: LiveLedger) -> list[tuple[Any, ...]]:
    """Everything that a refused request must not change."""
    with live.ledger.db.read() as tx:
        found = []
        for table in ("entry", "epoch", "batch", "segment", "tally"):
            found += tx.execute(f"SELECT '{table}', * FROM {table}")
    return found


def test_good_batch_is_durable_and_then_witnessed(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 3))
    request = gateway.request()
    first = gateway.sync(live.ledger, request)
    assert (first.known_size, first.ledger_index, first.witnessed_size) == (3, None, 0)
    live.settle()
    again = gateway.sync(live.ledger, request)
    assert (again.known_size, again.ledger_index, again.witnessed_size) == (3, 3, 3)
    assert verdicts(live) == ["valid"] * 3


def test_same_batch_again_stores_nothing(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 2))
    request = gateway.request()
    gateway.sync(live.ledger, request)
    before = rows(live)
    assert gateway.sync(live.ledger, request).known_size == 2
    assert rows(live) == before


def test_an_old_batch_again_gets_its_own_index_and_the_size_known_now(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 2))
    old = gateway.request()
    gateway.sync(live.ledger, old)
    gateway.take(*readings(live, 1))
    gateway.sync(live.ledger)
    live.settle()
    answer = gateway.sync(live.ledger, old)
    assert (answer.known_size, answer.ledger_index) == (3, 3)


def test_same_checkpoint_without_entries_is_a_poll(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 2))
    gateway.sync(live.ledger)
    live.settle()
    answer = gateway.sync(live.ledger, SyncRequest(2, [], gateway.note()))
    assert (answer.known_size, answer.ledger_index, answer.witnessed_size) == (2, 3, 2)


def test_empty_log_may_poll_too(live: LiveLedger, gateway: TestGateway) -> None:
    before = rows(live)
    answer = gateway.sync(live.ledger, SyncRequest(0, [], gateway.note()))
    assert (answer.known_size, answer.ledger_index, len(answer.downlink)) == (0, None, 3)
    assert rows(live) == before


def test_empty_log_of_a_gateway_that_we_know_is_told_the_size(live: LiveLedger, gateway: TestGateway) -> None:
    """A card that lost everything: no lie, no conflict."""
    gateway.take(*readings(live, 2))
    gateway.sync(live.ledger)
    blank = TestGateway(live.world)
    with pytest.raises(KnownSize) as error:
        blank.sync(live.ledger, SyncRequest(0, [], blank.note()))
    assert error.value.known_size == 2
    with pytest.raises(Unfitting):
        blank.sync(live.ledger, SyncRequest(0, [], blank.note(root=bytes(32))))


def test_downlink_starts_at_the_cursor(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 1))
    whole = gateway.sync(live.ledger).downlink
    assert gateway.sync(live.ledger, SyncRequest(0, gateway.entries, gateway.note()), cursor=2).downlink == whole[2:]


def test_downlink_holds_nothing_that_is_still_pending(live: LiveLedger, gateway: TestGateway) -> None:
    live.enrol("node-b")
    gateway.take(*readings(live, 1))
    assert len(gateway.sync(live.ledger).downlink) == 3


def test_one_bad_signature_in_the_middle_stops_nothing(live: LiveLedger, gateway: TestGateway) -> None:
    good = readings(live, 3)
    bad = bytearray(good[1])
    bad[-1] ^= 1
    gateway.take(good[0], bytes(bad), good[2])
    assert gateway.sync(live.ledger).known_size == 3
    assert verdicts(live) == ["valid", "bad signature", "valid"]


@pytest.mark.parametrize("junk", [b"\x00", b"no cbor at all", bytes(65_535)])
def test_junk_entries_are_admitted_as_malformed(live: LiveLedger, gateway: TestGateway, junk: bytes) -> None:
    gateway.take(*readings(live, 1))
    gateway.take_raw(junk)
    gateway.take(b"\xd2 no reading")
    assert gateway.sync(live.ledger).known_size == 3
    assert verdicts(live) == ["valid", "malformed", "malformed"]


def test_wrong_old_size_is_told_the_known_one(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 4))
    gateway.sync(live.ledger, SyncRequest(0, gateway.entries[:2], gateway.note(2)))
    before = rows(live)
    with pytest.raises(KnownSize) as error:
        gateway.sync(live.ledger, SyncRequest(1, gateway.entries[1:], gateway.note()))
    assert error.value.known_size == 2
    with pytest.raises(KnownSize):
        gateway.sync(live.ledger, SyncRequest(3, gateway.entries[3:], gateway.note()))
    assert rows(live) == before


def test_root_that_does_not_fit_the_entries(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 2))
    before = rows(live)
    with pytest.raises(Unfitting, match="root"):
        gateway.sync(live.ledger, SyncRequest(0, gateway.entries, gateway.note(root=bytes(32))))
    with pytest.raises(Unfitting):
        gateway.sync(live.ledger, SyncRequest(0, gateway.entries[:1], gateway.note()))
    assert rows(live) == before


def test_gateway_that_rewrites_its_past_freezes_its_epoch(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 3))
    gateway.sync(live.ledger)
    live.settle()
    liar = TestGateway(live.world)
    liar.take(*readings(live, 3))
    with pytest.raises(EpochClosed, match="contradict"):
        liar.sync(live.ledger)
    live.settle()
    with live.ledger.db.read() as tx:
        logged = [bytes(data) for (data,) in tx.execute("SELECT data FROM entry WHERE kind = 1 ORDER BY idx")]
    assert logged == [gateway.note(), liar.note()], "both checkpoints are evidence"
    with pytest.raises(EpochClosed):
        liar.sync(live.ledger)
    gateway.take(*readings(live, 1))
    with pytest.raises(EpochClosed, match="frozen"):
        gateway.sync(live.ledger)
    liar.take(*readings(live, 1))
    with pytest.raises(EpochClosed):
        liar.sync(live.ledger, SyncRequest(0, liar.entries[:2], liar.note(2)))
    with live.ledger.db.read() as tx:
        assert tx.execute("SELECT count(*) FROM entry WHERE kind = 1") == [(2,)], "one lie is proof enough"


def test_a_rewritten_past_is_found_at_any_size(live: LiveLedger, gateway: TestGateway) -> None:
    """A checkpoint that we never saw, of a size inside a batch: our own leaves contradict it."""
    gateway.take(*readings(live, 5))
    gateway.sync(live.ledger)
    liar = TestGateway(live.world)
    liar.take(*readings(live, 2))
    with pytest.raises(EpochClosed, match="contradict"):
        liar.sync(live.ledger)


def test_an_unseen_but_honest_checkpoint_is_no_conflict(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 5))
    gateway.sync(live.ledger)
    with pytest.raises(KnownSize) as error:
        gateway.sync(live.ledger, SyncRequest(0, gateway.entries[:3], gateway.note(3)))
    assert error.value.known_size == 5
    with live.ledger.db.read() as tx:
        assert tx.execute("SELECT frozen FROM epoch") == [(0,)]


def test_next_epoch_after_a_freeze(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 2))
    gateway.sync(live.ledger)
    liar = TestGateway(live.world)
    liar.take(*readings(live, 2))
    with pytest.raises(EpochClosed):
        liar.sync(live.ledger)
    second = TestGateway(live.world, epoch=2)
    second.take(*readings(live, 2))
    assert second.sync(live.ledger).known_size == 2


def test_an_earlier_epoch_is_closed(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 2))
    request = gateway.request()
    gateway.sync(live.ledger)
    second = TestGateway(live.world, epoch=2)
    second.take(*readings(live, 1))
    second.sync(live.ledger)
    assert gateway.sync(live.ledger, request).known_size == 2, "what it holds, it holds"
    gateway.take(*readings(live, 1))
    with pytest.raises(EpochClosed, match="epoch 2 was opened"):
        gateway.sync(live.ledger)


def test_epoch_that_is_closed_while_a_batch_is_on_the_way(
    live: LiveLedger, gateway: TestGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.take(*readings(live, 2))
    gateway.sync(live.ledger)
    gateway.take(*readings(live, 1))
    second = TestGateway(live.world, epoch=2)
    second.take(*readings(live, 1))
    put = live.ledger.blobs.put_if_absent

    def open_the_next_one(data: bytes) -> bytes:
        monkeypatch.undo()
        second.sync(live.ledger)
        return put(data)

    monkeypatch.setattr(live.ledger.blobs, "put_if_absent", open_the_next_one)
    with pytest.raises(EpochClosed, match="epoch 2 was opened"):
        gateway.sync(live.ledger)
    with live.ledger.db.read() as tx:
        assert tx.execute("SELECT number, size FROM epoch ORDER BY number") == [(1, 2), (2, 1)]


def test_note_of_another_key_or_log_is_forbidden(live: LiveLedger, gateway: TestGateway) -> None:
    gateway.take(*readings(live, 1))
    other = TestGateway(live.world, "gateway-2")
    other.entries = gateway.entries
    with pytest.raises(Forbidden):
        gateway.sync(live.ledger, SyncRequest(0, gateway.entries, other.note()))
    torn = gateway.note()[:-3] + b"A==" if not gateway.note().endswith(b"A==") else gateway.note()[:-3] + b"B=="
    with pytest.raises(Forbidden):
        gateway.sync(live.ledger, SyncRequest(0, gateway.entries, torn))


def test_revoked_gateway_is_refused(live: LiveLedger, gateway: TestGateway) -> None:
    world = live.world
    live.admit(world.statements[world.revoke("gateway")][0])
    gateway.take(*readings(live, 1))
    live.ledger.keys.follow()
    with pytest.raises(Unauthorized):
        gateway.sync(live.ledger)


def test_token(live: LiveLedger, gateway: TestGateway) -> None:
    name = gateway.signer.thumbprint.hex()
    assert authorize(live.ledger, name, f"Bearer {gateway.bearer}").thumbprint == gateway.signer.thumbprint
    node = live.world.signers["node-a"].thumbprint.hex()
    other = TestGateway(live.world, "gateway-2")
    for thumbprint, header in [
        (name, None),
        (name, ""),
        (name, gateway.bearer),
        (name, f"Basic {gateway.bearer}"),
        (name, "Bearer "),
        (name, f"Bearer {other.bearer}"),
        (name.upper(), f"Bearer {gateway.bearer}"),
        (node, f"Bearer {gateway.bearer}"),
        ("00" * 32, f"Bearer {gateway.bearer}"),
        ("nonsense", f"Bearer {gateway.bearer}"),
    ]:
        with pytest.raises(Unauthorized):
            authorize(live.ledger, thumbprint, header)


def test_cursor_has_limits(live: LiveLedger, gateway: TestGateway) -> None:
    key = authorize(live.ledger, gateway.signer.thumbprint.hex(), f"Bearer {gateway.bearer}")
    gateway.take(*readings(live, 1))
    for cursor in (-1, 1 << 63):
        with pytest.raises(Malformed, match="cursor"):
            receive(live.ledger, key, gateway.request(), cursor)


class TestBody:
    def test_zstd_is_taken(self, gateway: TestGateway) -> None:
        gateway.take(b"x" * 1000)
        body = gateway.request().encode()
        assert decode_body(zstandard.compress(body), "zstd") == decode_body(body, None) == gateway.request()

    def test_declared_size_is_bounded_before_decompressing(self) -> None:
        bomb = zstandard.compress(bytes(MAX_SYNC_BYTES + 1))
        assert len(bomb) < 1000
        with pytest.raises(TooLarge, match="declares"):
            decode_body(bomb, "zstd")

    def test_a_frame_that_declares_nothing_is_refused(self) -> None:
        stream = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)
        with pytest.raises(Malformed, match="declare"):
            decode_body(stream, "zstd")

    def test_a_frame_that_lies_about_its_size(self) -> None:
        honest = zstandard.compress(bytes(10_000))
        at = honest.index((10_000 - 256).to_bytes(2, "little"))  # a two-byte content size is stored minus 256
        lie = honest[:at] + (500 - 256).to_bytes(2, "little") + honest[at + 2 :]
        assert zstandard.frame_content_size(lie) == 500
        with pytest.raises(Malformed, match="zstd"):
            decode_body(lie, "zstd")

    def test_trailing_bytes_are_refused(self) -> None:
        with pytest.raises(Malformed, match="zstd"):
            decode_body(zstandard.compress(b"x") + b"more", "zstd")

    def test_other_encodings(self) -> None:
        with pytest.raises(Unsupported):
            decode_body(b"", "gzip")

    def test_oversize_and_nonsense(self) -> None:
        with pytest.raises(Malformed):
            decode_body(bytes(MAX_SYNC_BYTES + 1), None)
        with pytest.raises(Malformed):
            decode_body(b"\x83\x00\x80", None)


def test_known_root_of_every_size_inside_batches(live: LiveLedger, gateway: TestGateway) -> None:
    """root_at over batches of uneven sizes gives the roots that the gateway's own tree has."""
    from tallystick_ledger import batch as batches

    for count in (1, 2, 5, 3):
        gateway.take(*readings(live, count))
        gateway.sync(live.ledger)
    leaves = [merkle.leaf_hash(item) for item in gateway.entries]
    with live.ledger.db.read() as tx:
        held = {size: batches.containing(tx, 1, size) for size in range(1, 12)}
    for size, batch in held.items():
        assert batch is not None
        assert batches.root_at(live.ledger.blobs, batch, size) == merkle.root(leaves[:size])
