"""tlog_proof.py: one text for every proof."""

import random

import pytest

from tallystick_proof import checkpoint, keys, merkle, note, tlog_proof
from tallystick_proof.errors import MerkleError

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids

LEDGER = keys.generate(keys.LEDGER, CHANCE.randbytes)
TEXT = checkpoint.Checkpoint("ledger.example/log", 3, bytes(32)).text
NOTE = note.format(note.Note(TEXT, [note.sign_note(LEDGER, "ledger.example/log", TEXT)]))
HASHES = [merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")]
PROOF = tlog_proof.format(1, HASHES, NOTE)


def test_round_trip() -> None:
    assert PROOF.startswith(b"c2sp.org/tlog-proof@v1\nindex 1\n")
    parsed = tlog_proof.parse(PROOF)
    assert (parsed.index, parsed.proof, parsed.note) == (1, HASHES, NOTE)
    alone = tlog_proof.format(0, [], NOTE)
    assert tlog_proof.parse(alone).proof == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"@v1", b"@v2"),
        (b"index 1", b"index 01"),
        (b"index 1", b"index -1"),
        (b"index 1", b"index  1"),
        (b"index 1", b"index 9223372036854775807"),
        (b"index 1\n", b""),
        (b"index 1\n", b"extra YQ==\nindex 1\n"),
        (b"index 1\n", b"index 1\nAA==\n"),
        (b"index 1\n", b"index 1\n\n"),
        (b"index 1\n", b"index 1\r\n"),
        (b"=\n\n", b"=\n"),
        (b"=\n\n", b"=\n\n\n"),
        (TEXT.encode(), b"words\n"),
        ("— ".encode(), b"- "),
        (b"c2sp", b"\xffc2sp"),
    ],
)
def test_other_texts_are_refused(old: bytes, new: bytes) -> None:
    spoilt = PROOF.replace(old, new, 1)
    assert spoilt != PROOF
    with pytest.raises(MerkleError):
        tlog_proof.parse(spoilt)


def test_limits() -> None:
    longest = [bytes(32)] * merkle.MAX_PATH_HASHES
    assert len(tlog_proof.parse(tlog_proof.format(0, longest, NOTE)).proof) == 63
    with pytest.raises(MerkleError, match="63"):
        tlog_proof.format(0, [*longest, bytes(32)], NOTE)
    with pytest.raises(MerkleError, match="32 bytes"):
        tlog_proof.format(0, [bytes(31)], NOTE)
    with pytest.raises(MerkleError, match="index"):
        tlog_proof.format(merkle.MAX_TREE_SIZE, [], NOTE)
    with pytest.raises(MerkleError, match="at most"):
        tlog_proof.parse(PROOF + bytes(tlog_proof.MAX_TLOG_PROOF_BYTES))
