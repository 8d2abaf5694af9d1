"""policy.py: policies and what a note proves under one."""

import random

import pytest

from tallystick_proof import checkpoint, keys, note
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.errors import PolicyError
from tallystick_proof.note import TYPE_COSIGNATURE, TYPE_ED25519, Note, SignatureLine, VerifierKey
from tallystick_proof.policy import Policy

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids

ORIGIN = "ledger.example/log"
LEDGER = keys.generate(keys.LEDGER, CHANCE.randbytes)
WITNESSES = {name: keys.generate(keys.WITNESS, CHANCE.randbytes) for name in ("w1", "w2", "w3", "w4")}
HEAD = Checkpoint(ORIGIN, 42, bytes(range(32)))
LOG_LINE = note.sign_note(LEDGER, ORIGIN, HEAD.text)
LOG_VKEY = VerifierKey(ORIGIN, TYPE_ED25519, LEDGER.public_key).vkey
DEFINITIONS = f"log {LOG_VKEY}\n" + "".join(
    f"witness {name} {VerifierKey(f'{name}.example', TYPE_COSIGNATURE, signer.public_key).vkey}\n"
    for name, signer in WITNESSES.items()
)


def policy(rest: str) -> Policy:
    return Policy.parse(DEFINITIONS + rest)


def cosignature(name: str, time_s: int) -> SignatureLine:
    return checkpoint.cosign(WITNESSES[name], f"{name}.example", HEAD.text, time_s)


def signed(*lines: SignatureLine, log: bool = True) -> bytes:
    return note.format(Note(HEAD.text, [*([LOG_LINE] if log else []), *lines]))


def test_one_witness() -> None:
    one = policy("quorum w1\n")
    met = one.check(signed(cosignature("w1", 1000)), ORIGIN)
    assert met.witnessed
    assert (met.checkpoint, met.text) == (HEAD, HEAD.text)
    assert (met.earliest_ms, met.quorum_ms) == (1_000_000, 1_001_000)
    for other in (signed(), signed(cosignature("w2", 1000))):
        missed = one.check(other, ORIGIN)
        assert (missed.witnessed, missed.earliest_ms, missed.quorum_ms) == (False, None, None)


def test_quorum_none_is_never_witnessed() -> None:
    missed = policy("quorum none\n").check(signed(cosignature("w1", 1000)), ORIGIN)
    assert (missed.witnessed, missed.earliest_ms, missed.quorum_ms) == (False, None, None)


@pytest.mark.parametrize(
    ("times", "quorum_s"),
    [
        ({}, None),
        ({"w1": 10}, None),
        ({"w3": 10, "w4": 11}, None),
        ({"w1": 10, "w2": 30}, None),
        ({"w1": 10, "w3": 20}, None),
        ({"w1": 10, "w2": 30, "w3": 20}, 30),
        ({"w1": 10, "w2": 30, "w3": 40}, 40),
        ({"w1": 10, "w2": 30, "w3": 40, "w4": 5}, 30),
    ],
)
def test_groups_in_groups(times: dict[str, int], quorum_s: int | None) -> None:
    """Two of w1, w2 and any of w3, w4: complete at the latest of the times that were needed."""
    nested = policy("group X 2 w1 w2\ngroup Y any w3 w4\ngroup both all X Y\nquorum both\n")
    result = nested.check(signed(*(cosignature(name, time_s) for name, time_s in times.items())), ORIGIN)
    assert result.witnessed is (quorum_s is not None)
    assert result.quorum_ms == (None if quorum_s is None else (quorum_s + 1) * 1000)
    assert result.earliest_ms == (None if quorum_s is None else min(times.values()) * 1000)


@pytest.mark.parametrize("threshold", ["1", "any", "2", "3", "all"])
def test_thresholds(threshold: str) -> None:
    witnessed = threshold in ("1", "any", "2")
    grouped = policy(f"group g {threshold} w1 w2 w3\nquorum g\n")
    assert grouped.check(signed(cosignature("w1", 5), cosignature("w3", 7)), ORIGIN).witnessed is witnessed


def test_lines_that_the_policy_does_not_name_are_refused() -> None:
    one = policy("quorum w1\n")
    stranger = keys.generate(keys.WITNESS, CHANCE.randbytes)
    for line in (
        checkpoint.cosign(stranger, "w9.example", HEAD.text, 1),
        checkpoint.cosign(stranger, "w2.example", HEAD.text, 1),  # the name of a witness, another key
        checkpoint.cosign(WITNESSES["w2"], "w9.example", HEAD.text, 1),  # the key of a witness, another name
        SignatureLine("w1.example", b"\0\0\0\0", bytes(72)),
    ):
        with pytest.raises(PolicyError, match="not the policy's"):
            one.check(signed(cosignature("w1", 1000), line), ORIGIN)


def test_lines_stand_in_the_order_of_the_policy() -> None:
    """The order is not signed; with a free order one fact would have several forms."""
    nested = policy("group g any w1 w2 w3\nquorum g\n")
    lines = [cosignature("w3", 5), cosignature("w1", 6), LOG_LINE]
    with pytest.raises(PolicyError, match="not in its order"):
        nested.check(note.format(Note(HEAD.text, lines)), ORIGIN)
    with pytest.raises(PolicyError, match="not in its order"):
        nested.check(signed(*lines[:2]), ORIGIN)
    assert nested.check(note.format(Note(HEAD.text, nested.in_order(lines))), ORIGIN).witnessed
    stranger = SignatureLine("x", b"abcd", bytes(64))
    assert nested.in_order([stranger, *lines])[-1] == stranger


def test_duplicates_are_refused() -> None:
    one = policy("quorum w1\n")
    with pytest.raises(PolicyError, match="there twice"):
        one.check(signed(cosignature("w1", 1000), cosignature("w1", 1001)), ORIGIN)
    with pytest.raises(PolicyError, match="there twice"):
        one.check(signed(LOG_LINE, cosignature("w1", 1000)), ORIGIN)


def test_bad_signatures_are_refused_even_when_the_quorum_is_met_without_them() -> None:
    one = policy("quorum w1\n")
    good = cosignature("w2", 1000)
    flipped = good.blob[:-1] + bytes([good.blob[-1] ^ 1])
    for blob in (flipped, good.blob[:-1], (1001).to_bytes(8, "big") + good.blob[8:]):
        with pytest.raises(PolicyError, match="does not hold"):
            one.check(signed(cosignature("w1", 1000), SignatureLine(good.name, good.key_id, blob)), ORIGIN)


def test_the_log_must_have_signed() -> None:
    one = policy("quorum w1\n")
    with pytest.raises(PolicyError, match="no signature of the log"):
        one.check(signed(cosignature("w1", 1000), log=False), ORIGIN)
    with pytest.raises(PolicyError, match=r"not of 'other\.example'"):
        one.check(signed(cosignature("w1", 1000)), "other.example")
    with pytest.raises(PolicyError, match="checkpoint note"):
        one.check(b"no note", ORIGIN)


def test_a_line_of_another_log_of_the_policy_is_refused() -> None:
    other = keys.generate(keys.LEDGER, CHANCE.randbytes)
    two = policy(f"log {VerifierKey('other.example', TYPE_ED25519, other.public_key).vkey}\nquorum w1\n")
    line = SignatureLine("other.example", two.logs[1].key_id, other.sign(note.NoteBody(HEAD.text)))
    with pytest.raises(PolicyError, match="not the policy's"):
        two.check(signed(line, cosignature("w1", 1)), ORIGIN)


def test_comments_spaces_and_urls() -> None:
    text = f"# a comment\n\n \t log\t{LOG_VKEY} https://ledger.example/\n" + DEFINITIONS.split("\n", 1)[1]
    text = text.replace("witness w1", "  witness   w1").replace("\nwitness w2", " https://w1/\nwitness w2")
    text += "quorum w1"
    with pytest.raises(PolicyError, match="newline"):
        Policy.parse(text)
    parsed = Policy.parse(text + " \n")
    assert parsed.check(signed(cosignature("w1", 1)), ORIGIN).witnessed
    assert Policy.parse("quorum none\n").logs == ()


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "none"),
        ("quorum w1\nquorum w1\n", "exactly one"),
        ("quorum w9\n", "not defined"),
        ("quorum g\ngroup g any w1\n", "not defined"),
        ("group g any g\nquorum g\n", "not defined"),
        ("group g 0 w1\nquorum g\n", "threshold"),
        ("group g 2 w1\nquorum g\n", "threshold"),
        ("group g +1 w1\nquorum g\n", "threshold"),
        ("group g most w1\nquorum g\n", "threshold"),
        ("group g any\nquorum g\n", "not log VKEY"),
        ("group g any w1 w1\nquorum g\n", "already a member"),
        ("group g any w1\ngroup h any w1\nquorum h\n", "already a member"),
        ("group g any none\nquorum g\n", "not defined"),
        ("group none any w1\nquorum none\n", "already defined"),
        ("group w1 any w2\nquorum w1\n", "already defined"),
        ("group g any w1\ngroup g any w2\nquorum g\n", "already defined"),
        (f"log {LOG_VKEY}\nquorum w1\n", "occurs twice"),
        ("quorum w1 w2\n", "not log VKEY"),
        ("Quorum w1\n", "not log VKEY"),
        ("quorum w1\r\n", "control"),
        ("quorum w1\x0b\n", "control"),
        ("log x\nquorum w1\n", "verifier key"),
        (f"witness w5 {LOG_VKEY}\nquorum w1\n", "type 4"),
        (f"witness w5 {VerifierKey('x', 4, LEDGER.public_key).vkey}\nquorum w1\n", "occurs twice"),
        (f"log {VerifierKey('x', 4, CHANCE.randbytes(32)).vkey}\nquorum w1\n", "type 1"),
    ],
)
def test_other_policies_are_refused(rest: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        policy(rest)


def test_limits() -> None:
    def witness(number: int) -> str:
        key = keys.generate(keys.WITNESS, CHANCE.randbytes).public_key
        return f"witness n{number} {VerifierKey('n', TYPE_COSIGNATURE, key).vkey}\n"

    most = "".join(witness(number) for number in range(32))
    assert len(Policy.parse(most + "quorum none\n").witnesses) == 32
    with pytest.raises(PolicyError, match="at most 32"):
        Policy.parse(most + witness(33) + "quorum none\n")
    with pytest.raises(PolicyError, match="65536 bytes"):
        Policy.parse("#" * 65536 + "\nquorum none\n")
