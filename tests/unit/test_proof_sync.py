"""sync.py: the ledger's pure check of a batch, error class by error class. Attacks 12 and 23 of the threat list."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tallystick_proof import checkpoint, keys, merkle, note, sync
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.errors import CheckpointConflict, SizeMismatch, SyncError
from tallystick_proof.merkle import Frontier
from tallystick_proof.sync import SyncAnswer, SyncRequest
from tallystick_wire import cbor

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids

ORIGIN = "ledger.example/log"
GATEWAY = keys.generate(keys.GATEWAY, CHANCE.randbytes)
TREE = checkpoint.gateway_origin(ORIGIN, GATEWAY.thumbprint, 1)
ENTRIES = [bytes([index + 1]) for index in range(8)]


def frontier(count: int) -> Frontier:
    grown = Frontier()
    for item in ENTRIES[:count]:
        grown.append(merkle.leaf_hash(item))
    return grown


def signed(
    size: int, root: bytes, origin: str = TREE, signer: keys.Signer = GATEWAY, more: tuple[str, ...] = ()
) -> bytes:
    text = Checkpoint(origin, size, root, more).text
    return note.format(note.Note(text, [note.sign_note(signer, origin, text)]))


def request(old: int, new: int) -> SyncRequest:
    return SyncRequest(old, ENTRIES[old:new], signed(new, frontier(new).root()))


def check(asked: SyncRequest, known: int = 0, roots: Callable[[int], bytes | None] = lambda size: None) -> sync.Batch:
    head = sync.check_head(asked.checkpoint, GATEWAY.public_key, ORIGIN)
    return sync.check_batch(asked, head, frontier(known), roots)


def test_good_batches_grow_the_tree() -> None:
    first = check(SyncRequest.decode(request(0, 3).encode()))
    assert (first.frontier.size, first.repeated, first.head.epoch) == (3, False, 1)
    second = check(request(3, 8), known=3)
    assert second.frontier.root() == frontier(8).root()
    assert second.leaf_hashes == [merkle.leaf_hash(item) for item in ENTRIES[3:]]


def test_the_given_frontier_stays_as_it_was() -> None:
    start = frontier(3)
    asked = request(3, 8)
    sync.check_batch(asked, sync.check_head(asked.checkpoint, GATEWAY.public_key, ORIGIN), start, lambda size: None)
    assert start.size == 3


def test_the_same_batch_again_is_a_repetition() -> None:
    def roots(size: int) -> bytes | None:
        return frontier(3).root() if size == 3 else None

    assert check(request(0, 3), known=3, roots=roots).repeated
    assert check(request(0, 3), known=8, roots=roots).repeated


def test_another_old_size_answers_with_the_known_one() -> None:
    for known in (0, 2, 8):
        with pytest.raises(SizeMismatch) as caught:
            check(request(3, 5), known=known)
        assert caught.value.known_size == known


def test_two_signed_checkpoints_of_one_size_conflict() -> None:
    rival = SyncRequest(0, [b"x", b"y", b"z"], b"")
    grown = Frontier()
    for item in rival.entries:
        grown.append(merkle.leaf_hash(item))
    rival = SyncRequest(0, rival.entries, signed(3, grown.root()))
    with pytest.raises(CheckpointConflict, match="size 3"):
        check(rival, known=3, roots=lambda size: frontier(3).root() if size == 3 else None)


def test_a_forged_checkpoint_freezes_nothing() -> None:
    """Only the gateway's own signature can contradict it: a thief of the bearer token gets 400."""
    thief = keys.generate(keys.GATEWAY, CHANCE.randbytes)
    text = Checkpoint(TREE, 3, bytes(32)).text
    vkey = note.VerifierKey(TREE, note.TYPE_ED25519, GATEWAY.public_key)
    line = note.SignatureLine(TREE, vkey.key_id, thief.sign(note.NoteBody(text)))
    asked = SyncRequest(0, ENTRIES[:3], note.format(note.Note(text, [line])))
    with pytest.raises(SyncError, match="exactly one signature") as caught:
        check(asked, known=3, roots=lambda size: frontier(3).root())
    assert not isinstance(caught.value, CheckpointConflict)


def test_a_root_over_other_entries_is_refused() -> None:
    for entries in ([*ENTRIES[:2], b"x"], ENTRIES[1:4], list(reversed(ENTRIES[:3]))):
        with pytest.raises(SyncError, match="root over these entries") as caught:
            check(SyncRequest(0, entries, signed(3, frontier(3).root())))
        assert type(caught.value) is SyncError


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (SyncRequest(0, ENTRIES[:2], signed(3, frontier(3).root())), "number of entries"),
        (SyncRequest(3, [], signed(3, frontier(3).root())), "one or more"),
        (SyncRequest(0, ENTRIES[:3], b"no note"), "checkpoint"),
        (SyncRequest(0, ENTRIES[:3], signed(3, frontier(3).root(), more=("state x",))), "extension"),
    ],
)
def test_wrong_structures(asked: SyncRequest, message: str) -> None:
    with pytest.raises(SyncError, match=message):
        check(asked)


def test_heads_of_others_are_refused() -> None:
    other = keys.generate(keys.GATEWAY, CHANCE.randbytes)
    ledger = keys.generate(keys.LEDGER, CHANCE.randbytes)
    others = checkpoint.gateway_origin(ORIGIN, other.thumbprint, 1)
    elsewhere = checkpoint.gateway_origin("other.example", GATEWAY.thumbprint, 1)
    for data in (
        signed(1, bytes(32), others, other),
        signed(1, bytes(32), elsewhere, GATEWAY),
        signed(1, bytes(32), ORIGIN, ledger),
    ):
        with pytest.raises(SyncError, match="origin"):
            sync.check_head(data, GATEWAY.public_key, ORIGIN)
    text = Checkpoint(TREE, 1, bytes(32)).text
    line = note.sign_note(GATEWAY, TREE, text)
    for lines in ([line, line], [line, note.SignatureLine("w.example", bytes(4), bytes(72))]):
        with pytest.raises(SyncError, match="exactly one signature"):
            sync.check_head(note.format(note.Note(text, lines)), GATEWAY.public_key, ORIGIN)


def test_limits() -> None:
    head = signed(1, bytes(32))
    most = SyncRequest(0, [b"x"] * sync.MAX_BATCH_ENTRIES, head)
    assert len(SyncRequest.decode(most.encode()).entries) == 4096
    for wrong, message in (
        (SyncRequest(0, [b"x"] * 4097, head), "at most 4096"),
        (SyncRequest(0, [b""], head), "1 to 65535"),
        (SyncRequest(0, [bytes(65_536)], head), "1 to 65535"),
        (SyncRequest(0, [bytes(65_535)] * 64 + [bytes(65)], head), "4194304"),
        (SyncRequest(-1, [], head), "old size"),
        (SyncRequest(0, [], bytes(1025)), "1024"),
    ):
        with pytest.raises(SyncError, match=message):
            wrong.encode()
        with pytest.raises(SyncError, match=message):
            SyncRequest.decode(cbor.encode([wrong.old_size, wrong.entries, wrong.checkpoint]))
    with pytest.raises(SyncError, match="at most"):
        SyncRequest.decode(bytes(sync.MAX_SYNC_BYTES + 1))


def test_the_largest_request_fits_the_body_limit() -> None:
    size, rest = divmod(sync.MAX_BATCH_BYTES, 64)
    assert (size, rest) == (65_536, 0)
    entries = [bytes(65_535)] * 64 + [bytes(1)] * 64
    largest = SyncRequest(merkle.MAX_TREE_SIZE, entries, bytes(sync.MAX_GATEWAY_NOTE_BYTES))
    assert len(largest.encode()) <= sync.MAX_SYNC_BYTES
    many = SyncRequest(merkle.MAX_TREE_SIZE, [bytes(1024)] * 4096, bytes(sync.MAX_GATEWAY_NOTE_BYTES))
    assert len(many.encode()) <= sync.MAX_SYNC_BYTES


def test_the_longest_gateway_note_fits_its_limit() -> None:
    longest = checkpoint.gateway_origin("x" * 128, GATEWAY.thumbprint, checkpoint.MAX_EPOCH)
    assert len(signed(merkle.MAX_TREE_SIZE, bytes(32), longest)) <= sync.MAX_GATEWAY_NOTE_BYTES


ANSWER = SyncAnswer(8, 3, b"note", 5, [b"\xd2"])


def test_answers() -> None:
    for answer in (ANSWER, SyncAnswer(0, None, None, 0, [])):
        assert SyncAnswer.decode(answer.encode()) == answer


@pytest.mark.parametrize(
    "items",
    [
        [8, 3, b"note", 5],
        [-1, 3, b"note", 5, []],
        [8, "3", b"note", 5, []],
        [8, 3, "note", 5, []],
        [8, 3, b"note", None, []],
        [8, 3, b"note", 5, None],
        [8, 3, b"note", 5, [b""]],
        [8, 3, b"note", 5, [b"x"] * 65],
        [8, 3, bytes(65_537), 5, []],
        {},
    ],
)
def test_other_answers_are_refused(items: Any) -> None:
    with pytest.raises(SyncError):
        SyncAnswer.decode(cbor.encode(items))
