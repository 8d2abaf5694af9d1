"""note.py: one spelling for every note, line and verifier key."""

import random

import pytest

from tallystick_proof import checkpoint, keys, note
from tallystick_proof.errors import KeyFormatError, NoteError

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids

# The example of Go's sumdb/note package.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)
NOTE = f"{TEXT}\n{LINE}\n".encode()
ORIGIN = "ledger.example/log"


def test_foreign_note_verifies() -> None:
    parsed = note.parse(NOTE)
    assert parsed.text == TEXT
    assert note.format(parsed) == NOTE
    peter = note.VerifierKey.parse(PETER)
    assert peter.vkey == PETER
    assert note.verify_line(parsed.text, parsed.lines[0], peter)
    assert not note.verify_line(parsed.text + "x\n", parsed.lines[0], peter)


def test_text_may_hold_empty_lines() -> None:
    data = f"a\n\nb\n\n{LINE}\n".encode()
    assert note.parse(data).text == "a\n\nb\n"
    assert note.format(note.parse(data)) == data


def test_base64_with_a_flipped_trailing_bit_is_refused() -> None:
    """...nAM= and ...nAN= decode to the same bytes; only one of them is the note."""
    flipped = NOTE.replace(b"nAM=", b"nAN=")
    assert flipped != NOTE
    with pytest.raises(NoteError, match="stray bits"):
        note.parse(flipped)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n\n", "\n"),  # no blank line
        ("nAM=\n", "nAM="),  # no last newline
        ("nAM=\n", "nAM=\n\n"),  # an empty line behind it
        ("nAM=\n", "nAM=\nx\n"),  # a line that is none
        ("— ", "- "),  # another dash
        ("— ", "—"),
        ("— ", "—  "),
        (" x08", "  x08"),
        (" x08", " x0\t8"),
        ("PeterNeumann", "Peter Neumann"),
        ("PeterNeumann", "Peter+Neumann"),
        ("PeterNeumann", "Peter\u00a0Neumann"),
        ("PeterNeumann", "Peter\u2028Neumann"),
        ("PeterNeumann", "Peter\u202eNeumann"),
        ("PeterNeumann", ""),
        ("nAM=", "nAM"),  # no padding
        ("nAM=", "nAM-"),  # the other alphabet
        ("problem,\n", "problem,\r\n"),
        ("problem,", "problem,\0"),
        ("— PeterNeumann x08", "— PeterNeumann x08g\n— PeterNeumann x08"),  # shorter than a key id
    ],
)
def test_other_spellings_are_refused(old: str, new: str) -> None:
    spoilt = NOTE.decode().replace(old, new).encode()
    assert spoilt != NOTE
    with pytest.raises(NoteError):
        note.parse(spoilt)


def test_limits() -> None:
    assert len(note.parse(f"{TEXT}\n".encode() + f"{LINE}\n".encode() * note.MAX_SIGNATURE_LINES).lines) == 64
    with pytest.raises(NoteError, match="at most 64 signature lines"):
        note.parse(f"{TEXT}\n".encode() + f"{LINE}\n".encode() * (note.MAX_SIGNATURE_LINES + 1))
    with pytest.raises(NoteError, match="at most 65536 bytes"):
        note.parse(b"x" * note.MAX_NOTE_BYTES + NOTE)
    with pytest.raises(NoteError, match="UTF-8"):
        note.parse(b"\xff" + NOTE)
    with pytest.raises(NoteError, match="1 to 256"):
        note.check_name("x" * 257)


@pytest.mark.parametrize(
    "vkey",
    [
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("c74f20a3", "C74F20A3"),
        PETER.replace("PeterNeumann", "Peter"),
        PETER.replace("+AR", "+Ah"),  # another signature type
        PETER[:-4],
        PETER + "A",
        "PeterNeumann+c74f20a3",
        f"x+00000000+{note.encode_base64(bytes([1]) + bytes(31) + bytes([0x80]))}",  # a point of small order
    ],
)
def test_other_verifier_keys_are_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        note.VerifierKey.parse(vkey)


def test_a_log_signs_under_its_own_origin_only() -> None:
    ledger = keys.generate(keys.LEDGER, CHANCE.randbytes)
    gateway = keys.generate(keys.GATEWAY, CHANCE.randbytes)
    other = keys.generate(keys.GATEWAY, CHANCE.randbytes)
    text = checkpoint.Checkpoint(ORIGIN, 1, bytes(32)).text
    origin = checkpoint.gateway_origin(ORIGIN, gateway.thumbprint, 1)
    gateway_text = checkpoint.Checkpoint(origin, 1, bytes(32)).text
    line = note.sign_note(gateway, origin, gateway_text)
    assert note.verify_line(gateway_text, line, note.VerifierKey(origin, note.TYPE_ED25519, gateway.public_key))
    with pytest.raises(NoteError, match="origin only"):
        note.sign_note(ledger, "other.example", text)
    with pytest.raises(NoteError, match="own thumbprint"):
        note.sign_note(other, origin, gateway_text)
    with pytest.raises(KeyFormatError, match="a ledger key may not sign a gateway-checkpoint"):
        ledger.sign(note.NoteBody(gateway_text))
    with pytest.raises(KeyFormatError, match="a gateway key may not sign a ledger-checkpoint"):
        note.sign_note(gateway, ORIGIN, text)


def test_cosignature_and_signature_are_not_interchangeable() -> None:
    """One witness key, both types: a line verifies as the type it was made as and as nothing else."""
    witness = keys.generate(keys.WITNESS, CHANCE.randbytes)
    text = checkpoint.Checkpoint(ORIGIN, 1, bytes(32)).text
    line = checkpoint.cosign(witness, "w.example", text, 1_700_000_000)
    as_cosignature = note.VerifierKey("w.example", note.TYPE_COSIGNATURE, witness.public_key)
    as_signature = note.VerifierKey("w.example", note.TYPE_ED25519, witness.public_key)
    assert note.verify_line(text, line, as_cosignature)
    assert not note.verify_line(text, line, as_signature)
    moved = note.SignatureLine("w.example", as_signature.key_id, line.blob[8:])
    assert not note.verify_line(text, moved, as_signature)
    late = note.SignatureLine(line.name, line.key_id, (1_700_000_001).to_bytes(8, "big") + line.blob[8:])
    assert not note.verify_line(text, late, as_cosignature)
    beyond = note.SignatureLine(line.name, line.key_id, b"\xff" + line.blob[1:])
    assert not note.verify_line(text, beyond, as_cosignature)
    short = note.SignatureLine(line.name, line.key_id, line.blob[8:])
    assert not note.verify_line(text, short, as_cosignature)


def test_hidden_characters_are_a_fixed_list() -> None:
    """The same in every Unicode version, and nothing that prints on one line is in it."""
    hidden = [point for point in range(0x110000) if not note.is_plain(chr(point))]
    assert len(hidden) == 32 + 34 + 5 + 16 + 8 + 17 + 2048 + 1 + 12 + 4096
    for text in ("Käse", "冷库 2 号", "naïve – “quoted”", "٣", "🧀", "a b", "\ue000"):
        assert note.is_plain(text)
    for text in ("a\u202eb", "a\u2066b", "a\u200bb", "a\tb", "a\x7fb", "a\x85b", "a\u00a0b", "a\u3000b", "a\ufeffb"):
        assert not note.is_plain(text)
