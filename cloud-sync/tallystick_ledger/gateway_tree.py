"""Range proofs inside a gateway's tree from one batch and the frontier before it: gateway trees need no tiles."""

from collections.abc import Sequence

from tallystick_proof import merkle
from tallystick_proof.merkle import HASH_BYTES, Frontier

_SIZE_BYTES = 8  # of Frontier.to_bytes


def range_proof(before: bytes, leaf_hashes: Sequence[bytes], start: int, end: int) -> list[bytes]:
    """What merkle.range_root needs beside leaves [start, end), in the tree of `before` and these leaves behind it.

    `start` and `end` lie among these leaves: everything left of them is a subtree of the frontier, or grows from it.
    """
    first = Frontier.from_bytes(before).size
    siblings = merkle.range_siblings(start, end, first + len(leaf_hashes))
    return [_subtree(before, first, leaf_hashes, low, high) for low, high in siblings]


def root_at(before: bytes, leaf_hashes: Sequence[bytes], size: int) -> bytes:
    """The root of the gateway's tree when it had `size` leaves, a size inside this batch."""
    frontier = Frontier.from_bytes(before)
    for leaf_hash in leaf_hashes[: size - frontier.size]:
        frontier.append(leaf_hash)
    return frontier.root()


def _subtree(before: bytes, first: int, leaf_hashes: Sequence[bytes], low: int, high: int) -> bytes:
    """The root over leaves [low, high), a full subtree wherever it begins left of the batch."""
    if low >= first:
        return merkle.root(leaf_hashes[low - first : high - first])
    # `low` is `first` without its lowest bits, and each bit of `first` is one hash of the frontier, highest first.
    hashes = before[_SIZE_BYTES + low.bit_count() * HASH_BYTES :]
    if high <= first:
        return hashes[:HASH_BYTES]
    part = Frontier.from_bytes((first - low).to_bytes(_SIZE_BYTES, "big") + hashes)
    for leaf_hash in leaf_hashes[: high - first]:
        part.append(leaf_hash)
    return part.root()
