"""enrolment.py: keys in ledger order. Attacks 6, 7, 8, 21 of the threat list."""

import random
from dataclasses import replace
from typing import Any

import pytest

from tallystick_proof import enrolment, keys, statement
from tallystick_proof.enrolment import Directory
from tallystick_proof.errors import EnrolmentError
from tallystick_proof.keys import Signer
from tallystick_proof.note import TYPE_COSIGNATURE, TYPE_ED25519, VerifierKey
from tallystick_proof.policy import Policy
from tallystick_proof.statement import Statement
from tallystick_proof.trust import Authority, Trust
from tallystick_wire import cbor

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids

ORIGIN = "ledger.example/log"
LEDGER, WITNESS = keys.generate(keys.LEDGER, CHANCE.randbytes), keys.generate(keys.WITNESS, CHANCE.randbytes)
AUTHORITIES = {kind: keys.generate(keys.AUTHORITY_PREFIX + kind, CHANCE.randbytes) for kind in keys.ENROLLED_KINDS}
POLICY = Policy.parse(
    f"log {VerifierKey(ORIGIN, TYPE_ED25519, LEDGER.public_key).vkey}\n"
    f"witness w {VerifierKey('w.example', TYPE_COSIGNATURE, WITNESS.public_key).vkey}\nquorum w\n"
)
TRUST = Trust(
    ORIGIN, 32473, tuple(Authority(kind, (signer.public_key,)) for kind, signer in AUTHORITIES.items()), POLICY, 3600
)
INSTRUMENT = cbor.Map(
    [
        ("model", "m"),
        ("serial", "s"),
        ("calibration", None),
        ("due_ms", None),
        ("firmware", None),
        ("channels", cbor.Map([("t", ["temperature", "Cel"])])),
    ]
)


def common(origin: str = ORIGIN) -> dict[str, Any]:
    return {"aud": origin, "jti": CHANCE.randbytes(16), "exp": None}


def request(signer: Signer, origin: str = ORIGIN, **change: Any) -> bytes:
    body = {**common(origin), "key": signer.public_key, "kind": signer.role, "nonce": bytes(16), **change}
    if signer.role == keys.GATEWAY:
        body.setdefault("token_hash", bytes(32))
    return statement.build(signer, keys.ENROL_REQUEST, body)


def enrol(key: Signer, authority: Signer | None = None, origin: str = ORIGIN, **change: Any) -> Statement:
    body = {
        **common(origin),
        "request": request(key, origin),
        "kind": key.role,
        "key": key.public_key,
        "not_before": None,
        "not_after": None,
        "commitment": None,
        "instrument": INSTRUMENT if key.role == keys.NODE else None,
        "token_hash": bytes(32) if key.role == keys.GATEWAY else None,
        **change,
    }
    return statement.parse(statement.build(authority or AUTHORITIES[key.role], keys.ENROLMENT, body))


def revoke(key: Signer, reason: str = "retired", authority: Signer | None = None, origin: str = ORIGIN) -> Statement:
    body = {**common(origin), "thumbprint": key.thumbprint, "reason": reason}
    return statement.parse(statement.build(authority or AUTHORITIES[key.role], keys.REVOCATION, body))


def associate(installer: Signer, origin: str = ORIGIN) -> Statement:
    body = {**common(origin), "place": "p", "lot": "l", "nodes": [bytes(32)], "since_ms": 0}
    return statement.parse(statement.build(installer, keys.ASSOCIATION, body))


def new(role: str) -> Signer:
    return keys.generate(role, CHANCE.randbytes)


@pytest.mark.parametrize("kind", keys.ENROLLED_KINDS)
def test_each_kind_is_enrolled_by_its_authority_and_by_no_other(kind: str) -> None:
    key, directory = new(kind), Directory(TRUST)
    for other, authority in AUTHORITIES.items():
        if other != kind:
            with pytest.raises(EnrolmentError, match=f"no authority for {kind} keys"):
                directory.add(enrol(key, authority), 3)
    added = directory.add(enrol(key), 3)
    assert directory.key(key.thumbprint) == directory.by_kid(key.kid) == added
    assert (added.kind, added.public_key, added.enrolled_index, added.revoked_index) == (kind, key.public_key, 3, None)
    assert directory.by_kid(bytes(8)) is None
    assert directory.key(bytes(32)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "installer"}, "asks for another key or kind"),
        ({"instrument": INSTRUMENT}, "only a node"),
        ({"token_hash": bytes(32)}, "only a gateway"),
        ({"not_before": 5, "not_after": 4}, "not_before"),
        ({"request": b"\xd2"}, "enrolment request"),
        ({"aud": "other.example"}, "made for 'other.example'"),
    ],
)
def test_wrong_enrolments(change: dict[str, Any], message: str) -> None:
    key = new(keys.ORGANISATION)
    authority = AUTHORITIES[change.get("kind", keys.ORGANISATION)]
    with pytest.raises(EnrolmentError, match=message):
        enrolment.check_enrolment(enrol(key, authority, **change), TRUST)


def test_the_new_key_itself_must_ask() -> None:
    """A stolen authority cannot enrol a key that did not ask, nor for another ledger, key, kind or token."""
    key, other = new(keys.ORGANISATION), new(keys.ORGANISATION)
    gateway = new(keys.GATEWAY)
    cases = [
        (enrol(key, request=request(other)), "names another key"),
        (enrol(key, request=request(key, "other.example")), "made for 'other.example'"),
        (enrol(key, request=request(key, key=other.public_key)), "another key or kind"),
        (enrol(key, request=request(key, kind="installer")), "another key or kind"),
        (enrol(key, request=request(key)[:-1] + b"\0"), "does not hold"),
        (enrol(key, request=revoke(key).data), "the request is a revocation"),
        (enrol(gateway, request=request(gateway, token_hash=bytes([1]) * 32)), "token_hash"),
        (enrol(new(keys.NODE), instrument=None), "a node has an instrument"),
    ]
    for signed, message in cases:
        with pytest.raises(EnrolmentError, match=message):
            enrolment.check_enrolment(signed, TRUST)


def test_a_request_with_an_unprotected_header_is_refused() -> None:
    key = new(keys.ORGANISATION)
    tagged = cbor.decode(request(key))
    tagged.value[1] = cbor.Map([(394, b"x")])
    with pytest.raises(EnrolmentError, match="unprotected"):
        enrolment.check_enrolment(enrol(key, request=cbor.encode(tagged)), TRUST)


def test_one_key_one_ledger() -> None:
    """An enrolment of another ledger does not count here, whoever signed it."""
    key = new(keys.NODE)
    with pytest.raises(EnrolmentError, match="made for"):
        Directory(TRUST).add(enrol(key, origin="other.example"), 1)


@pytest.mark.parametrize("fixed", [LEDGER, WITNESS, AUTHORITIES[keys.NODE]])
def test_one_key_one_role(fixed: Signer) -> None:
    """A key of trust.toml cannot become an enrolled key too; neither can an enrolled key change its kind."""
    twin = object.__new__(Signer)  # the same key in another role, as a thief would use it
    for name in ("_secret", "kid", "public_key", "thumbprint"):
        setattr(twin, name, getattr(fixed, name))
    twin.role = keys.ORGANISATION
    with pytest.raises(EnrolmentError, match="one key has one role"):
        enrolment.check_enrolment(enrol(twin), TRUST)


def test_the_same_enrolment_again_changes_nothing_another_is_refused() -> None:
    key, directory = new(keys.NODE), Directory(TRUST)
    first = enrol(key)
    added = directory.add(first, 3)
    assert directory.add(first, 9) == added == directory.key(key.thumbprint)
    with pytest.raises(EnrolmentError, match="already enrolled by another statement"):
        directory.add(enrol(key, instrument=INSTRUMENT), 10)
    directory.add(revoke(key), 11)
    directory.add(first, 12)
    after = directory.key(key.thumbprint)
    assert after is not None
    assert (after.enrolled_index, after.revoked_index) == (3, 11), "an old enrolment does not bring a key back"


def test_indexes_must_rise() -> None:
    directory = Directory(TRUST)
    directory.add(enrol(new(keys.NODE)), 5)
    for index in (5, 4):
        with pytest.raises(EnrolmentError, match="does not follow 5"):
            directory.add(enrol(new(keys.NODE)), index)


def test_kid_clash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thumbprints with the same 8 first bytes: 2^32 work for an attacker, so the hash is bent here instead."""
    first, second = new(keys.NODE), new(keys.NODE)
    enrolled, late = enrol(first), enrol(second)
    directory = Directory(TRUST)
    directory.add(enrolled, 1)
    bent = replace(enrolment.check_enrolment(late, TRUST), thumbprint=first.kid + second.thumbprint[8:])
    monkeypatch.setattr(enrolment, "check_enrolment", lambda *_: bent)
    with pytest.raises(EnrolmentError, match="already stands for another key"):
        directory.add(late, 2)
    by_kid = directory.by_kid(first.kid)
    assert by_kid is not None
    assert by_kid.thumbprint == first.thumbprint


def test_revocation_is_ordered_by_index() -> None:
    installer, directory = new(keys.INSTALLER), Directory(TRUST)
    directory.add(enrol(installer), 10)
    signed = associate(installer)
    directory.add(revoke(installer), 20)
    assert directory.signer(signed, 11).thumbprint == installer.thumbprint
    assert directory.signer(signed, 19).revoked_index == 20
    for index in (9, 10, 20, 21):
        with pytest.raises(EnrolmentError, match=f"not valid at index {index}"):
            directory.signer(signed, index)


def test_compromised_replaces_retired_and_nothing_replaces_compromised() -> None:
    key, directory = new(keys.NODE), Directory(TRUST)
    directory.add(enrol(key), 1)
    steps = [("retired", "retired"), ("compromised", "compromised"), ("retired", "compromised")]
    for index, (reason, expected) in enumerate(steps, 2):
        directory.add(revoke(key, reason), index)
        state = directory.key(key.thumbprint)
        assert state is not None
        assert (state.revoked_index, state.revoked_reason) == (2, expected)


def test_wrong_revocations() -> None:
    key, directory = new(keys.NODE), Directory(TRUST)
    with pytest.raises(EnrolmentError, match="not enrolled"):
        directory.add(revoke(key), 1)
    directory.add(enrol(key), 1)
    with pytest.raises(EnrolmentError, match="no authority for node keys"):
        directory.add(revoke(key, authority=AUTHORITIES[keys.GATEWAY]), 2)
    with pytest.raises(EnrolmentError, match="no authority for node keys"):
        directory.add(revoke(key, authority=new("authority-node")), 2)
    with pytest.raises(EnrolmentError, match="made for"):
        directory.add(revoke(key, origin="other.example"), 2)
    assert directory.last_index == 1
    state = directory.key(key.thumbprint)
    assert state is not None
    assert state.revoked_index is None


def test_signer_of_a_statement() -> None:
    installer, node, directory = new(keys.INSTALLER), new(keys.NODE), Directory(TRUST)
    with pytest.raises(EnrolmentError, match="unknown key"):
        directory.signer(associate(installer), 5)
    directory.add(enrol(installer), 1)
    directory.add(enrol(node), 2)
    assert directory.signer(associate(installer), 5).kind == keys.INSTALLER
    with pytest.raises(EnrolmentError, match="made for"):
        directory.signer(associate(installer, "other.example"), 5)
    forged = replace(associate(installer), kid=node.kid)
    with pytest.raises(EnrolmentError, match="a node key may not sign a association"):
        directory.signer(forged, 5)
    with pytest.raises(EnrolmentError, match="does not hold"):
        directory.signer(replace(associate(installer), signature=bytes(64)), 5)


def test_authority_dates_need_and_bound_the_logged_time() -> None:
    dated = tuple(replace(authority, not_before_ms=100, not_after_ms=200) for authority in TRUST.authorities)
    directory = Directory(replace(TRUST, authorities=dated))
    signed = enrol(new(keys.NODE))
    for logged_ms, message in ((None, "is not known"), (99, "outside the dates"), (201, "outside the dates")):
        with pytest.raises(EnrolmentError, match=message):
            directory.add(signed, 1, logged_ms)
    assert directory.add(signed, 1, 200).enrolled_index == 1


def test_check_changes_nothing() -> None:
    key, directory = new(keys.NODE), Directory(TRUST)
    assert directory.check(enrol(key)).enrolled_index == enrolment.NOT_LOGGED
    assert directory.keys() == []
    assert not directory.check(enrol(key)).active_at(10**9)
    with pytest.raises(EnrolmentError, match="no enrolment"):
        directory.check(associate(new(keys.INSTALLER)))
