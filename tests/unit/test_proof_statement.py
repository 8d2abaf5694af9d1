"""statement.py: one table of fields, strict both ways."""

import random
from typing import Any

import pytest
from statement_bodies import BODIES, COMMON, HASH, INSTRUMENT

from tallystick_proof import keys, statement
from tallystick_proof.errors import KeyFormatError, StatementError
from tallystick_wire import cbor, cose, reading, senml

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids


def signer_for(kind: str) -> keys.Signer:
    return keys.generate(keys.roles_that_sign(kind)[0], CHANCE.randbytes)


@pytest.mark.parametrize("kind", BODIES)
def test_round_trip(kind: str) -> None:
    signer = signer_for(kind)
    data = statement.build(signer, kind, {**COMMON, **BODIES[kind]})
    parsed = statement.parse(data)
    assert (parsed.kind, parsed.kid, parsed.data) == (kind, signer.kid, data)
    assert parsed.identity == cose.identity(data)
    for field, value in {**COMMON, **BODIES[kind]}.items():
        assert cbor.encode(parsed.body[field]) == cbor.encode(value)
    statement.verify(parsed, signer.public_key)
    with pytest.raises(StatementError, match="another key"):
        statement.verify(parsed, signer_for(kind).public_key)


def test_every_kind_has_a_body_and_a_signer() -> None:
    assert set(BODIES) == set(statement.TABLE)
    assert all(keys.roles_that_sign(kind) for kind in statement.TABLE)


@pytest.mark.parametrize("kind", BODIES)
def test_each_field_is_needed_and_no_other_is_known(kind: str) -> None:
    signer = signer_for(kind)
    whole = {**COMMON, **BODIES[kind]}
    for field in whole:
        rest = {name: value for name, value in whole.items() if name != field}
        if field in statement.TABLE[kind].optional:
            statement.build(signer, kind, rest)
            continue
        with pytest.raises(StatementError, match=f"{field} is missing"):
            statement.build(signer, kind, rest)
    with pytest.raises(StatementError, match="unknown field 'more'"):
        statement.build(signer, kind, {**whole, "more": 1})


WRONG: list[tuple[str, str, Any]] = [
    (keys.REVOCATION, "aud", ""),
    (keys.REVOCATION, "aud", "x" * 129),
    (keys.REVOCATION, "aud", "a\nb"),
    (keys.REVOCATION, "aud", b"a"),
    (keys.REVOCATION, "jti", bytes(15)),
    (keys.REVOCATION, "exp", -1),
    (keys.REVOCATION, "exp", True),
    (keys.REVOCATION, "exp", 2**63),
    (keys.REVOCATION, "thumbprint", bytes(31)),
    (keys.REVOCATION, "reason", "bored"),
    (keys.REVOCATION, "reason", None),
    (keys.ENROL_REQUEST, "kind", "ledger"),
    (keys.ENROL_REQUEST, "key", bytes(33)),
    (keys.ENROL_REQUEST, "nonce", b""),
    (keys.ENROLMENT, "request", b""),
    (keys.ENROLMENT, "instrument", cbor.Map([])),
    (keys.ENROLMENT, "instrument", cbor.Map([*INSTRUMENT.pairs, ("colour", "red")])),
    (keys.ENROLMENT, "instrument", cbor.Map([*INSTRUMENT.pairs[:-1], ("channels", cbor.Map([]))])),
    (keys.ENROLMENT, "instrument", cbor.Map([*INSTRUMENT.pairs[:-1], ("channels", cbor.Map([("abc", ["x", None])]))])),
    (keys.ENROLMENT, "instrument", cbor.Map([*INSTRUMENT.pairs[:-1], ("channels", cbor.Map([("t", ["x"])]))])),
    (keys.ENROLMENT, "instrument", cbor.Map([*INSTRUMENT.pairs[:-1], ("channels", cbor.Map([(1, ["x", None])]))])),
    (keys.ASSOCIATION, "nodes", []),
    (keys.ASSOCIATION, "nodes", [HASH, HASH]),
    (keys.ASSOCIATION, "nodes", [HASH, "x"]),
    (keys.ASSOCIATION, "nodes", [index.to_bytes(32, "big") for index in range(65)]),
    (keys.ASSOCIATION, "nodes", HASH),
    (keys.TAG, "item", "/01/9506000134352/21/AB-1"),
    (keys.TAG, "item", "/01/09506000134352/21/"),
    (keys.TAG, "item", "/01/09506000134352/21/A/1"),
    (keys.TAG, "item", "/01/09506000134352/21/A%5f"),
    (keys.TAG, "item", "/01/09506000134352/21/A%2D1"),  # a second way to write one serial
    (keys.TAG, "item", "/01/09506000134352/21/A%23"),
    (keys.TAG, "item", "/01/09506000134352/21/.."),  # a browser makes another link of it
    (keys.TAG, "item", "/01/09506000134352/21/" + 21 * "1"),
    (keys.TAG, "chip", "ntag21x"),
    (keys.TAG, "copyable", 1),
    (keys.TAG, "uid", bytes(7)),
    (keys.TAG, "epoch", -1),
    (keys.TAG, "key_version", 0),
    (keys.TAG_JOB, "count", 0),
    (keys.SHEET, "document", bytes(31)),
    (keys.SHEET, "key", bytes(8)),
    (keys.SHEET, "made_ms", -1),
    (keys.TAG_JOB, "key_version", 255),
    (keys.TAG_JOB, "installer", bytes(8)),
    (keys.FACILITY, "currency", "EURO"),
    (keys.FACILITY, "limit_minor", 1.5),
    (keys.FACILITY, "limit_minor", -1),
    (keys.FACILITY, "rules", []),
    (keys.DECISION, "n", 2**32),
    (keys.DECISION, "as_of", [1]),
    (keys.DECISION, "as_of", [1, None]),
    (keys.DECISION, "event", []),
    (keys.DECISION, "effects", cbor.Map([])),
]


@pytest.mark.parametrize(("kind", "field", "value"), WRONG)
def test_a_wrong_field_is_named(kind: str, field: str, value: Any) -> None:
    """By the writer and by the reader alike: the payload is also put in place behind the writer's back."""
    signer = signer_for(kind)
    body = {**COMMON, **BODIES[kind], field: value}
    with pytest.raises(StatementError, match=f"^{kind}: {field} (must|[a-z]+ must|[a-z]+ is missing)|unknown field"):
        statement.build(signer, kind, body)
    header = cbor.encode(cbor.Map([(1, -8), (4, signer.kid), (16, statement.typ(kind))]))
    with pytest.raises(StatementError, match=f"^{kind}: {field} (must|[a-z]+ must|[a-z]+ is missing)|unknown field"):
        statement.parse(cose.assemble(header, cbor.encode(body), bytes(64)))


def envelope(header: list[tuple[Any, Any]], payload: bytes | None = None) -> bytes:
    body = cbor.encode({**COMMON, **BODIES[keys.REVOCATION]}) if payload is None else payload
    return cose.assemble(cbor.encode(cbor.Map(header)), body, bytes(64))


TYP = statement.typ(keys.REVOCATION)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (envelope([(1, -8), (4, bytes(8))]), "exactly 1, 4 and 16"),
        (envelope([(1, -8), (2, [1]), (4, bytes(8)), (16, TYP)]), "exactly 1, 4 and 16"),
        (envelope([(1, -8), (4, bytes(8)), (16, TYP), ("x", 1)]), "exactly 1, 4 and 16"),
        (envelope([(1, -7), (4, bytes(8)), (16, TYP)]), "algorithm"),
        (envelope([(1, -8), (4, bytes(7)), (16, TYP)]), "kid"),
        (envelope([(1, -8), (4, bytes(8)), (16, 112)]), "typ must be text"),
        (envelope([(1, -8), (4, bytes(8)), (16, "revocation")]), "unknown typ"),
        (envelope([(1, -8), (4, bytes(8)), (16, TYP.replace("revocation", "succession"))]), "unknown typ"),
        (envelope([(1, -8), (4, bytes(8)), (16, TYP + "+cbor")]), "unknown typ"),
        (envelope([(1, -8), (4, bytes(8)), (16, TYP)], b"\x80"), "must be a map"),
        (envelope([(1, -8), (4, bytes(8)), (16, TYP)], b"\xa0\xa0"), "after the end"),
        (envelope([(1, -8), (4, bytes(8)), (16, TYP)], b"\xbf\xff"), "indefinite"),
        (envelope([(1, -8), (4, bytes(8)), (16, TYP)])[1:], "tag 18"),
        (b"", "ends too early"),
        (bytes(16 * 1024 + 1), "at most 16384"),
    ],
)
def test_other_envelopes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(StatementError, match=message):
        statement.parse(data)


def test_minus_19_is_accepted() -> None:
    assert statement.parse(envelope([(1, -19), (4, bytes(8)), (16, TYP)])).kind == keys.REVOCATION


def test_data_is_bare_whatever_stands_unprotected() -> None:
    signer = signer_for(keys.REVOCATION)
    data = statement.build(signer, keys.REVOCATION, {**COMMON, **BODIES[keys.REVOCATION]})
    tagged = cbor.decode(data)
    tagged.value[1] = cbor.Map([(394, [b"a receipt"])])
    parsed = statement.parse(cbor.encode(tagged))
    assert (parsed.data, parsed.identity) == (data, statement.parse(data).identity)


def test_roles() -> None:
    parsed = statement.parse(envelope([(1, -8), (4, bytes(8)), (16, TYP)]))
    statement.check_role(parsed, "authority-node")
    with pytest.raises(StatementError, match="a node key may not sign a revocation"):
        statement.check_role(parsed, keys.NODE)
    node = keys.generate(keys.NODE, CHANCE.randbytes)
    with pytest.raises(KeyFormatError, match="a node key may not sign a revocation"):
        statement.build(node, keys.REVOCATION, {**COMMON, **BODIES[keys.REVOCATION]})


def test_size_limit() -> None:
    body = {**COMMON, **BODIES[keys.FACILITY], "rules": cbor.Map([("x", bytes(16 * 1024))])}
    with pytest.raises(StatementError, match="at most 16384"):
        statement.build(signer_for(keys.FACILITY), keys.FACILITY, body)


def test_readings_are_signed_as_readings_only() -> None:
    node = keys.generate(keys.NODE, CHANCE.randbytes)
    pack = senml.encode_pack(senml.base_name(32473, node.kid), [senml.Record("t", "Cel", senml.Decimal(-2, 451))])
    chain = reading.Chain(1, 1, 5, reading.genesis("ledger.example/log", node.public_key), None)
    data = statement.build_reading(node, chain, pack)
    parsed = reading.parse(data)
    assert keys.verify_signature(node.public_key, parsed.sign1.to_be_signed, parsed.sign1.signature)
    revocation = statement.parse(envelope([(1, -8), (4, bytes(8)), (16, TYP)]))
    for other in (revocation.to_be_signed, b"", b"text", parsed.sign1.to_be_signed + b"\0", cbor.encode([1, 2, 3, 4])):
        with pytest.raises(StatementError, match="signed bytes of a reading"):
            statement.UnsignedReading(other)
    aad = cose.sig_structure(parsed.sign1.protected, parsed.payload, b"other data")
    with pytest.raises(StatementError, match="signed bytes of a reading"):
        statement.UnsignedReading(aad)
