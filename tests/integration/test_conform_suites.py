"""The conformance port from outside: what each suite answers."""

import hashlib
import json
from typing import Any

import cbor2
from conform_support import COSE_KEY, COSE_SEED, NO_CASES, Case, answer, run

from tallystick_proof.keys import Signer, generate
from tallystick_wire import cbor, cose, reading, senml


def test_a_line_that_is_no_case_gets_an_answer() -> None:
    for suite in ("merkle-root", "frame"):
        found = [json.loads(line) for line in run(suite, NO_CASES)]
        assert [item["error"] for item in found] == ["CaseError"] * len(NO_CASES)
        assert found[NO_CASES.index(b'{"id":7}')]["id"] == 7


def test_an_id_is_written_back_or_refused() -> None:
    lines = [b'{"id":%s,"hex":"00"}' % (b"[" * depth + b"]" * depth) for depth in (30, 500, 5000)]
    found = [json.loads(line) for line in run("cbor-decode", lines)]
    assert [item["error"] for item in found] == [None, "CaseError", "CaseError"]


def test_a_line_that_is_too_long_gets_one_answer() -> None:
    long = b'{"id":1,"hex":"' + b"00" * (5 * 1024 * 1024) + b'"}'
    found = [json.loads(line) for line in run("cbor-decode", [long, b'{"id":2,"hex":"00"}'])]
    assert [(item["id"], item["error"]) for item in found] == [(None, "CaseError"), (2, None)]


def test_a_large_case_fits_a_node() -> None:
    data = cbor.encode([0] * 200_000)
    line = json.dumps({"id": 1, "hex": data.hex()}).encode()
    assert run("cbor-decode", [line], "--on", "micropython") == run("cbor-decode", [line])


def test_cose_of_others() -> None:
    """What RFC 9052 allows and we never write: no tag, an empty protected header, external data, any CBOR."""
    signer = Signer("node", bytes.fromhex(COSE_SEED))

    def message(protected: bytes, unprotected: object, aad: bytes = b"", tag: int | None = 18, **other: object) -> str:
        signed = b"" if protected == b"\xa0" else protected
        signature = signer.sign(Unsigned(cbor2.dumps(["Signature1", signed, aad, b"content"])))
        parts = [protected, unprotected, other.get("payload", b"content"), other.get("signature", signature)]
        return cbor2.dumps(parts if tag is None else cbor2.CBORTag(tag, parts)).hex()

    header = cbor2.dumps({1: -8})
    good = {
        "tagged": message(header, {}),
        "no tag": message(header, {4: b"11"}, tag=None),
        "new number": message(cbor2.dumps({1: -19}), {}),
        "empty map": message(b"\xa0", {1: -8}),
        "empty string": message(b"", {1: -8}),
        "loose header": message(bytes.fromhex("bf013807ff"), {}),
    }
    for name, data in good.items():
        assert answer("cose-verify", id=name, cose=data, pk=COSE_KEY)["payload"] == b"content".hex(), name
    with_aad = message(header, {}, aad=b"\x11\x22")
    assert answer("cose-verify", id=1, cose=with_aad, pk=COSE_KEY, external_aad="1122")["ok"]
    assert answer("cose-verify", id=1, cose=with_aad, pk=COSE_KEY)["error"] == "BadSignature"
    bad = {
        "wrong tag": message(header, {}, tag=98),
        "other algorithm": message(cbor2.dumps({1: -7}), {}),
        "no algorithm": message(cbor2.dumps({4: b"1"}), {}),
        "critical": message(cbor2.dumps({1: -8, 2: [99], 99: 1}), {}),
        "a label twice": message(header, {1: -8}),
        "detached": message(header, {}, payload=None),
        "trailing": message(header, {}) + "00",
        "truncated": message(header, {})[:-2],
    }
    for name, data in bad.items():
        assert answer("cose-verify", id=name, cose=data, pk=COSE_KEY)["error"] == "CoseError", name
    for signature in (b"", bytes(63), bytes(64), bytes(65)):
        data = message(header, {}, signature=signature)
        assert answer("cose-verify", id=1, cose=data, pk=COSE_KEY)["error"] == "BadSignature"


class Unsigned:
    """Any bytes, as a node's signer takes them."""

    kind = "reading"

    def __init__(self, to_be_signed: bytes) -> None:
        self.to_be_signed = to_be_signed


def test_cose_agrees_with_scitt_cose() -> None:
    """An independent implementation verifies ours, and ours verifies its messages."""
    import scitt_cose  # type: ignore[import-untyped]
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(COSE_SEED))
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for payload in (b"", b"payload", bytes(1000)):
        for header in ({1: -8}, {1: -8, 4: bytes(8)}, {1: -8, 4: bytes(8), 16: "application/x"}):
            case = {"id": 1, "seed": COSE_SEED, "protected": cbor.encode(header).hex(), "payload": payload.hex()}
            line = json.dumps(case).encode()
            for runtime in ("cpython", "micropython"):
                ours = bytes.fromhex(json.loads(run("cose-sign", [line], "--on", runtime)[0])["cose"])
                theirs = scitt_cose.verify_sign1(ours, public_key_pem=public_pem)
                assert (theirs.protected, theirs.payload) == (header, payload)
            signed = scitt_cose.sign_sign1(payload, alg="EdDSA", private_key_pem=private_pem, protected=header)
            assert cose.split(ours).payload == cose.split(signed).payload
            assert ours == signed  # Ed25519 is deterministic, and their header is in our order
            assert answer("cose-verify", id=1, cose=signed.hex(), pk=COSE_KEY)["payload"] == payload.hex()


def test_reading_open() -> None:
    signer = generate("node", lambda size: bytes(range(size)))
    records = [
        senml.Record("t", "Cel", senml.Decimal(-2, -1850)),
        senml.Record("h", "%RH", 61),
        senml.Record("d", None, False),
        senml.Record("rc", None, "watchdog"),
        senml.Record("lp", None, 41),
        senml.Record("rb", None, 256),
        senml.Record("fw", None, bytes(8)),
        senml.Record("cf", None, bytes(8)),
    ]
    name = senml.base_name(32473, signer.kid)
    payload = senml.encode_pack(name, records)
    chain = reading.Chain(7, 42, 1 << 40, bytes(16), None)
    data = reading.build(signer.kid, chain, payload, lambda message: signer.sign(Unsigned(message)))
    found = answer("reading-open", id=1, reading=data.hex(), pk=signer.public_key.hex())
    assert (found["kid"], found["boot"], found["seq"]) == (signer.kid.hex(), 7, 42)
    assert found["records"][:4] == [
        {"n": name + "t", "u": "Cel", "v": -18.5},
        {"n": name + "h", "u": "%RH", "v": 61},
        {"n": name + "d", "vb": False},
        {"n": name + "rc", "vs": "watchdog"},
    ]
    assert found["records"][6] == {"n": name + "fw", "vd": "00" * 8}
    line = json.dumps({"id": 1, "reading": data.hex(), "pk": signer.public_key.hex()}).encode()
    assert '"v":-18.50}' in run("reading-open", [line])[0], "a decimal is written digit by digit"

    def error(data: bytes, public_key: bytes) -> Any:
        return answer("reading-open", id=1, reading=data.hex(), pk=public_key.hex())["error"]

    other = generate("node", lambda size: bytes(size))
    assert error(data, other.public_key) == "BadSignature"
    assert error(data[:-1] + bytes([data[-1] ^ 1]), signer.public_key) == "BadSignature"
    assert error(data[:-1], signer.public_key) == "CborError"
    assert error(data, bytes(32)) == "KeyFormatError"
    assert error(cose.assemble(cbor.encode({1: -8}), payload, bytes(64)), signer.public_key) == "ReadingError"


def test_senml_decode() -> None:
    pack = cbor2.dumps([{0: "x", -3: 1_276_020_076, -2: "urn:dev:ow:1:", 2: 2.5, 8: b"\x01"}][:1])
    assert answer("senml-decode", id=1, hex=pack.hex())["error"] == "SenmlError"  # two values
    pack = cbor2.dumps([{0: "x", -3: 1_276_020_076, -2: "urn:dev:ow:1:", 2: 2.5}, {0: "y", 8: b"\x01", 6: -1}])
    assert answer("senml-decode", id=1, hex=pack.hex())["records"] == [
        {"n": "urn:dev:ow:1:y", "t": 1_276_020_075, "vd": "01"},
        {"n": "urn:dev:ow:1:x", "t": 1_276_020_076, "v": 2.5},
    ]


def test_merkle_root() -> None:
    leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in (b"", b"\0", b"\x10")]
    pair = hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()
    root = hashlib.sha256(b"\1" + pair + leaves[2]).hexdigest()
    assert answer("merkle-root", id=1, entries=["", "00", "10"])["root"] == root
    assert answer("merkle-root", id=1, entries=[])["root"] == hashlib.sha256().hexdigest()
    for entries in (None, "00", ["0"], [1]):
        assert answer("merkle-root", id=1, entries=entries)["error"] == "CaseError"


def test_merkle_refuses_what_has_no_meaning() -> None:
    leaf = hashlib.sha256(b"\0").hexdigest()
    good = {"leaf_hash": leaf, "index": 0, "size": 1, "proof": [], "root": leaf}
    assert answer("merkle-inclusion", id=1, **good)["ok"]
    wrong: list[Case] = [{"index": 1}, {"size": 0}, {"leaf_hash": leaf[2:]}, {"root": ""}, {"proof": [leaf]}]
    for change in [*wrong, {"proof": ["00"]}]:
        assert answer("merkle-inclusion", id=1, **{**good, **change})["error"] == "MerkleError", change
    no_numbers: list[Case] = [{"index": -1}, {"index": True}, {"size": 1 << 64}, {"size": "1"}]
    for change in no_numbers:
        assert answer("merkle-inclusion", id=1, **{**good, **change})["error"] == "CaseError", change


# The example of the signed-note specification's reference implementation (golang.org/x/mod/sumdb/note).
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)


def test_note_verify() -> None:
    for given in (NOTE, NOTE.encode().hex()):
        assert answer("note-verify", id=1, note=given, vkeys=[PETER])["names"] == ["PeterNeumann"]
    other = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
    assert answer("note-verify", id=1, note=NOTE, vkeys=[other, PETER])["names"] == ["PeterNeumann"]
    both = NOTE.replace("\n\n", f"\n\n{ENOCH_LINE}")
    assert answer("note-verify", id=1, note=both, vkeys=[PETER, other, PETER])["names"] == ["EnochRoot", "PeterNeumann"]
    assert answer("note-verify", id=1, note=NOTE, vkeys=[other])["error"] == "BadSignature"
    assert answer("note-verify", id=1, note=NOTE.replace("If", "As"), vkeys=[PETER])["error"] == "BadSignature"
    assert answer("note-verify", id=1, note=NOTE[:-1], vkeys=[PETER])["error"] == "NoteError"
    assert answer("note-verify", id=1, note=NOTE.replace("nAM=", "nAN="), vkeys=[PETER])["error"] == "NoteError"
    assert answer("note-verify", id=1, note=NOTE, vkeys=["nonsense"])["error"] == "NoteError"
    assert answer("note-verify", id=1, note=NOTE, vkeys=PETER)["error"] == "CaseError"
