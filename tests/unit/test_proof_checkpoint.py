"""checkpoint.py: canonical texts, origins, cosignature bytes."""

import hashlib
import random

import pytest

from tallystick_proof import checkpoint, keys, note
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.errors import CheckpointError, NoteError

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids

# The example of C2SP tlog-checkpoint.
EXAMPLE = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_example_round_trip() -> None:
    parsed = checkpoint.parse(EXAMPLE)
    assert (parsed.origin, parsed.size, parsed.extensions) == ("example.com/behind-the-sofa", 20852163, ())
    assert parsed.text == EXAMPLE
    extended = EXAMPLE + "state abc\n"
    assert checkpoint.parse(extended).extensions == ("state abc",)
    assert checkpoint.parse(extended).text == extended


def test_anchor_hash_is_over_the_text_alone() -> None:
    assert checkpoint.anchor_hash(EXAMPLE) == hashlib.sha256(EXAMPLE.encode()).digest()[:16]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20852163", "020852163"),
        ("20852163", "+20852163"),
        ("20852163", " 20852163"),
        ("20852163", "-1"),
        ("20852163", ""),
        ("20852163", "２０"),
        ("20852163", "9223372036854775808"),
        ("20852163", "9" * 5000),
        ("q2I=\n", "q2J=\n"),
        ("q2I=\n", "q2I=\n\n"),
        ("q2I=\n", "q2I="),
        ("q2I=\n", "q2I=\nstate\tx\n"),
        ("q2I=\n", "q2I=\na\nb\nc\nd\ne\n"),
        ("CsUY", ""),
        ("behind-the-sofa", "behind the sofa"),
        ("example.com/behind-the-sofa", ""),
    ],
)
def test_other_texts_are_refused(old: str, new: str) -> None:
    spoilt = EXAMPLE.replace(old, new)
    assert spoilt != EXAMPLE
    with pytest.raises(CheckpointError):
        checkpoint.parse(spoilt)


def test_gateway_origin_round_trip() -> None:
    thumbprint = bytes(range(32))
    origin = checkpoint.gateway_origin("ledger.example/log", thumbprint, 7)
    assert origin == f"ledger.example/log/gateway/{thumbprint.hex()}/7"
    assert checkpoint.parse_gateway_origin(origin) == ("ledger.example/log", thumbprint, 7)


@pytest.mark.parametrize(
    "origin",
    [
        f"l.example/gateway/{'0' * 64}/0",
        f"l.example/gateway/{'0' * 64}/01",
        f"l.example/gateway/{'0' * 64}/4294967296",
        f"l.example/gateway/{'0' * 63}/1",
        f"l.example/gateway/{'A' * 64}/1",
        f"/gateway/{'0' * 64}/1",
        f"l.example/gateway/{'0' * 64}/1/",
        f"l.example/gateway/{'0' * 64}/gateway/{'0' * 64}/1",
        f"l.example/gateway/{'0' * 64}/1/gateway/{'0' * 64}/1",
        "l.example",
    ],
)
def test_other_gateway_origins_are_refused(origin: str) -> None:
    with pytest.raises(CheckpointError):
        checkpoint.parse_gateway_origin(origin)


@pytest.mark.parametrize("origin", ["", "https://ledger.example", "a b", "a+b", "x/gateway/y", "l" * 129, "a\nb"])
def test_no_ledger_origin(origin: str) -> None:
    with pytest.raises(CheckpointError):
        checkpoint.check_ledger_origin(origin)


def test_cosignature_bytes() -> None:
    """The signed message of tlog-cosignature, written out."""
    assert note.Cosignature(1679315147, EXAMPLE).to_be_signed == b"cosignature/v1\ntime 1679315147\n" + EXAMPLE.encode()
    witness = keys.generate(keys.WITNESS, CHANCE.randbytes)
    line = checkpoint.cosign(witness, "w.example", EXAMPLE, 1679315147)
    assert checkpoint.cosignature_time(line) == 1679315147
    assert line.blob[:8] == (1679315147).to_bytes(8, "big")
    message = b"cosignature/v1\ntime 1679315147\n" + EXAMPLE.encode()
    assert keys.verify_signature(witness.public_key, message, line.blob[8:])


def test_no_cosignature_over_anything_else() -> None:
    witness = keys.generate(keys.WITNESS, CHANCE.randbytes)
    with pytest.raises(CheckpointError):
        checkpoint.cosign(witness, "w.example", "just words\n", 1)
    with pytest.raises(NoteError, match="time_s"):
        checkpoint.cosign(witness, "w.example", EXAMPLE, 2**63)


def test_limits_are_checked_when_made() -> None:
    with pytest.raises(CheckpointError, match="size"):
        Checkpoint("a", 2**63, bytes(32))
    with pytest.raises(CheckpointError, match="root"):
        Checkpoint("a", 1, bytes(31))
    with pytest.raises(CheckpointError, match="extension"):
        Checkpoint("a", 1, bytes(32), ("",))
