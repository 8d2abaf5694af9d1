"""RFC 9162 Merkle trees over SHA-256: roots, proofs and their checks, all iterative. They raise MerkleError only.

Hashes are 32 bytes. A range proof is the roots of the maximal subtrees outside the range, from left to right.
"""

import hashlib
from collections.abc import Sequence

from tallystick_proof.errors import MerkleError

HASH_BYTES = 32
MAX_TREE_SIZE = 2**63 - 1  # fits every integer that stores it; a path then has at most 63 hashes
MAX_PATH_HASHES = 63
EMPTY_ROOT = hashlib.sha256(b"").digest()

_SIZE_BYTES = 8
_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(00 || entry)."""
    return _sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 || left || right)."""
    return _sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes; EMPTY_ROOT for none."""
    level = list(leaf_hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        pairs = [_sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        if len(level) % 2:
            pairs.append(level[-1])  # a lone right hash moves up as it is: the same tree as RFC 9162's
        level = pairs
    return level[0]


def split(size: int) -> int:
    """The largest power of two below `size` (2 or more): where RFC 9162 divides a tree."""
    return 1 << ((size - 1).bit_length() - 1)


class Frontier:
    """The right edge of a growing tree: the roots of its maximal full subtrees, largest first. 63 hashes at most."""

    __slots__ = ("_hashes", "size")

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    def append(self, leaf_hash: bytes) -> None:
        """Grow by one leaf, given by its hash."""
        if self.size >= MAX_TREE_SIZE:
            raise MerkleError(f"a tree has at most {MAX_TREE_SIZE} leaves")
        _check_hashes((leaf_hash,))
        current, size, hashes = leaf_hash, self.size, self._hashes
        while size & 1:  # two full subtrees of one size become one of twice that size
            current = _sha256(b"\x01" + hashes.pop() + current).digest()
            size >>= 1
        hashes.append(current)
        self.size += 1

    def root(self) -> bytes:
        """The root at the present size."""
        if not self._hashes:
            return EMPTY_ROOT
        current = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            current = node_hash(left, current)
        return current

    def copy(self) -> "Frontier":
        """A frontier that grows on its own."""
        other = Frontier()
        other.size = self.size
        other._hashes = list(self._hashes)
        return other

    def to_bytes(self) -> bytes:
        """8 bytes of size, then the hashes."""
        return self.size.to_bytes(_SIZE_BYTES, "big") + b"".join(self._hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frontier":
        """The frontier that to_bytes wrote."""
        size = int.from_bytes(data[:_SIZE_BYTES], "big")
        if len(data) != _SIZE_BYTES + HASH_BYTES * size.bit_count() or size > MAX_TREE_SIZE:
            raise MerkleError("a frontier is 8 bytes of size and one hash for each bit that is set in it")
        frontier = cls()
        frontier.size = size
        frontier._hashes = [data[at : at + HASH_BYTES] for at in range(_SIZE_BYTES, len(data), HASH_BYTES)]
        return frontier


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 section 2.1.3.2; MerkleError unless the leaf is at `index` in the tree of `size` under `root`."""
    if not 0 <= index < size <= MAX_TREE_SIZE:
        raise MerkleError("the index must be below the size")
    _check_hashes((leaf_hash, root, *proof))
    node, last, current = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            raise MerkleError("the inclusion proof is too long")
        if node & 1 or node == last:
            current = node_hash(sibling, current)
            while node and not node & 1:  # this subtree stands alone at the right: it moved up unchanged
                node, last = node >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise MerkleError("the inclusion proof is too short")
    if current != root:
        raise MerkleError("the inclusion proof leads to another root")


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 section 2.1.4.2; MerkleError unless the tree of size2 begins with that of size1.

    Two trees of one size (0 too) are consistent when their roots are equal: there is nothing to hash. From size 0 to
    another one there is no proof: anything begins with nothing.
    """
    if not 0 <= size1 <= size2 <= MAX_TREE_SIZE or 0 == size1 < size2:
        raise MerkleError("sizes must be 0 < size1 <= size2")
    if size1 == size2:
        if proof or root1 != root2:
            raise MerkleError("equal sizes need equal roots and an empty proof")
        return
    _check_hashes((root1, root2, *proof))
    path = list(proof)
    if size1.bit_count() == 1:  # the old tree is itself a node of the new one
        path.insert(0, root1)
    if not path:
        raise MerkleError("the consistency proof is too short")
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise MerkleError("the consistency proof is too long")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise MerkleError("the consistency proof is too short")
    if old != root1 or new != root2:
        raise MerkleError("the consistency proof leads to other roots")


def range_root(start: int, leaf_hashes: Sequence[bytes], size: int, proof: Sequence[bytes]) -> bytes:
    """The root of the tree of `size` in which these leaves stand from `start` on, by a range proof."""
    end = start + len(leaf_hashes)
    if not 0 <= start < end <= size <= MAX_TREE_SIZE:
        raise MerkleError("a range holds at least one leaf and lies inside the tree")
    _check_hashes((*leaf_hashes, *proof))
    outside, taken = iter(proof), 0
    done: list[bytes] = []
    for step in _range_walk(start, end, size):
        if step is None:
            right = done.pop()
            done.append(node_hash(done.pop(), right))
            continue
        low, high = step
        if start <= low and high <= end:
            done.append(root(leaf_hashes[low - start : high - start]))
        else:
            sibling = next(outside, None)
            if sibling is None:
                raise MerkleError("the range proof is too short")
            taken += 1
            done.append(sibling)
    if taken != len(proof):
        raise MerkleError("the range proof is too long")
    return done[0]


def range_siblings(start: int, end: int, size: int) -> list[tuple[int, int]]:
    """The maximal subtrees [low, high) outside leaves [start, end), from left to right: what a range proof holds."""
    if not 0 <= start < end <= size <= MAX_TREE_SIZE:
        raise MerkleError("a range holds at least one leaf and lies inside the tree")
    steps = [step for step in _range_walk(start, end, size) if step is not None]
    return [(low, high) for low, high in steps if high <= start or low >= end]


def _range_walk(start: int, end: int, size: int) -> list[tuple[int, int] | None]:
    """The subtrees wholly inside or outside the range, from left to right; None means: join the last two."""
    steps: list[tuple[int, int] | None] = []
    waiting: list[tuple[int, int] | None] = [(0, size)]
    while waiting:
        span = waiting.pop()
        if span is None or span[1] <= start or span[0] >= end or (start <= span[0] and span[1] <= end):
            steps.append(span)
            continue
        low, high = span
        middle = low + split(high - low)
        waiting += [None, (middle, high), (low, middle)]
    return steps


def _check_hashes(hashes: Sequence[bytes]) -> None:
    for item in hashes:
        if len(item) != HASH_BYTES:
            raise MerkleError(f"a hash is {HASH_BYTES} bytes")
