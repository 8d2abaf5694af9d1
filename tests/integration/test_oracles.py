"""What others say about the same bytes: pymerkle's trees, Wycheproof's signatures, transparency-dev's proofs."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest
from pymerkle import InmemoryTree  # type: ignore[import-untyped]

from tallystick_proof import keys, merkle, tiles
from tallystick_proof.errors import MerkleError

VECTORS = Path(__file__).resolve().parents[2].parent / "shared/vectors"
MISSING = f"no public vectors at {VECTORS.parent.name}/{VECTORS.name} beside the repository"


def cases(pattern: str) -> list[Path]:
    """The vector files, or a skip that says what is missing."""
    found = sorted(VECTORS.glob(pattern))
    if not found:
        pytest.skip(MISSING)
    return found


def trees(count: int) -> tuple[InmemoryTree, tiles.Tree, list[bytes]]:
    """The same leaves in pymerkle's tree and in tiles."""
    entries = [random.Random(index).randbytes(index % 50) for index in range(count)]
    hashes = [merkle.leaf_hash(entry) for entry in entries]
    store: dict[tuple[int, int], bytes] = {}

    def save(level: int, number: int, data: bytes) -> None:
        store[level, number] = data

    tiles.append(lambda level, number: store.get((level, number)), save, 0, hashes)
    tree = tiles.Tree(lambda level, number: store.get((level, number)), count)
    return InmemoryTree.init_from_entries(entries, algorithm="sha256"), tree, hashes


def test_trees_agree_with_pymerkle() -> None:
    other, tree, hashes = trees(1100)
    sizes = random.Random(7)
    for size in [1, 2, 255, 256, 257, 1024, 1100, *(sizes.randint(1, 1100) for _ in range(100))]:
        root = other.get_root(size)
        assert tree.root(size) == merkle.root(hashes[:size]) == root
        index = sizes.randrange(size)
        theirs, ours = other.prove_inclusion(index + 1, size), tree.inclusion_proof(index, size)
        assert theirs.path[1:] == ours
        theirs.verify(hashes[index], tree.root(size), index=index + 1, size=size)
        merkle.verify_inclusion(hashes[index], index, size, ours, root)
        older = sizes.randint(1, size)
        consistency = other.prove_consistency(older, size)
        consistency.verify(tree.root(older), tree.root(size), prior_size=older, later_size=size)
        merkle.verify_consistency(older, size, other.get_root(older), root, tree.consistency_proof(older, size))


def test_wycheproof_verdicts() -> None:
    """151 of 151: the written verify rule gives the published verdict on every case."""
    (path,) = cases("wycheproof/ed25519_test.json")
    wrong, count = [], 0
    for group in json.loads(path.read_text("utf-8"))["testGroups"]:
        public_key = bytes.fromhex(group["publicKey"]["pk"])
        items = [(public_key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])) for test in group["tests"]]
        for test, verdict in zip(group["tests"], keys.verify_many(items), strict=True):
            count += 1
            if verdict is not (test["result"] == "valid"):
                wrong.append((test["tcId"], test["comment"]))
    assert (count, wrong) == (151, [])


def unpacked(case: dict[str, Any], *names: str) -> list[bytes]:
    return [base64.b64decode(case[name] or "") for name in names]


def verdict(case: dict[str, Any]) -> bool:
    proof = [base64.b64decode(item) for item in case["proof"] or []]
    try:
        if "size1" in case:
            roots = unpacked(case, "root1", "root2")
            merkle.verify_consistency(case["size1"], case["size2"], roots[0], roots[1], proof)
        else:
            leaf, root = unpacked(case, "leafHash", "root")
            merkle.verify_inclusion(leaf, case["leafIdx"], case["treeSize"], proof, root)
    except MerkleError:
        return False
    return True


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_rfc_6962_vectors(kind: str) -> None:
    paths = cases(f"rfc6962/{kind}/**/*.json")
    wrong = []
    for path in paths:
        case = json.loads(path.read_text("utf-8"))
        if verdict(case) is case["wantErr"]:
            wrong.append(str(path.relative_to(VECTORS)))
    assert not wrong
    assert len(paths) >= 45
