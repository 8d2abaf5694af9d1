"""The conformance port from outside: public vectors, and the same answers on CPython and inside MicroPython."""

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from tallystick_proof.keys import Signer, generate
from tallystick_tools import conform_node
from tallystick_wire import cbor, cose, frame, reading, senml
from tallystick_wire.errors import CborError

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT.parent / "shared" / "vectors"
CASES_PER_SUITE = 3_000
Case = dict[str, Any]

# The key pair of the public COSE examples (cose-wg).
COSE_SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
COSE_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def run(suite: str, lines: list[bytes], *arguments: str, **environment: str) -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-m", "tallystick_tools.conform", suite, *arguments],
        input=b"".join(line + b"\n" for line in lines),
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr.decode()) == (0, "")
    answers = finished.stdout.decode("ascii").splitlines()
    assert len(answers) == len(lines)
    return answers


def answers(suite: str, cases: list[Case]) -> list[Case]:
    found = [json.loads(line) for line in run(suite, [json.dumps(case).encode() for case in cases])]
    assert [answer["id"] for answer in found] == [case.get("id") for case in cases]
    assert all(answer["ok"] == (answer["error"] is None) for answer in found)
    return found


def answer(suite: str, **case: Any) -> Case:
    return answers(suite, [case])[0]


def vectors(folder: str, pattern: str) -> list[Path]:
    if not VECTORS.is_dir():
        pytest.skip("the public test vectors are not here (../shared/vectors beside the repository)")
    found = sorted((VECTORS / folder).glob(pattern))
    assert found
    return found


# ---- public vectors


def test_wycheproof() -> None:
    (path,) = vectors("wycheproof", "ed25519_test.json")
    cases, expected = [], []
    for group in json.loads(path.read_text("utf-8"))["testGroups"]:
        for test in group["tests"]:
            cases.append({"id": test["tcId"], "pk": group["publicKey"]["pk"], "msg": test["msg"], "sig": test["sig"]})
            expected.append(test["result"] == "valid")
    assert len(cases) == 151
    assert [found["ok"] for found in answers("ed25519-verify", cases)] == expected


def test_cose_examples() -> None:
    """Ed25519 messages verify; every other algorithm and structure is refused as such, without a guess."""
    expected = {"eddsa-sig-01.json": None, "eddsa-sig-02.json": "BadSignature"}  # 02 is Ed448 under the same number
    for path in vectors("cose", "*/*.json"):
        example = json.loads(path.read_text("utf-8"))
        found = answer("cose-verify", id=path.name, cose=example["output"]["cbor"], pk=COSE_KEY)
        assert found["error"] == expected.get(path.name, "CoseError"), path.name
        if found["ok"]:
            assert bytes.fromhex(found["payload"]).decode() == example["input"]["plaintext"]


def test_rfc6962_proofs() -> None:
    names = {"leafIdx": "index", "treeSize": "size", "leafHash": "leaf_hash", "desc": "id"}
    for folder in ("inclusion", "consistency"):
        tests = [json.loads(path.read_text("utf-8")) for path in vectors("rfc6962", f"{folder}/**/*.json")]
        cases = [{names.get(name, name): from_base64(name, value) for name, value in test.items()} for test in tests]
        found = answers(f"merkle-{folder}", cases)
        assert [item["ok"] for item in found] == [not test["wantErr"] for test in tests]
        assert {item["error"] for item in found} == {None, "MerkleError"}


def from_base64(name: str, value: Any) -> Any:
    """A value of these files: hashes are base64 (null for none), everything else is as it is."""
    if name == "proof":
        return [base64.b64decode(step).hex() for step in value or []]
    return base64.b64decode(value or "").hex() if name in ("root", "root1", "root2", "leafHash") else value


# ---- the same answers on both runtimes


def random_bytes(source: random.Random, longest: int) -> bytes:
    return source.randbytes(source.choice([0, 1, source.randrange(longest), source.randrange(longest)]))


def random_text(source: random.Random) -> str:
    alphabets = ["abcXYZ 019", '"\\/\b\n\t\x00\x7f', "éßñ\u07ff\u0800水\uffff", "\U00010151\U0010ffff", "\ud800\udfff"]
    weights = [8, 2, 3, 2, 0.2]
    return "".join(
        source.choice(source.choices(alphabets, weights)[0]) for _ in range(source.randrange(source.choice([1, 8, 30])))
    )


def random_integer(source: random.Random) -> int:
    near = source.choice([0, 24, 256, 1 << 16, 1 << 32, 1 << 64]) + source.randrange(-2, 3)
    return source.choice([near, -1 - near, source.getrandbits(source.randrange(1, 66)), source.randrange(-30, 30)])


def random_float(source: random.Random) -> str:
    return source.choice(
        [
            repr(source.uniform(-1e6, 1e6)),
            repr(source.choice([1.5, -0.0, 65504.0, 65520.0, 5.960464477539063e-08, 2.98e-8, 3.4028234663852886e38])),
            f"{source.getrandbits(source.randrange(1, 200))}e{source.randrange(-420, 330)}",
            f"{source.getrandbits(60)}.{source.getrandbits(80)}E{source.randrange(-340, 320)}",
            f"{source.randrange(1 << 11)}e-{source.randrange(9)}",
            source.choice(["nan", "NaN", "-inf", "Infinity", "5e-324", "2.4703282292062328e-324", "1e400", "-1e-400"]),
            source.choice(["", "1e", ".", "0x1p3", "1_0", " 1", "--1", "one", "1e5.5", "+1", "1.", ".5"]),
        ]
    )


def random_json(source: random.Random, depth: int) -> Any:
    """A value for cbor-encode: mostly good, here and there what no wrapper allows."""
    kind = source.randrange(20 if depth else 13)
    if kind < 3:
        return random_integer(source)
    if kind < 5:
        return random_text(source)
    if kind < 7:
        return {"bytes": source.choice([random_bytes(source, 40).hex(), random_bytes(source, 9).hex().upper()])}
    if kind < 9:
        return {"float": random_float(source)}
    if kind < 12:
        return source.choice([None, True, False, {"simple": source.choice([source.randrange(-1, 260), True, "1"])}])
    if kind < 13:
        wrong: list[Any] = [1.5, {}, {"bytes": "0"}, {"bytes": " 0"}, {"map": {}}, {"map": [[1]]}, {"tag": 1}]
        return source.choice([*wrong, {"float": 1}])
    inner = [random_json(source, depth - 1) for _ in range(source.choice([0, 1, 2, 3, 30]))]
    if kind < 16:
        return inner
    if kind < 19:
        return {"map": [[random_json(source, 0), value] for value in inner]}
    tag = source.choice([random_integer(source), 2, 3, 4, True, None, "2"])
    return {"tag": tag, "value": source.choice([inner, {"bytes": random_bytes(source, 14).hex()}])}


def random_cbor(source: random.Random) -> bytes:
    """CBOR from cbor2 or from ours, often with a few bytes changed."""
    try:
        data = cbor.encode(conform_node._value(random_json(source, source.choice([0, 1, 2, 3])), 0))
    except (conform_node.CaseError, CborError):
        loose = {source.randrange(9): 1.5, "b": b"", -1: [1.1, None], random_integer(source): "é"}
        data = cbor2.dumps(loose, canonical=source.random() < 0.5)
    mutated = bytearray(data)
    for _ in range(source.choice([0, 0, 1, 1, 2])):
        position = source.randrange(len(mutated) + 1)
        change = source.randrange(4)
        if change == 0 and position < len(mutated):
            mutated[position] ^= 1 << source.randrange(8)
        elif change == 1:
            del mutated[position : position + 1 + source.randrange(3)]
        else:
            mutated[position:position] = source.randbytes(1 + source.randrange(3))
    return bytes(mutated)


def broken_hex(source: random.Random, text: str) -> Any:
    return source.choice([text[:-1], text + "g0", " " + text, text + "\n", "٣٣", None, 7, [text], {"hex": text}, True])


def decode_case(source: random.Random) -> Case:
    return {"hex": random_cbor(source).hex()}


def encode_case(source: random.Random) -> Case:
    value = random_json(source, source.choice([0, 1, 2, 3]))
    for _ in range(source.choice([0, 0, 0, 0, 7, 9, 40])):
        value = [value]
    return {"value": value}


def sign_case(source: random.Random) -> Case:
    seed = source.randbytes(source.choice([32, 32, 32, 32, 31, 33, 0]))
    return {"seed": seed.hex(), "msg": random_bytes(source, 300).hex()}


def cose_case(source: random.Random) -> Case:
    header = source.choice(
        [
            cbor.encode({1: -8, 4: source.randbytes(8)}),
            cbor.encode({1: -19, 16: random_text(source).encode("utf-8", "replace").decode()}),
            cbor.encode({1: source.choice([-7, "EdDSA", None, -8.0])}),
            b"",
            b"\xa0",
            random_cbor(source),
        ]
    )
    return {**sign_case(source), "protected": header.hex(), "payload": random_bytes(source, 300).hex()}


def frame_case(source: random.Random) -> Case:
    near_the_limit = b"\x07" * source.randrange(1190, 1210)
    payload = source.choice([random_bytes(source, 600), bytes(source.randrange(1300)), near_the_limit])
    if source.random() < 0.4 or len(payload) > frame.MAX_FRAME_PAYLOAD_BYTES:
        return {"payload": payload.hex()}
    more = source.choice([b"", b"\0", frame.encode(b"next"), bytes([1]) * 1300 + b"\0"])
    stream = bytearray(frame.encode(payload) + more)
    for _ in range(source.choice([0, 0, 1, 3])):
        stream[source.randrange(len(stream))] ^= 1 << source.randrange(8)
    return {"frame": bytes(stream).hex()}


MAKERS: dict[str, Callable[[random.Random], Case]] = {
    "cbor-decode": decode_case,
    "cbor-encode": encode_case,
    "ed25519-sign": sign_case,
    "cose-sign": cose_case,
    "frame": frame_case,
}
NO_JSON = [b"", b"{", b"\xff\xfe", b"{'id':1}", b'{"id":NaN}', b"[" * 5000, b'{"a":1e999}', b"{}{}"]
NO_CASES = [*NO_JSON, b"[]", b"7", b'"x"', b"null", b"{}", b'{"id":7}']


def lines_for(suite: str, count: int) -> list[bytes]:
    source = random.Random(f"tallystick {suite}")  # the same cases in every run
    lines = []
    for number in range(count):
        case = MAKERS[suite](source)
        if source.random() < 0.05:
            name = source.choice(sorted(case))
            case = {**case, name: broken_hex(source, str(case[name]))}
        if source.random() < 0.02:
            del case[source.choice(sorted(case))]
        identity = source.choice([number, str(number), random_text(source), None, [number], 1.5])
        line = json.dumps({"id": identity, **case}, ensure_ascii=source.random() < 0.7).encode("utf-8", "surrogatepass")
        lines.append(source.choice(NO_CASES) if source.random() < 0.01 else line)
    return lines


@pytest.mark.parametrize("suite", conform_node.SUITES)
def test_both_runtimes_answer_byte_for_byte_the_same(suite: str) -> None:
    lines = lines_for(suite, CASES_PER_SUITE)
    on_cpython = run(suite, lines)
    on_micropython = run(suite, lines, "--on", "micropython")
    differences = [found for found in zip(lines, on_cpython, on_micropython, strict=True) if found[1] != found[2]]
    assert not differences[:3]
    good = sum('"ok":true' in line for line in on_cpython)
    assert CASES_PER_SUITE // 5 < good < CASES_PER_SUITE, "both good and bad cases must be among them"


def test_floats_are_read_as_cpython_reads_them() -> None:
    source = random.Random("floats")
    for _ in range(3000):
        text = random_float(source)
        try:
            expected = float(text) if text.strip() == text and "_" not in text else None
        except ValueError:
            expected = None
        try:
            found = conform_node.parse_float(text)
        except conform_node.CaseError:
            found = None
        assert repr(found) == repr(expected), text


# ---- single suites


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


# ---- when it cannot run


def refusal(*arguments: str, **environment: str) -> str:
    finished = subprocess.run(
        [str(ROOT / "tools" / "conform"), *arguments],
        input=b'{"id":1,"hex":"00"}\n',
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (2, b"")
    return finished.stderr.decode()


def test_without_micropython_it_says_so_and_never_falls_back(tmp_path: Path) -> None:
    missing = refusal("cbor-decode", "--on", "micropython", TALLYSTICK_MICROPYTHON=str(tmp_path / "none"))
    assert "no MicroPython found" in missing
    # An interpreter that is none: it starts, answers nothing, and nothing is answered in its place.
    fake = tmp_path / "micropython"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    assert "does not run the suite" in refusal("frame", "--on", "micropython", TALLYSTICK_MICROPYTHON=str(fake))


def test_an_unknown_suite_lists_the_known() -> None:
    assert "merkle-root" in refusal("no-such-suite")
    listed = refusal("merkle-root", "--on", "micropython")
    assert "cose-sign" in listed
    assert "note-verify" not in listed


def test_the_script_runs_a_suite() -> None:
    finished = subprocess.run(
        [str(ROOT / "tools" / "conform"), "cbor-decode"], input=b'{"id":1,"hex":"00"}', capture_output=True, check=True
    )
    assert finished.stdout == b'{"error":null,"hex":"00","id":1,"ok":true}\n'
