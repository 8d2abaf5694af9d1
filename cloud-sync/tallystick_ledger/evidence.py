"""Bundles: collect what a reading, a window or a decision needs, in the forms of tallystick_proof.bundle.

Every proof goes to the first published checkpoint that covers the fact, so the same fact has the same bytes in every
bundle. Finance builds its decision bundles with the same Collector.
"""

from collections.abc import Iterator
from itertools import pairwise

from tallystick_ledger import batch as batches
from tallystick_ledger import gateway_tree, publications, tree
from tallystick_ledger.batch import Batch
from tallystick_ledger.db import Tx
from tallystick_ledger.errors import Conflict, Malformed, NotFound, TooLarge
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.segment import VALID, unpack
from tallystick_proof import bundle, keys, merkle, statement
from tallystick_proof.bundle import Builder
from tallystick_proof.chain import Declared, ReadingPlace, between
from tallystick_proof.enrolment import EnrolledKey
from tallystick_proof.entry import GatewayEntry
from tallystick_proof.errors import ArchiveError
from tallystick_wire import reading
from tallystick_wire.reading import Reading

MAX_WINDOW_READINGS = 50_000  # at 300 bytes an entry a quarter of what a bundle may hold; six weeks at one a minute
MAX_LEAD_READINGS = 20_000  # how far back the reading that carries an anchor is looked for
_LEAD_STEP = 256  # sequence numbers looked at together
_OPEN_BATCHES = 8  # decompressed at once: 32 MiB at most

Place = tuple[int, int]  # (batch id, offset in it)


def reading_bundle(ledger: Ledger, thumbprint: bytes, seq: int) -> bytes:
    """The bundle that proves one reading, led up to from the anchor that bounds its time from below."""
    collector = Collector(ledger, "reading", [thumbprint, seq])
    collector.add_window(thumbprint, collector.lead(thumbprint, seq), seq)
    return collector.to_bytes()


def window_bundle(ledger: Ledger, thumbprint: bytes, first: int, last: int) -> bytes:
    """The bundle that proves a node's readings from `first`, or the anchor that leads to it, up to `last`."""
    if not 1 <= first <= last <= reading.MAX_SEQ:
        raise Malformed(f"a window runs from first to last, both 1 to {reading.MAX_SEQ}, not from {first} to {last}")
    start = Collector(ledger, "window", [thumbprint, first, last]).lead(thumbprint, first, last)
    collector = Collector(ledger, "window", [thumbprint, start, last])
    collector.add_window(thumbprint, start, last)
    return collector.to_bytes()


class Collector:
    """Collects one bundle. NotFound: it is not in the log, or not published yet."""

    def __init__(self, ledger: Ledger, kind: str, subject: list[bytes | int]) -> None:
        self._ledger = ledger
        self._builder = Builder(kind, subject, ledger.origin)
        self._needed: dict[int, set[int]] = {}
        self._open: dict[int, tuple[Batch, list[bytes]]] = {}

    def add_key(self, thumbprint: bytes) -> None:
        """A signer's enrolment and every published revocation of it."""
        key = self._key(thumbprint)
        with self._ledger.db.read() as tx:
            self._builder.add_key(key.statement.data, tree.prove(tx, key.enrolled_index))
            for index, data in self._ledger.keys.revocations(thumbprint):
                if publications.covering(tx, index) is not None:
                    self._builder.add_statement(data, tree.prove(tx, index))

    def add_statement(self, identity: bytes) -> None:
        """A published statement, with its signer's key."""
        with self._ledger.db.read() as tx:
            row = tx.one(
                "SELECT e.idx, e.data FROM statement s JOIN entry e ON e.id = s.entry WHERE s.identity = ?", [identity]
            )
            if row is None or row[0] is None:
                raise NotFound(f"statement {identity.hex()} is not in the log")
            self._builder.add_statement(row[1], tree.prove(tx, row[0]))
        signer = self._ledger.keys.by_kid(statement.parse(row[1]).kid)
        if signer is not None:
            self.add_key(signer.thumbprint)

    def add_asof(self, number: int, note: bytes) -> None:
        """The published checkpoint on which decision `number` was made."""
        self._builder.add_asof(number, note)

    def add_window(self, thumbprint: bytes, first: int, last: int) -> None:
        """The node's valid readings from `first` to `last`, both of which must be there; Conflict: they do not link.

        What the log lacks in between is left out where a boot record or a reading of the window accounts for it.
        """
        places = self._locate(thumbprint, first, last)
        if first not in places or last not in places:
            missing = last if first in places else first
            raise NotFound(f"reading {missing} of {thumbprint.hex()} is not in the log, not valid or not published yet")
        self.add_key(thumbprint)
        declared, chain = Declared(), list[ReadingPlace]()
        for seq in sorted(places):
            found = self._reading(places[seq])
            declared.add_reading(found)
            chain.append(ReadingPlace.of(found))
            self._add_anchor(found)
            batch_id, offset = places[seq]
            self._needed.setdefault(batch_id, set()).add(offset)
        for before, after in pairwise(chain):
            if between(before, after, declared) is None:
                raise Conflict(self._broken(thumbprint, before, after, last))

    def lead(self, thumbprint: bytes, first: int, last: int | None = None) -> int:
        """Where a window must start so that its first wanted reading has a lower bound in time.

        last: where the window ends; its readings may declare what is missing before `first`.
        """
        downwards = self._downwards(thumbprint, first)
        wanted = next(downwards, None)
        if wanted is None or wanted.chain.seq != first:
            raise NotFound(f"reading {first} of {thumbprint.hex()} is not in the log, not valid or not published yet")

        def from_wanted() -> Iterator[Reading]:
            yield wanted
            yield from downwards

        return bundle.lead(from_wanted(), self._upwards(thumbprint, first + 1, last or first))

    def to_bytes(self) -> bytes:
        """The finished bundle; TooLarge when it is more than a bundle may be."""
        for batch_id, offsets in sorted(self._needed.items()):
            self._add_batch(batch_id, offsets)
        try:
            return self._builder.to_bytes()
        except ArchiveError as error:
            raise TooLarge(f"{error}; ask for a smaller window") from None

    def _add_batch(self, batch_id: int, offsets: set[int]) -> None:
        batch, contents = self._contents(batch_id)
        leaf_hashes = [merkle.leaf_hash(item) for item in contents]
        needed = {batch.first + offset: contents[offset] for offset in offsets}
        start, items = bundle.reveal(needed, lambda index: leaf_hashes[index - batch.first])
        hashes = gateway_tree.range_proof(batch.before, leaf_hashes, start, start + len(items))
        with self._ledger.db.read() as tx:
            row = tx.one("SELECT data FROM entry WHERE id = ?", [batch.entry])
            proof = tree.prove(tx, _index(batch))
        note = row[0] if row else b""
        self._builder.add_batch(batch.gateway, batch.epoch, batch.size, start, items, hashes, note, proof)
        self.add_key(batch.gateway)

    def _add_anchor(self, found: Reading) -> None:
        if found.chain.anchor is None:
            return
        size, hash16, _ = found.chain.anchor
        with self._ledger.db.read() as tx:
            cited = publications.cited(tx, size, hash16)
        if cited is None:
            raise NotFound(f"the checkpoint of size {size} that reading {found.chain.seq} cites")
        self._builder.add_anchor(size, cited.note)

    def _downwards(self, thumbprint: bytes, first: int) -> Iterator[Reading]:
        """Valid published readings from `first` downwards; stops after MAX_LEAD_READINGS."""
        high: int | None = first
        taken = 0
        while high is not None and high >= 1 and taken < MAX_LEAD_READINGS:
            low = max(1, high - _LEAD_STEP + 1)
            places = self._locate(thumbprint, low, high)
            for seq in sorted(places, reverse=True):
                yield self._reading(places[seq])
            taken += len(places)
            high = low - 1 if places else self._highest_below(thumbprint, low)

    def _upwards(self, thumbprint: bytes, first: int, last: int) -> Iterator[Reading]:
        """Valid published readings from `first` to `last`; stops after MAX_LEAD_READINGS."""
        if first <= last:
            places = self._locate(thumbprint, first, last)
            for seq in sorted(places)[:MAX_LEAD_READINGS]:
                yield self._reading(places[seq])

    def _broken(self, thumbprint: bytes, before: ReadingPlace, after: ReadingPlace, last: int) -> str:
        """Why these two do not link here, and which window to ask for instead."""
        text = f"readings {before.seq} and {after.seq} do not link"
        for later in self._upwards(thumbprint, last + 1, last + MAX_LEAD_READINGS):
            if between(before, after, Declared.of([later])) is not None:
                seq = later.chain.seq
                return f"{text} here: reading {seq} declares what is missing, ask for a window up to {seq}"
        return f"{text}: ask for a window on one side"

    def _highest_below(self, thumbprint: bytes, low: int) -> int | None:
        """A number at or above the highest reading below `low`, None when there is none: skips reserved blocks."""
        with self._ledger.db.read() as tx:
            row = tx.one(
                "SELECT max(min(last_seq, ? - 1)) FROM segment WHERE kid = ? AND first_seq < ?",
                [low, thumbprint[: keys.KID_BYTES], low],
            )
        return None if row is None or row[0] is None else int(row[0])

    def _locate(self, thumbprint: bytes, first: int, last: int) -> dict[int, Place]:
        """number -> where its valid, published reading lies."""
        key = self._key(thumbprint)
        with self._ledger.db.read() as tx:
            rows = _overlapping(tx, key.kid, first, last)
        places = {
            item.seq: (batch_id, item.offset)
            for batch_id, packed in rows
            for item in unpack(packed)
            if item.verdict == VALID and first <= item.seq <= last
        }
        if len(places) > MAX_WINDOW_READINGS:
            raise TooLarge(f"a window holds at most {MAX_WINDOW_READINGS} readings")
        return places

    def _reading(self, place: Place) -> Reading:
        _, contents = self._contents(place[0])
        body = GatewayEntry.decode(contents[place[1]]).body
        return reading.parse(body if isinstance(body, bytes) else b"")

    def _contents(self, batch_id: int) -> tuple[Batch, list[bytes]]:
        if batch_id not in self._open:
            with self._ledger.db.read() as tx:
                batch = batches.by_id(tx, batch_id)
            while len(self._open) >= _OPEN_BATCHES:
                self._open.pop(next(iter(self._open)))
            self._open[batch_id] = (batch, batches.entries(self._ledger.blobs, batch))
        return self._open[batch_id]

    def _key(self, thumbprint: bytes) -> EnrolledKey:
        key = self._ledger.keys.by_thumbprint(thumbprint)
        if key is None:
            raise NotFound(f"no key {thumbprint.hex()} is enrolled")
        return key


def _overlapping(tx: Tx, kid: bytes, first: int, last: int) -> list[tuple[int, bytes]]:
    published = publications.latest(tx)
    rows = tx.execute(
        "SELECT s.batch, s.rows FROM segment s JOIN batch b ON b.id = s.batch JOIN entry e ON e.id = b.entry"
        " WHERE s.kid = ? AND s.last_seq >= ? AND s.first_seq <= ? AND e.idx < ?",
        [kid, first, last, published.size if published else 0],
    )
    return [(batch_id, packed) for batch_id, packed in rows]


def _index(batch: Batch) -> int:
    if batch.index is None:
        raise NotFound("not published yet")
    return batch.index
