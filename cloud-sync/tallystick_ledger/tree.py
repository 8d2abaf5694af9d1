"""The ledger's tree: its head, its tiles, and proofs from them."""

from typing import NamedTuple

from tallystick_ledger import publications
from tallystick_ledger.db import Tx
from tallystick_ledger.errors import NotFound, StoreError
from tallystick_proof import tiles, tlog_proof


class Head(NamedTuple):
    """The newest tree: durable, but perhaps not yet published."""

    size: int
    root: bytes


def head(tx: Tx) -> Head:
    row = tx.one("SELECT size, root FROM head WHERE only = 1")
    if row is None:
        raise StoreError("the database holds no head")
    return Head(*row)


def move_head(tx: Tx, old: Head, new: Head) -> bool:
    """Compare-and-swap: False when another sequencer moved it first."""
    return bool(
        tx.changed(
            "UPDATE head SET size = ?, root = ? WHERE only = 1 AND size = ? AND root = ?",
            [new.size, new.root, old.size, old.root],
        )
    )


def append(tx: Tx, size: int, leaf_hashes: list[bytes]) -> Head:
    """Write the tiles that change when these leaves follow the tree of `size`; the new head, not yet moved to."""

    def save(level: int, number: int, hashes: bytes) -> None:
        tx.execute("INSERT OR REPLACE INTO tile VALUES (?, ?, ?)", [level, number, hashes])

    new_size = tiles.append(loader(tx), save, size, leaf_hashes)
    return Head(new_size, tree(tx, new_size).root())


def tree(tx: Tx, size: int) -> tiles.Tree:
    """The tree at `size`; usable inside the transaction only."""
    return tiles.Tree(loader(tx), size)


def loader(tx: Tx) -> tiles.Load:
    def load(level: int, number: int) -> bytes | None:
        row = tx.one("SELECT hashes FROM tile WHERE level = ? AND number = ?", [level, number])
        return None if row is None else bytes(row[0])

    return load


def prove(tx: Tx, index: int) -> bytes:
    """The tlog-proof of a leaf under the first published checkpoint that covers it; NotFound before that."""
    published = publications.covering(tx, index)
    if published is None:
        raise NotFound(f"entry {index} is not published yet: try again in a moment")
    path = tree(tx, published.size).inclusion_proof(index, published.size)
    return tlog_proof.format(index, path, published.note)


def tile(tx: Tx, level: int, number: int, width: int) -> bytes:
    """A published tile of this width; NotFound for one that reaches beyond the published tree."""
    published = publications.latest(tx)
    end = (number * tiles.TILE_HASHES + width) << (8 * level)
    hashes = loader(tx)(level, number)
    if published is None or end > published.size or hashes is None:
        raise NotFound("no such tile")
    return hashes[: width * 32]
