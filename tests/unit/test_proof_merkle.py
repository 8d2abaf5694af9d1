"""merkle.py and tiles.py: every proof at every size, against the plain recursive definition."""

import hashlib
import random
import time

import pytest

from tallystick_proof import merkle, tiles
from tallystick_proof.errors import MerkleError

LEAVES = [merkle.leaf_hash(index.to_bytes(2, "big")) for index in range(700)]


def definition(hashes: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, word by word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + definition(hashes[:split]) + definition(hashes[split:])).digest()


def stored(count: int, steps: int = 97) -> tuple[tiles.Tree, dict[tuple[int, int], bytes]]:
    """A tree of `count` leaves, appended in uneven steps."""
    store: dict[tuple[int, int], bytes] = {}

    def save(level: int, number: int, data: bytes) -> None:
        store[level, number] = data

    size = 0
    while size < count:
        end = min(count, size + steps)
        size = tiles.append(lambda level, number: store.get((level, number)), save, size, LEAVES[size:end])
    return tiles.Tree(lambda level, number: store.get((level, number)), count), store


def test_roots_agree_three_ways_at_every_size() -> None:
    tree, _ = stored(700)
    frontier = merkle.Frontier()
    for size in range(701):
        expected = definition(LEAVES[:size])
        assert merkle.root(LEAVES[:size]) == frontier.root() == tree.root(size) == expected
        assert merkle.Frontier.from_bytes(frontier.to_bytes()).root() == expected
        if size < 700:
            frontier.append(LEAVES[size])


@pytest.mark.parametrize("size", [*range(1, 20), 255, 256, 257, 511, 512, 513, 700])
def test_every_inclusion_proof(size: int) -> None:
    tree, _ = stored(700)
    root = tree.root(size)
    for index in range(size):
        proof = tree.inclusion_proof(index, size)
        merkle.verify_inclusion(LEAVES[index], index, size, proof, root)
        assert tree.leaf_hash(index) == LEAVES[index]
        with pytest.raises(MerkleError):
            merkle.verify_inclusion(LEAVES[index], index, size, [*proof, bytes(32)], root)
        if proof:
            with pytest.raises(MerkleError):
                merkle.verify_inclusion(LEAVES[index], index, size, proof[:-1], root)
            # In a full tree the mirrored index could only hold with mirrored hashes.
            with pytest.raises(MerkleError):
                merkle.verify_inclusion(LEAVES[index], index ^ 1, size, proof, root)


def test_every_consistency_proof_up_to_40() -> None:
    tree, _ = stored(40)
    for size2 in range(1, 41):
        for size1 in range(1, size2 + 1):
            proof, roots = tree.consistency_proof(size1, size2), (tree.root(size1), tree.root(size2))
            merkle.verify_consistency(size1, size2, *roots, proof)
            with pytest.raises(MerkleError):
                merkle.verify_consistency(size1, size2, *roots, [*proof, bytes(32)])
            with pytest.raises(MerkleError):
                merkle.verify_consistency(size1, size2, roots[0], bytes(32), proof)
            if proof:
                with pytest.raises(MerkleError):
                    merkle.verify_consistency(size1, size2, *roots, proof[1:])


def test_every_range_proof_up_to_20() -> None:
    tree, _ = stored(20)
    for size in range(1, 21):
        for start in range(size):
            for end in range(start + 1, size + 1):
                proof = tree.range_proof(start, end, size)
                assert merkle.range_root(start, LEAVES[start:end], size, proof) == tree.root(size)
                with pytest.raises(MerkleError, match="too long"):
                    merkle.range_root(start, LEAVES[start:end], size, [*proof, bytes(32)])
                if proof:
                    with pytest.raises(MerkleError, match="too short"):
                        merkle.range_root(start, LEAVES[start:end], size, proof[:-1])


def test_range_proof_order_is_left_to_right() -> None:
    """Leaves 3 and 4 of 7: what stands outside are [0,2), [2], then [5], [6], in that order."""
    assert merkle.range_siblings(3, 5, 7) == [(0, 2), (2, 3), (5, 6), (6, 7)]
    tree, _ = stored(7)
    assert tree.range_proof(3, 5, 7) == [definition(LEAVES[:2]), LEAVES[2], LEAVES[5], LEAVES[6]]


@pytest.mark.parametrize(
    ("index", "size", "proof"), [(0, 0, 0), (1, 1, 0), (-1, 1, 0), (0, 2**63, 63), (5, 5, 3)]
)
def test_impossible_inclusions(index: int, size: int, proof: int) -> None:
    with pytest.raises(MerkleError):
        merkle.verify_inclusion(bytes(32), index, size, [bytes(32)] * proof, bytes(32))


@pytest.mark.parametrize("size", [0, 1, 5])
def test_trees_of_one_size_are_consistent_when_they_are_equal(size: int) -> None:
    """As the public vectors have it: nothing is hashed, so nothing else is looked at."""
    merkle.verify_consistency(size, size, b"root", b"root", [])
    for root, proof in ((b"ROOT", []), (b"root", [bytes(32)])):
        with pytest.raises(MerkleError, match="equal sizes"):
            merkle.verify_consistency(size, size, b"root", root, proof)


@pytest.mark.parametrize("sizes", [(0, 3), (4, 3), (-1, 3), (-1, -1), (1, 2**63), (2**63, 2**63)])
def test_impossible_consistencies(sizes: tuple[int, int]) -> None:
    with pytest.raises(MerkleError):
        merkle.verify_consistency(*sizes, bytes(32), bytes(32), [])


def test_hashes_of_another_size_are_refused() -> None:
    good = bytes(32)
    for leaf, sibling, root in [(b"", good, good), (good, bytes(31), good), (good, good, b"")]:
        with pytest.raises(MerkleError, match="32 bytes"):
            merkle.verify_inclusion(leaf, 0, 2, [sibling], root)
    with pytest.raises(MerkleError, match="32 bytes"):
        merkle.Frontier().append(b"short")
    with pytest.raises(MerkleError, match="32 bytes"):
        merkle.range_root(0, [b"short"], 1, [])


@pytest.mark.parametrize(
    "data", [b"", bytes(7), bytes(8) + bytes(32), (1).to_bytes(8, "big"), b"\xff" * 8 + bytes(32 * 64), bytes(9)]
)
def test_other_frontiers_are_refused(data: bytes) -> None:
    with pytest.raises(MerkleError):
        merkle.Frontier.from_bytes(data)


def test_copy_grows_alone() -> None:
    frontier = merkle.Frontier()
    frontier.append(LEAVES[0])
    other = frontier.copy()
    other.append(LEAVES[1])
    assert (frontier.size, other.size) == (1, 2)
    assert frontier.root() == LEAVES[0]


def test_tiles_of_the_c2sp_example() -> None:
    """A tree of 256 is a full level-0 tile and a partial level-1 tile of width 1; 700 leaves have two full tiles."""
    _, store = stored(256)
    assert {name: len(data) // 32 for name, data in store.items()} == {(0, 0): 256, (1, 0): 1}
    _, store = stored(700)
    assert {name: len(data) // 32 for name, data in store.items()} == {(0, 0): 256, (0, 1): 256, (0, 2): 188, (1, 0): 2}


@pytest.mark.parametrize("steps", [1, 2, 255, 256, 257, 700])
def test_append_in_any_steps_gives_the_same_tiles(steps: int) -> None:
    assert stored(700, steps)[1] == stored(700)[1]


def test_a_smaller_size_reads_from_wider_tiles_and_append_overwrites_what_was_not_counted() -> None:
    tree, store = stored(700)
    assert tiles.Tree(tree.load, 300).root() == definition(LEAVES[:300])

    def save(level: int, number: int, data: bytes) -> None:
        store[level, number] = data

    other = [merkle.leaf_hash(b"other")] * 30
    assert tiles.append(tree.load, save, 300, other) == 330
    assert tiles.Tree(tree.load, 330).root() == definition(LEAVES[:300] + other)


def test_missing_tiles_are_named() -> None:
    with pytest.raises(MerkleError, match="tile 0/0 does not hold"):
        tiles.Tree(lambda level, number: None, 5).root()
    with pytest.raises(MerkleError, match="tile 0/0 does not hold 2 hashes"):
        tiles.append(lambda level, number: bytes(32), lambda *_: None, 2, [bytes(32)])
    tree, _ = stored(5)
    for call in (lambda: tree.root(6), lambda: tree.inclusion_proof(5, 5), lambda: tree.consistency_proof(0, 5)):
        with pytest.raises(MerkleError):
            call()


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        ((0, 0, 256), "tile/0/000"),
        ((0, 1234067, 256), "tile/0/x001/x234/067"),
        ((1, 67, 17), "tile/1/067.p/17"),
        ((2, 1000, 255), "tile/2/x001/000.p/255"),
    ],
)
def test_tile_paths(tile: tuple[int, int, int], path: str) -> None:
    assert tiles.tile_path(*tile) == path
    assert tiles.parse_tile_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/00/000",
        "tile/8/000",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/x000/001",
        "tile/0/001/002",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/entries/000",
        "tile/0/../000",
    ],
)
def test_other_tile_paths_are_refused(path: str) -> None:
    with pytest.raises(MerkleError):
        tiles.parse_tile_path(path)


def test_a_proof_at_a_large_size_needs_few_tiles_and_little_time() -> None:
    """About 20 hashes from at most 3 tiles of one million leaves."""
    store: dict[tuple[int, int], bytes] = {}

    def save(level: int, number: int, data: bytes) -> None:
        store[level, number] = data

    leaf = merkle.leaf_hash(b"")
    tiles.append(lambda level, number: store.get((level, number)), save, 0, [leaf] * 100_000)
    loads: list[tuple[int, int]] = []

    def load(level: int, number: int) -> bytes | None:
        loads.append((level, number))
        return store.get((level, number))

    tree = tiles.Tree(load, 100_000)
    started = time.process_time()
    for index in random.Random(1).sample(range(100_000), 100):
        loads.clear()
        assert len(tree.inclusion_proof(index, 100_000)) <= 17
        assert len(set(loads)) <= 6
    assert time.process_time() - started < 1, "an inclusion proof takes well under 10 ms even on a slow machine"
