"""A tree in tiles of 256 hashes (C2SP tlog-tiles): append, and any proof at any size up to what is stored.

Level 0 holds leaf hashes, level n the roots of the full tiles of level n - 1. `load(level, number)` gives the bytes of
a tile as far as it is stored, or None; a tile may hold more than a smaller tree needs.
"""

import re
from collections.abc import Callable, Sequence

from tallystick_proof import merkle
from tallystick_proof.errors import MerkleError
from tallystick_proof.merkle import HASH_BYTES

TILE_HASHES = 256
MAX_LEVEL = 7  # 256^8 leaves are more than MAX_TREE_SIZE
_TILE_BITS = 8

Load = Callable[[int, int], bytes | None]
Save = Callable[[int, int, bytes], None]

_PATH = re.compile(r"tile/(?P<level>[0-7])/(?P<number>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")


class Tree:
    """The tree of `size` leaves behind `load`. Every method takes a size up to it and raises MerkleError."""

    def __init__(self, load: Load, size: int) -> None:
        self.load = load
        self.size = size

    def root(self, size: int | None = None) -> bytes:
        """The root at `size`, by default the whole."""
        size = self.size if size is None else size
        self._check_size(size)
        return self._subtree(0, size) if size else merkle.EMPTY_ROOT

    def leaf_hash(self, index: int) -> bytes:
        """The hash of the leaf at `index`."""
        if not 0 <= index < self.size:
            raise MerkleError("the index must be below the size")
        return self._subtree(index, index + 1)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The path of leaf `index` in the tree of `size`, from the leaf upwards."""
        self._check_size(size)
        if not 0 <= index < size:
            raise MerkleError("the index must be below the size")
        path = []
        low, high = 0, size
        while high - low > 1:
            middle = low + merkle.split(high - low)
            if index < middle:
                path.append((middle, high))
                high = middle
            else:
                path.append((low, middle))
                low = middle
        return [self._subtree(*span) for span in reversed(path)]

    def consistency_proof(self, size1: int, size2: int) -> list[bytes]:
        """That the tree of size2 begins with that of size1 (1 or more)."""
        self._check_size(size2)
        if not 0 < size1 <= size2:
            raise MerkleError("sizes must be 0 < size1 <= size2")
        path = []
        low, high = 0, size2
        while high != size1:
            middle = low + merkle.split(high - low)
            if size1 <= middle:
                path.append((middle, high))
                high = middle
            else:
                path.append((low, middle))
                low = middle
        if low:  # the old tree is no node of the new one: its last part is needed to begin with
            path.append((low, high))
        return [self._subtree(*span) for span in reversed(path)]

    def range_proof(self, start: int, end: int, size: int) -> list[bytes]:
        """What merkle.range_root needs beside the leaves from `start` up to, not including, `end`."""
        self._check_size(size)
        return [self._subtree(*span) for span in merkle.range_siblings(start, end, size)]

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise MerkleError("the size must not be above what is stored")

    def _subtree(self, low: int, high: int) -> bytes:
        """The root over leaves [low, high), a node of some tree: `low` is a multiple of its rounded-up width."""
        full = []
        while low < high:  # a ragged right edge: largest full subtree first
            height = (high - low).bit_length() - 1
            full.append(self._full_subtree(low, height))
            low += 1 << height
        current = full.pop()
        while full:
            current = merkle.node_hash(full.pop(), current)
        return current

    def _full_subtree(self, low: int, height: int) -> bytes:
        level, rest = divmod(height, _TILE_BITS)
        number, offset = divmod(low >> (level * _TILE_BITS), TILE_HASHES)
        return merkle.root(hashes_of_tile(self.load, level, number, offset, 1 << rest))


def hashes_of_tile(load: Load, level: int, number: int, offset: int, count: int) -> list[bytes]:
    """`count` hashes of a tile from `offset` on; MerkleError when the store does not hold them."""
    data = load(level, number) or b""
    if len(data) < (offset + count) * HASH_BYTES:
        raise MerkleError(f"tile {level}/{number} does not hold {offset + count} hashes")
    return [data[at : at + HASH_BYTES] for at in range(offset * HASH_BYTES, (offset + count) * HASH_BYTES, HASH_BYTES)]


def append(load: Load, save: Save, size: int, leaf_hashes: Sequence[bytes]) -> int:
    """Save the tiles that change when these leaves follow the tree of `size`; the new size."""
    if size + len(leaf_hashes) > merkle.MAX_TREE_SIZE:
        raise MerkleError(f"a tree has at most {merkle.MAX_TREE_SIZE} leaves")
    new: Sequence[bytes] = leaf_hashes
    for level in range(MAX_LEVEL + 1):
        if not new:
            break
        number, offset = divmod(size >> (level * _TILE_BITS), TILE_HASHES)
        tile = hashes_of_tile(load, level, number, 0, offset) if offset else []
        full_roots, taken = [], 0
        while taken < len(new):
            room = TILE_HASHES - len(tile)
            tile += new[taken : taken + room]
            taken += room
            save(level, number, b"".join(tile))
            if len(tile) == TILE_HASHES:
                full_roots.append(merkle.root(tile))
                number, tile = number + 1, []
        new = full_roots
    return size + len(leaf_hashes)


def tile_path(level: int, number: int, width: int = TILE_HASHES) -> str:
    """tile/<level>/<number in groups of three digits>, and .p/<width> when it is partial."""
    if not 0 <= level <= MAX_LEVEL or number < 0 or not 1 <= width <= TILE_HASHES:
        raise MerkleError("no such tile")
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{name}" + ("" if width == TILE_HASHES else f".p/{width}")


def parse_tile_path(path: str) -> tuple[int, int, int]:
    """(level, number, width) of a path that tile_path writes; MerkleError for any other."""
    match = _PATH.fullmatch(path)
    if not match:
        raise MerkleError("no tile path")
    level, width = int(match["level"]), int(match["width"] or TILE_HASHES)
    number = int(match["number"].replace("/", "").replace("x", ""))
    if tile_path(level, number, width) != path:
        raise MerkleError("no tile path")
    return level, number, width
