"""The sync door: POST /gateways/{thumbprint}/sync. Admission is not validity: what fits is appended, good or bad.

    1 token            before the body is read
    2 body             sizes bounded before anything is decompressed or decoded
    3 head             the gateway's signature, its own origin
    4 history          a second checkpoint that contradicts one we hold: both logged, the epoch frozen
    5 root             the entries behind ours give the root that was signed
    6 verdicts         each reading's signature, outside any transaction
    7 blob             the entries, durable under their hash       (crash: an unnamed blob, harmless)
    8 one transaction  batch, segments, head of the epoch by compare-and-swap, checkpoint into the log
    9 answer           durable; whether it is witnessed stands in it separately
"""

import hashlib
import hmac
from dataclasses import dataclass

import zstandard

from tallystick_ledger import batch as batches
from tallystick_ledger import publications, segment
from tallystick_ledger.batch import Batch
from tallystick_ledger.db import Tx
from tallystick_ledger.errors import (
    Conflict,
    EpochClosed,
    Forbidden,
    KnownSize,
    Malformed,
    TooLarge,
    Unauthorized,
    Unfitting,
    Unsupported,
)
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.segment import Sighting
from tallystick_ledger.settle import check_entries
from tallystick_ledger.submit import submit
from tallystick_proof import entry, keys, merkle, sync
from tallystick_proof.enrolment import EnrolledKey
from tallystick_proof.errors import SizeMismatch, SyncError
from tallystick_proof.merkle import Frontier
from tallystick_proof.sync import SyncAnswer, SyncRequest

# A body that does not compress: zstd adds at most 1/256 and a few bytes.
MAX_BODY_BYTES = sync.MAX_SYNC_BYTES + sync.MAX_SYNC_BYTES // 256 + 512
MAX_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024  # what every zstd decoder must support (RFC 9659), and all that 4 MiB need
MAX_CURSOR = 2**31 - 1
_ATTEMPTS = 4  # another request of the same gateway may be faster; then look again


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the ledger holds of one epoch of a gateway. `id` is None while nothing of it is stored."""

    id: int | None
    size: int
    root: bytes
    frontier: Frontier
    frozen: bool
    newest: int  # the highest epoch of this gateway


def authorize(ledger: Ledger, thumbprint: str, authorization: str | None) -> EnrolledKey:
    """Step 1: the gateway whose enrolment binds this bearer token. Unauthorized says nothing else."""
    scheme, _, token = (authorization or "").partition(" ")
    found = _gateway(ledger, thumbprint)
    expected = found.token_hash if found and found.token_hash else bytes(32)
    given = hashlib.sha256(token.encode("utf-8", "replace")).digest()
    # One comparison for unknown gateways too: the time tells nothing.
    if not hmac.compare_digest(expected, given) or scheme.lower() != "bearer" or found is None:
        raise Unauthorized("no such gateway, or not its token")
    return found


def decode_body(data: bytes, encoding: str | None) -> SyncRequest:
    """Step 2. The declared size is held against the limit before anything is decompressed."""
    if encoding not in (None, "", "identity", "zstd"):
        raise Unsupported(f"content encoding {encoding[:20]!r}: send zstd or none")
    try:
        return SyncRequest.decode(_decompress(data) if encoding == "zstd" else data)
    except SyncError as error:
        raise Malformed(str(error)) from None


def receive(ledger: Ledger, gateway: EnrolledKey, request: SyncRequest, cursor: int) -> SyncAnswer:
    """Steps 3 to 9. KnownSize, EpochClosed or another Refusal when nothing is stored."""
    if not 0 <= cursor <= MAX_CURSOR:
        raise Malformed(f"cursor must be an integer from 0 to {MAX_CURSOR}")
    try:
        head = sync.check_head(request.checkpoint, gateway.public_key, ledger.origin)
    except SyncError as error:
        raise Forbidden(str(error)) from None
    for _ in range(_ATTEMPTS):
        with ledger.db.read() as tx:
            epoch = _epoch(tx, gateway.thumbprint, head.epoch)
            held = None if epoch.id is None else batches.containing(tx, epoch.id, head.checkpoint.size)
        if _repeats(ledger, epoch, head, held) or _extend(ledger, gateway, request, head, epoch):
            return _answer(ledger, gateway, head, cursor)
    raise Conflict("several requests of one gateway at once: try again")


def _repeats(ledger: Ledger, epoch: Epoch, head: sync.Head, held: Batch | None) -> bool:
    """Step 4: True when we hold this very checkpoint. Raises when ours contradicts it, or nothing may follow ours."""
    size, root = head.checkpoint.size, head.checkpoint.root
    if held is not None and size == held.size and root == held.root:
        return True
    if held is not None and batches.root_at(ledger.blobs, held, size) != root:
        _freeze(ledger, epoch, head)
    if epoch.frozen:
        raise EpochClosed(f"epoch {head.epoch} is frozen: two checkpoints contradict each other; open the next epoch")
    if head.epoch < epoch.newest:
        raise EpochClosed(f"epoch {head.epoch} is closed: epoch {epoch.newest} was opened")
    empty = size == 0 and root == merkle.EMPTY_ROOT
    if held is not None or (empty and epoch.size > 0):  # consistent with ours, but not a checkpoint that we know
        raise KnownSize(epoch.size)
    return empty


def _extend(ledger: Ledger, gateway: EnrolledKey, request: SyncRequest, head: sync.Head, epoch: Epoch) -> bool:
    """Steps 5 to 8; False when another request of this gateway was faster."""
    try:
        fitting = sync.check_batch(request, head, epoch.frontier, lambda size: None)
    except SizeMismatch as error:
        raise KnownSize(error.known_size) from None
    except SyncError as error:
        raise Unfitting(str(error)) from None
    ledger.keys.follow()
    checked = check_entries(ledger, request.entries)
    blob, length = batches.put(ledger.blobs, request.entries)
    with ledger.db.transaction() as tx:
        epoch_id = _move(tx, gateway.thumbprint, head, epoch, fitting.frontier)
        if epoch_id is None:
            return False
        entry_id = submit(tx, entry.CHECKPOINT, head.note)
        tx.execute(
            "INSERT INTO batch (epoch, first, size, root, before, entry, blob, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                epoch_id,
                request.old_size,
                head.checkpoint.size,
                head.checkpoint.root,
                epoch.frontier.to_bytes(),
                entry_id,
                blob,
                length,
            ],
        )
        (batch_id,) = tx.execute("SELECT last_insert_rowid()")[0]
        _put_segments(tx, batch_id, checked)
    return True


def _move(tx: Tx, gateway: bytes, head: sync.Head, epoch: Epoch, grown: Frontier) -> int | None:
    """Compare-and-swap of the epoch's head; its row id, or None when it is not where we saw it."""
    size, root, frontier = head.checkpoint.size, head.checkpoint.root, grown.to_bytes()
    newer = tx.one("SELECT 1 FROM epoch WHERE gateway = ? AND number > ?", [gateway, head.epoch])
    if newer:
        return None
    if epoch.id is None:
        moved = tx.changed(
            "INSERT OR IGNORE INTO epoch (gateway, number, size, root, frontier) VALUES (?, ?, ?, ?, ?)",
            [gateway, head.epoch, size, root, frontier],
        )
    else:
        moved = tx.changed(
            "UPDATE epoch SET size = ?, root = ?, frontier = ? WHERE id = ? AND size = ? AND root = ? AND frozen = 0",
            [size, root, frontier, epoch.id, epoch.size, epoch.root],
        )
    row = tx.one("SELECT id FROM epoch WHERE gateway = ? AND number = ?", [gateway, head.epoch]) if moved else None
    return None if row is None else int(row[0])


def _put_segments(tx: Tx, batch_id: int, checked: dict[bytes, list[Sighting]]) -> None:
    for kid, sightings in checked.items():
        first_seq, last_seq = segment.span(sightings)
        tx.execute(
            "INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?)",
            [kid, batch_id, first_seq, last_seq, segment.unknown(sightings), segment.pack(sightings)],
        )


def _freeze(ledger: Ledger, epoch: Epoch, head: sync.Head) -> None:
    """Log the second checkpoint beside the first, once, and take nothing more for this epoch."""
    with ledger.db.transaction() as tx:
        if tx.changed("UPDATE epoch SET frozen = 1 WHERE id = ? AND frozen = 0", [epoch.id]):
            submit(tx, entry.CHECKPOINT, head.note)
    raise EpochClosed(f"two signed checkpoints of epoch {head.epoch} contradict each other: it is frozen")


def _answer(ledger: Ledger, gateway: EnrolledKey, head: sync.Head, cursor: int) -> SyncAnswer:
    """Step 9."""
    with ledger.db.read() as tx:
        epoch = _epoch(tx, gateway.thumbprint, head.epoch)
        held = None if epoch.id is None else batches.by_size(tx, epoch.id, head.checkpoint.size)
        published = publications.latest(tx)
        witnessed = tx.one(
            "SELECT b.size FROM batch b JOIN entry e ON e.id = b.entry WHERE b.epoch = ? AND e.idx < ?"
            " ORDER BY b.size DESC LIMIT 1",
            [epoch.id, published.size if published else 0],
        )
        downlink = tx.execute(
            "SELECT e.data FROM statement s JOIN entry e ON e.id = s.entry"
            " WHERE s.kind IN ('enrolment', 'revocation') AND e.idx IS NOT NULL ORDER BY e.idx LIMIT ? OFFSET ?",
            [sync.MAX_DOWNLINK_STATEMENTS, cursor],
        )
    return SyncAnswer(
        known_size=epoch.size,
        ledger_index=held.index if held else None,
        ledger_note=published.note if published else None,
        witnessed_size=witnessed[0] if witnessed else 0,
        downlink=[data for (data,) in downlink],
    )


def _epoch(tx: Tx, gateway: bytes, number: int) -> Epoch:
    (newest,) = tx.execute("SELECT coalesce(max(number), 0) FROM epoch WHERE gateway = ?", [gateway])[0]
    row = tx.one(
        "SELECT id, size, root, frontier, frozen FROM epoch WHERE gateway = ? AND number = ?", [gateway, number]
    )
    if row is None:
        return Epoch(None, 0, merkle.EMPTY_ROOT, Frontier(), False, newest)
    epoch_id, size, root, frontier, frozen = row
    return Epoch(epoch_id, size, root, Frontier.from_bytes(frontier), bool(frozen), newest)


def _gateway(ledger: Ledger, thumbprint: str) -> EnrolledKey | None:
    try:
        name = bytes.fromhex(thumbprint)
    except ValueError:
        return None
    key = ledger.keys.by_thumbprint(name)
    if key is None:
        ledger.keys.follow()  # enrolled a moment ago
        key = ledger.keys.by_thumbprint(name)
    if key is None or key.kind != keys.GATEWAY or key.revoked_index is not None or name.hex() != thumbprint:
        return None
    return key


def _decompress(data: bytes) -> bytes:
    try:
        declared = zstandard.frame_content_size(data)
        if declared < 0:
            raise Malformed("the zstd frame must declare its content size")
        if declared > sync.MAX_SYNC_BYTES:
            raise TooLarge(f"the zstd frame declares {declared} bytes; at most {sync.MAX_SYNC_BYTES} are taken")
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES)
        return decompressor.decompress(data, max_output_size=sync.MAX_SYNC_BYTES, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Malformed(f"zstd: {error}") from None
