"""The part of fsck that follows each gateway: its epochs from their blobs, and every verdict judged again."""

from collections.abc import Iterator
from dataclasses import dataclass

from tallystick_ledger import batch as batches
from tallystick_ledger import judge, publications, segment, tree
from tallystick_ledger.batch import Batch
from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Tx
from tallystick_ledger.directory import Keys
from tallystick_ledger.errors import StoreError
from tallystick_ledger.segment import UNKNOWN_KEY, Sighting
from tallystick_ledger.settle import settle_in_order, was_revoked
from tallystick_proof import entry, keys, merkle, sync
from tallystick_proof.enrolment import EnrolledKey
from tallystick_proof.errors import ProofError
from tallystick_proof.merkle import Frontier
from tallystick_proof.trust import Trust


@dataclass(frozen=True, slots=True)
class Stores:
    """What is checked: one view of the database, the blobs, and the keys as the log gives them."""

    tx: Tx
    blobs: Blobs
    trust: Trust
    keys: Keys


Tally = dict[tuple[bytes, str], int]


def check_gateways(stores: Stores) -> Iterator[str]:
    """Everything that came through the sync door."""
    yield from _check_epochs(stores)
    yield from _check_lone_checkpoints(stores)
    yield from _check_verdicts(stores)


def _check_epochs(stores: Stores) -> Iterator[str]:
    rows = stores.tx.execute("SELECT id, gateway, number, size, root, frontier FROM epoch ORDER BY id")
    for epoch_id, gateway, number, size, root, stored in rows:
        name = f"epoch {number} of gateway {gateway.hex()}"
        frontier = Frontier()
        ids = stores.tx.execute("SELECT id FROM batch WHERE epoch = ? ORDER BY size", [epoch_id])
        for (batch_id,) in ids:
            batch = batches.by_id(stores.tx, batch_id)
            try:
                finding = _batch_finding(stores, batch, gateway, number, frontier)
            except (StoreError, ProofError) as error:
                finding = str(error)
            if finding:
                yield f"{name}, batch {batch_id}: {finding}"
                break  # what follows can only repeat it
        else:
            if (size, root, stored) != (frontier.size, frontier.root(), frontier.to_bytes()):
                yield f"{name}: its head is not that of its batches"


def _batch_finding(stores: Stores, batch: Batch, gateway: bytes, number: int, frontier: Frontier) -> str | None:
    """Grows `frontier` by the batch."""
    if batch.first != frontier.size or batch.before != frontier.to_bytes():
        return f"begins at {batch.first}, the batches before it end at {frontier.size}, or its frontier is wrong"
    for item in batches.entries(stores.blobs, batch):
        frontier.append(merkle.leaf_hash(item))
    (signed,) = stores.tx.execute("SELECT data FROM entry WHERE id = ?", [batch.entry])[0]
    head = _signed_head(stores, gateway, signed)
    stated = (head.checkpoint.size, head.checkpoint.root)
    if (head.epoch, *stated) != (number, batch.size, batch.root) or stated != (frontier.size, frontier.root()):
        return "the entries do not give the root that the gateway signed"
    return None


def _signed_head(stores: Stores, gateway: bytes, signed: bytes) -> sync.Head:
    key = stores.keys.by_thumbprint(gateway)
    if key is None or key.kind != keys.GATEWAY:
        raise StoreError("its gateway is not enrolled")
    return sync.check_head(signed, key.public_key, stores.trust.origin)


def _check_lone_checkpoints(stores: Stores) -> Iterator[str]:
    """A logged checkpoint without a batch is the second of two that contradict each other: its epoch is frozen."""
    contradicted = set()
    rows = stores.tx.execute(
        "SELECT id, data FROM entry WHERE kind = ? AND id NOT IN (SELECT entry FROM batch) ORDER BY id",
        [entry.CHECKPOINT],
    )
    for entry_id, signed in rows:
        epoch = _contradicted(stores, signed)
        if epoch is None:
            yield f"entry {entry_id} is a checkpoint that belongs to no batch and contradicts none"
        contradicted.add(epoch)
    for epoch_id, frozen in stores.tx.execute("SELECT id, frozen FROM epoch"):
        if frozen != (epoch_id in contradicted):
            yield f"epoch row {epoch_id}: frozen is {frozen}"


def _contradicted(stores: Stores, signed: bytes) -> int | None:
    """The epoch row whose history this checkpoint contradicts."""
    for epoch_id, gateway in stores.tx.execute("SELECT id, gateway FROM epoch"):
        try:
            head = _signed_head(stores, gateway, signed)
        except (StoreError, ProofError):
            continue
        row = stores.tx.one("SELECT number FROM epoch WHERE id = ?", [epoch_id])
        held = batches.containing(stores.tx, epoch_id, head.checkpoint.size)
        if row == (head.epoch,) and held and batches.root_at(stores.blobs, held, head.checkpoint.size) != (
            head.checkpoint.root
        ):
            return int(epoch_id)
    return None


def _check_verdicts(stores: Stores) -> Iterator[str]:
    """Judge in the order of the log, as the sequencer did; the numbers seen so far are kept a kid."""
    size = tree.head(stores.tx).size
    first_links: dict[bytes, dict[int, bytes]] = {}
    tally: Tally = {}
    for (batch_id,) in stores.tx.execute("SELECT id FROM batch ORDER BY id"):
        batch = batches.by_id(stores.tx, batch_id)
        try:
            checked = _check_batch(stores, batch, size)
        except StoreError as error:
            yield f"batch {batch_id}: {error}"
            continue
        rows = stores.tx.execute(
            "SELECT kid, first_seq, last_seq, unknown, rows FROM segment WHERE batch = ?", [batch_id]
        )
        stored = {kid: tuple(columns) for kid, *columns in rows}
        for kid in sorted(checked.keys() | stored.keys()):
            yield from _compare(stores, batch, kid, checked.get(kid, []), stored.get(kid), first_links, tally)
    counted = {(kid, verdict): count for kid, verdict, count in stores.tx.execute("SELECT * FROM tally") if count}
    if counted != tally:
        yield "the counts of verdicts are not those of the readings"


def _check_batch(stores: Stores, batch: Batch, size: int) -> dict[bytes, list[Sighting]]:
    found = judge.candidates(batches.entries(stores.blobs, batch), stores.trust.pen)
    anchors = {candidate.anchor for candidate in found if candidate.anchor is not None}
    published = {anchor: publications.cited(stores.tx, *anchor) is not None for anchor in anchors}

    def key_of(kid: bytes) -> EnrolledKey | None:
        key = stores.keys.by_kid(kid)
        return key if key is not None and key.enrolled_index < size else None

    return judge.check(found, key_of, published)


def _compare(
    stores: Stores,
    batch: Batch,
    kid: bytes,
    checked: list[Sighting],
    stored: tuple[object, ...] | None,
    first_links: dict[bytes, dict[int, bytes]],
    tally: Tally,
) -> Iterator[str]:
    name = f"batch {batch.id}, node {kid.hex() or 'none'}"
    if batch.index is None:
        # Not judged yet: the sequencer does, and a node that was unknown at the door may be known by then.
        if stored is None or not _same_sightings(stored[3], checked):
            yield f"{name}: the pending segment is not what the blob gives"
        return
    revoked = was_revoked(stores.keys, kid, batch.gateway, batch.index)
    final = settle_in_order(checked, revoked, first_links.setdefault(kid, {}))
    if stored != (*segment.span(final), segment.unknown(final), segment.pack(final)):
        yield f"{name}: the stored verdicts are not what judging again gives"
    for item in final:
        tally[kid, item.verdict] = tally.get((kid, item.verdict), 0) + 1


def _same_sightings(packed: object, checked: list[Sighting]) -> bool:
    rows = segment.unpack(packed) if isinstance(packed, bytes) else []
    return [row._replace(verdict=UNKNOWN_KEY) for row in rows] == [
        item._replace(verdict=UNKNOWN_KEY) for item in checked
    ]
