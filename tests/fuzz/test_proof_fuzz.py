"""Whatever the bytes: a decoder of tallystick_proof raises a ProofError or returns what writes the same bytes again.

And type confusion: every signable kind against every role, and every signed byte string against every reader.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statement_bodies import BODIES, COMMON

from tallystick_proof import (
    archive,
    checkpoint,
    enrolment,
    entry,
    keys,
    merkle,
    note,
    statement,
    sync,
    tiles,
    tlog_proof,
)
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.entry import GatewayEntry, LedgerEntry
from tallystick_proof.errors import KeyFormatError, ProofError
from tallystick_proof.keys import Signable, Signer
from tallystick_proof.merkle import Frontier
from tallystick_proof.note import Cosignature, Note, NoteBody, VerifierKey
from tallystick_proof.policy import Policy
from tallystick_proof.statement import UnsignedReading, UnsignedStatement
from tallystick_proof.sync import SyncAnswer, SyncRequest
from tallystick_proof.trust import Trust
from tallystick_wire import cbor, cose, reading, senml
from tallystick_wire.errors import CborError

ORIGIN = "ledger.example/log"
SIGNERS = {role: keys.generate(role, os.urandom) for role in keys.MAY_SIGN}
LEDGER, GATEWAY, WITNESS = SIGNERS[keys.LEDGER], SIGNERS[keys.GATEWAY], SIGNERS[keys.WITNESS]
HASH = bytes(range(32))
TEXT = Checkpoint(ORIGIN, 3, HASH).text
GATEWAY_ORIGIN = checkpoint.gateway_origin(ORIGIN, GATEWAY.thumbprint, 1)
GATEWAY_TEXT = Checkpoint(GATEWAY_ORIGIN, 1, HASH).text
LINES = [note.sign_note(LEDGER, ORIGIN, TEXT), checkpoint.cosign(WITNESS, "w.example", TEXT, 1_700_000_000)]
NOTE = note.format(Note(TEXT, LINES))
GATEWAY_NOTE = note.format(Note(GATEWAY_TEXT, [note.sign_note(GATEWAY, GATEWAY_ORIGIN, GATEWAY_TEXT)]))
POLICY_TEXT = (
    f"log {VerifierKey(ORIGIN, note.TYPE_ED25519, LEDGER.public_key).vkey}\n"
    f"witness w {VerifierKey('w.example', note.TYPE_COSIGNATURE, WITNESS.public_key).vkey}\n"
    "group g any w\nquorum g\n"
)
POLICY = Policy.parse(POLICY_TEXT)
REVOCATION = {"aud": ORIGIN, "jti": bytes(16), "exp": None, "thumbprint": HASH, "reason": "retired"}
STATEMENT = statement.build(SIGNERS["authority-node"], keys.REVOCATION, REVOCATION)
ENTRY = GatewayEntry(entry.NOTE, 1, 5, None, 0, None, "serial:0", (1, cbor.Map([])))
FRONTIER = Frontier()
for _ in range(5):
    FRONTIER.append(HASH)


def trust_text() -> str:
    head = f'version = 1\norigin = "{ORIGIN}"\npen = 32473\nmax_head_age_s = 60\n'
    key = SIGNERS["authority-node"].public_key.hex()
    return f'{head}policy = """\n{POLICY_TEXT}"""\n[[authority]]\nkind = "node"\nkeys = ["{key}"]\nthreshold = 1\n'


def through_text(parse: Callable[[str], Any], text: Callable[[Any], str]) -> Callable[[bytes], bytes]:
    def decode(data: bytes) -> bytes:
        return text(parse(data.decode("utf-8", "surrogateescape"))).encode("utf-8", "surrogateescape")

    return decode


def read_trust(data: bytes) -> None:
    """A person's file: other spaces and comments are allowed, so writing gives the same trust, not the same bytes."""
    trust = Trust.parse(data.decode("utf-8", "replace"))
    assert Trust.parse(trust.format()) == trust


def check_note_under_policy(data: bytes) -> bytes:
    assert POLICY.check(data, ORIGIN).text == TEXT
    return data


# name -> (decode and write again, a good example). None: what was read has other spellings on purpose.
DECODERS: dict[str, tuple[Callable[[bytes], bytes | None], bytes]] = {
    "note": (lambda data: note.format(note.parse(data)), NOTE),
    "line": (through_text(note.parse_line, lambda line: line.text[:-1]), LINES[0].text[:-1].encode()),
    "vkey": (through_text(VerifierKey.parse, lambda key: key.vkey), POLICY.logs[0].vkey.encode()),
    "checkpoint": (through_text(checkpoint.parse, lambda head: head.text), TEXT.encode()),
    "gateway origin": (
        through_text(checkpoint.parse_gateway_origin, lambda parts: checkpoint.gateway_origin(*parts)),
        GATEWAY_ORIGIN.encode(),
    ),
    "policy": (through_text(Policy.parse, lambda policy: policy.text), POLICY_TEXT.encode()),
    "policy check": (check_note_under_policy, NOTE),
    "tlog-proof": (
        lambda data: tlog_proof.format(*(lambda p: (p.index, p.proof, p.note))(tlog_proof.parse(data))),
        tlog_proof.format(1, [HASH], NOTE),
    ),
    "frontier": (lambda data: Frontier.from_bytes(data).to_bytes(), FRONTIER.to_bytes()),
    "tile path": (through_text(tiles.parse_tile_path, lambda tile: tiles.tile_path(*tile)), b"tile/1/x001/067.p/12"),
    "gateway entry": (lambda data: GatewayEntry.decode(data).encode(), ENTRY.encode()),
    "ledger entry": (lambda data: LedgerEntry.decode(data).encode(), LedgerEntry(entry.STATEMENT, STATEMENT).encode()),
    "statement": (lambda data: statement.parse(data).data and None, STATEMENT),
    "sync request": (
        lambda data: SyncRequest.decode(data).encode(),
        SyncRequest(0, [ENTRY.encode()], GATEWAY_NOTE).encode(),
    ),
    "sync answer": (lambda data: SyncAnswer.decode(data).encode(), SyncAnswer(1, 2, NOTE, 1, [STATEMENT]).encode()),
    "sync head": (lambda data: sync.check_head(data, GATEWAY.public_key, ORIGIN).note, GATEWAY_NOTE),
    "secret": (
        through_text(lambda text: keys.parse_secret(text, keys.NODE), keys.format_secret),
        keys.format_secret(SIGNERS[keys.NODE]).encode(),
    ),
    "trust": (read_trust, trust_text().encode()),
    "archive": (lambda data: archive.write(archive.read(data)), archive.write({"a.cose": b"x", "b.cose": b"y"})),
}


def accepts(name: str, data: bytes) -> bool:
    """Whether the decoder takes the bytes; fails when it raises anything else or would write other bytes."""
    decode, _ = DECODERS[name]
    try:
        written = decode(data)
    except ProofError:
        return False
    assert written is None or written == data
    return True


@pytest.mark.parametrize("name", DECODERS)
def test_examples_are_accepted(name: str) -> None:
    assert accepts(name, DECODERS[name][1])


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes(name: str, data: bytes) -> None:
    accepts(name, data)


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_spoilt_examples(name: str, data: st.DataObject) -> None:
    """One cut, one replaced piece: near the form, where mistakes live."""
    example = DECODERS[name][1]
    start = data.draw(st.integers(0, len(example)))
    end = data.draw(st.integers(start, min(len(example), start + 8)))
    piece = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"\n", b" ", b"\0", b"\xff", example[:40]])))
    accepts(name, example[:start] + piece + example[end:])


@pytest.mark.parametrize(
    "name", ["note", "policy check", "tlog-proof", "ledger entry", "sync head", "frontier", "secret", "archive"]
)
def test_every_flipped_bit_is_refused_or_another_value(name: str) -> None:
    """No byte is free: what is still accepted writes exactly the flipped bytes, so it is another value."""
    example = DECODERS[name][1]
    accepted = 0
    for index in range(len(example)):
        for bit in range(8):
            spoilt = bytearray(example)
            spoilt[index] ^= 1 << bit
            accepted += accepts(name, bytes(spoilt))
    if name in ("policy check", "sync head"):  # what is signed has no other value at all
        assert accepted == 0


cbor_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(value=cbor_values)
def test_any_cbor_value(value: object) -> None:
    try:
        data = cbor.encode(value)
    except CborError:  # deeper than the codec allows: nothing to try
        return
    for name in ("gateway entry", "ledger entry", "statement", "sync request", "sync answer"):
        accepts(name, data)


@pytest.mark.parametrize("kind", statement.TABLE)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_body_under_any_header(kind: str, data: st.DataObject) -> None:
    names = ["aud", "jti", "exp", *statement.TABLE[kind].fields]
    body = data.draw(st.dictionaries(st.sampled_from(names), cbor_values, max_size=len(names)))
    header = cbor.encode(cbor.Map([(1, -8), (4, bytes(8)), (16, statement.typ(kind))]))
    try:
        payload = cbor.encode(body)
    except CborError:
        return
    accepts("statement", cose.assemble(header, payload, bytes(64)))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-5, 40),
    st.integers(-5, 40),
    st.lists(st.binary(min_size=30, max_size=33), max_size=8),
    st.lists(st.binary(min_size=32, max_size=32), max_size=8),
)
def test_tree_checks_raise_merkle_errors_only(first: int, second: int, proof: list[bytes], leaves: list[bytes]) -> None:
    checks: list[Callable[[], object]] = [
        lambda: merkle.verify_inclusion(HASH, first, second, proof, HASH),
        lambda: merkle.verify_consistency(first, second, HASH, HASH, proof),
        lambda: merkle.range_root(first, leaves, second, proof),
        lambda: tiles.Tree(lambda level, number: b"".join(proof), second).inclusion_proof(first, second),
        lambda: tiles.Tree(lambda level, number: None, second).consistency_proof(first, second),
    ]
    for check in checks:
        try:
            check()
        except ProofError:
            continue


# -- type confusion ---------------------------------------------------------------------------------------------------


def reading_to_sign() -> UnsignedReading:
    node = SIGNERS[keys.NODE]
    pack = senml.encode_pack(senml.base_name(32473, node.kid), [senml.Record("d", None, True)])
    chain = reading.Chain(1, 1, 5, reading.genesis(ORIGIN, node.public_key), None)
    return UnsignedReading(cose.sig_structure(reading.protected_header(node.kid, chain), pack))


SIGNABLES: list[Signable] = [
    reading_to_sign(),
    NoteBody(TEXT),
    NoteBody(GATEWAY_TEXT),
    Cosignature(1_700_000_000, TEXT),
    *(UnsignedStatement(kind, bytes(8), {**COMMON, **BODIES[kind]}) for kind in statement.TABLE),
]
# Written out once more, so that a slip in the table is seen.
ALLOWED = {
    ("node", "reading"),
    ("gateway", "gateway-checkpoint"),
    ("ledger", "ledger-checkpoint"),
    ("witness", "cosignature"),
    ("auditor", "cosignature"),
    ("installer", "association"),
    ("installer", "tag"),
    ("installer", "sheet"),
    ("authority-installer", "tag-job"),
    ("organisation", "facility"),
    ("organisation", "pledge"),
    ("decision", "decision"),
    ("downlink", "config"),
    ("firmware", "firmware"),
    *((kind, "enrol-request") for kind in ("node", "gateway", "organisation", "installer", "decision")),
    *(
        (f"authority-{kind}", word)
        for kind in ("node", "gateway", "organisation", "installer", "decision")
        for word in ("enrolment", "revocation")
    ),
}


def test_every_kind_is_among_the_signables() -> None:
    assert {signable.kind for signable in SIGNABLES} == {kind for kinds in keys.MAY_SIGN.values() for kind in kinds}


@pytest.mark.parametrize("signable", SIGNABLES, ids=lambda signable: signable.kind)
@pytest.mark.parametrize("signer", SIGNERS.values(), ids=lambda signer: signer.role)
def test_every_kind_against_every_role(signable: Signable, signer: Signer) -> None:
    if (signer.role, signable.kind) in ALLOWED:
        assert keys.verify_signature(signer.public_key, signable.to_be_signed, signer.sign(signable))
    else:
        with pytest.raises(KeyFormatError, match=f"a {signer.role} key may not sign a {signable.kind}"):
            signer.sign(signable)


def readers() -> dict[str, Callable[[bytes], bool]]:
    """kind -> whether these signed bytes would be taken for that kind by whoever verifies it."""

    def typed(message: bytes) -> str | None:
        try:
            items = cbor.decode(message)
            return statement.parse(cose.assemble(items[1], items[3], bytes(64))).kind
        except (CborError, ProofError, TypeError, IndexError):
            return None

    def is_reading(message: bytes) -> bool:
        try:
            UnsignedReading(message)
        except ProofError:
            return False
        return True

    def checkpoint_kind(message: bytes) -> str | None:
        try:
            return NoteBody(checkpoint.parse(message.decode()).text).kind
        except (ProofError, UnicodeDecodeError):
            return None

    def is_cosignature(message: bytes) -> bool:
        head, _, rest = message.partition(b"\n")
        clock, _, text = rest.partition(b"\n")
        return head == b"cosignature/v1" and clock.startswith(b"time ") and checkpoint_kind(text) is not None

    found: dict[str, Callable[[bytes], bool]] = {keys.READING: is_reading, keys.COSIGNATURE: is_cosignature}
    for kind in (keys.LEDGER_CHECKPOINT, keys.GATEWAY_CHECKPOINT):
        found[kind] = lambda message, kind=kind: checkpoint_kind(message) == kind  # type: ignore[misc]
    for kind in statement.TABLE:
        found[kind] = lambda message, kind=kind: typed(message) == kind  # type: ignore[misc]
    return found


def test_signed_bytes_are_of_one_kind_only() -> None:
    """Even a key that signed anything would not help: no signed byte string reads as two kinds."""
    for signable in SIGNABLES:
        assert [kind for kind, reads in readers().items() if reads(signable.to_be_signed)] == [signable.kind]


def test_a_statement_under_another_typ_is_refused() -> None:
    """The typ stands in what is signed: moving a body under another typ breaks fields or signature."""
    parts = cose.split(STATEMENT)
    signer = SIGNERS["authority-node"]
    for kind in statement.TABLE:
        if kind == keys.REVOCATION:
            continue
        header = cbor.encode(cbor.Map([(1, -8), (4, signer.kid), (16, statement.typ(kind))]))
        moved = cose.assemble(header, parts.payload, parts.signature)
        with pytest.raises(ProofError):
            statement.verify(statement.parse(moved), signer.public_key)


def test_an_enrolment_is_no_revocation_and_the_other_way_round() -> None:
    trust = Trust.parse(trust_text())
    with pytest.raises(ProofError, match="no enrolment"):
        enrolment.check_enrolment(statement.parse(STATEMENT), trust)
