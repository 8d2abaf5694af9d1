"""The conformance port from outside: public test vectors."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from conform_support import COSE_KEY, ROOT, answer, answers

VECTORS = ROOT.parent / "shared" / "vectors"


def vectors(folder: str, pattern: str) -> list[Path]:
    if not VECTORS.is_dir():
        pytest.skip("the public test vectors are not here (../shared/vectors beside the repository)")
    found = sorted((VECTORS / folder).glob(pattern))
    assert found
    return found


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
