"""A closed batch: the entries between two checkpoints of a gateway, as one compressed blob and one row."""

from dataclasses import dataclass

import zstandard

from tallystick_ledger import gateway_tree
from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Row, Tx
from tallystick_ledger.errors import StoreError
from tallystick_proof import merkle

_LENGTH_BYTES = 2  # MAX_ENTRY_BYTES is what 16 bits hold: the entry bundles of C2SP tlog-tiles have the same form
_ZSTD_LEVEL = 3  # 88 KB of 169 KB at 1000 readings; higher levels cost more than they save on signatures
_SELECT = """
    SELECT b.id, g.gateway, g.number, b.first, b.size, b.root, b.before, b.entry, e.idx, b.blob, b.bytes
    FROM batch b JOIN epoch g ON g.id = b.epoch JOIN entry e ON e.id = b.entry
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Leaves first .. size-1 of one epoch of one gateway; `index`: of its checkpoint, None while pending."""

    id: int
    gateway: bytes
    epoch: int
    first: int
    size: int
    root: bytes
    before: bytes
    entry: int
    index: int | None
    blob: bytes
    bytes: int


def by_id(tx: Tx, batch_id: int) -> Batch:
    """The batch that a segment names; StoreError when it is missing."""
    row = tx.one(f"{_SELECT} WHERE b.id = ?", [batch_id])
    if row is None:
        raise StoreError(f"batch {batch_id} is missing")
    return _batch(row)


def by_entry(tx: Tx, entry_id: int) -> Batch | None:
    """The batch whose checkpoint this entry is; None for a checkpoint that only proves a conflict, and statements."""
    row = tx.one(f"{_SELECT} WHERE b.entry = ?", [entry_id])
    return None if row is None else _batch(row)


def by_size(tx: Tx, epoch_id: int, size: int) -> Batch | None:
    """The batch that ends at `size`, None when no checkpoint of that size is known."""
    row = tx.one(f"{_SELECT} WHERE b.epoch = ? AND b.size = ?", [epoch_id, size])
    return None if row is None else _batch(row)


def containing(tx: Tx, epoch_id: int, size: int) -> Batch | None:
    """The batch in which a tree of `size` ends, None when the epoch is shorter or `size` is 0."""
    row = tx.one(f"{_SELECT} WHERE b.epoch = ? AND b.size >= ? ORDER BY b.size LIMIT 1", [epoch_id, size])
    return None if row is None or size < 1 else _batch(row)


def put(blobs: Blobs, entries: list[bytes]) -> tuple[bytes, int]:
    """Store the entries durably; (name of the blob, uncompressed bytes)."""
    body = b"".join(len(item).to_bytes(_LENGTH_BYTES, "big") + item for item in entries)
    # A compressor of its own: one shared by threads crashes.
    return blobs.put_if_absent(zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(body)), len(body)


def entries(blobs: Blobs, batch: Batch) -> list[bytes]:
    """The batch's entries; StoreError when the blob does not hold exactly them."""
    try:
        body = zstandard.ZstdDecompressor().decompress(
            blobs.get(batch.blob), max_output_size=batch.bytes, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise StoreError(f"blob {batch.blob.hex()}: {error}") from None
    found, at = [], 0
    while at + _LENGTH_BYTES <= len(body):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(body[at:start], "big")
        found.append(body[start:at])
    if at != len(body) or len(body) != batch.bytes or len(found) != batch.size - batch.first:
        raise StoreError(f"blob {batch.blob.hex()} does not hold the entries of batch {batch.id}")
    return found


def root_at(blobs: Blobs, batch: Batch, size: int) -> bytes:
    """The root of the gateway's tree when it had `size` leaves, a size inside this batch."""
    if size == batch.size:
        return batch.root
    leaf_hashes = [merkle.leaf_hash(item) for item in entries(blobs, batch)]
    return gateway_tree.root_at(batch.before, leaf_hashes, size)


def _batch(row: Row) -> Batch:
    return Batch(*row)
