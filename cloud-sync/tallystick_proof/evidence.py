"""The verifier's walk through a bundle: from trust.toml, and nothing else, down to each node's own signature.

    1 archive            the ZIP has its one form
    2 manifest, trust    version, kind, subject; it is about the ledger that trust.toml names
    3 enrolment          each key: an authority of trust.toml signed it in, and (root, witness) it is in the ledger
    4 leaf, root         each batch: the entries lead to the root that the gateway signed (gateway-signature); that
                         checkpoint is in the ledger (root), under one that the witnesses cosigned (witness)
    5 signature          each reading: the node's own signature
    6 chain              each reading names the one before it, or a boot record declares what may be lost, or readings
                         of the same window declare what was given up
    7 anchor, time       the lower bound comes from a cosigned checkpoint, the upper bound from step 4
    8 unreachable        nothing in the bundle is left over

A decision's walk (tallystick_tools.verify_decision) takes the same steps for its windows and adds its own links. Every
failure is NotVerified with the link at which the walk stopped. Steps 1 to 3 are in `facts`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from tallystick_proof import bundle, checkpoint, entry, keys, merkle, note
from tallystick_proof.bundle import Withheld
from tallystick_proof.chain import NOTHING, Declared, Missing, missing_between
from tallystick_proof.enrolment import EnrolledKey
from tallystick_proof.entry import GatewayEntry, LedgerEntry
from tallystick_proof.errors import ArchiveError, NotVerified
from tallystick_proof.facts import Fact, Facts, broken
from tallystick_proof.time import AnchorTime, Interval, interval
from tallystick_proof.trust import Trust
from tallystick_wire import reading, senml

LINKS = (
    *("archive", "manifest", "trust", "witness", "leaf", "root", "gateway-signature", "signature", "enrolment"),
    *("chain", "anchor", "time", "statement", "decision", "state-before", "effects", "state-after", "rules", "as-of"),
    "unreachable",
)
_SIGNATURES_A_STEP = 1000  # checked between two signs of progress: about 0.1 s

Progress = Callable[[str, int, int], None]  # (what, done, total)


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one gateway's tree, proved up to the ledger."""

    stem: str
    gateway: bytes
    fact: Fact


@dataclass(frozen=True, slots=True)
class Shown:
    """A reading as it stands in a batch; its own signature is not checked yet."""

    batch: Batch
    index: int
    entry: GatewayEntry
    reading: reading.Reading

    def __str__(self) -> str:
        return f"reading {self.reading.chain.seq} of {self.reading.kid.hex()}"


@dataclass(frozen=True, slots=True)
class VerifiedReading:
    """A reading with everything that the walk proved about it."""

    node: EnrolledKey
    reading: reading.Reading
    anchor: AnchorTime | None  # the reading's own, with its checkpoint's earliest cosignature time
    last_anchor: AnchorTime | None  # the newest at or before it in the chain: what its lower bound comes from
    interval: Interval
    missing: Missing  # readings between the one before and this one that may exist and are not here
    gateway: bytes
    entry_index: int  # in the gateway's tree
    ledger_index: int  # of the checkpoint that covers it

    def __str__(self) -> str:
        return f"reading {self.reading.chain.seq} of {self.reading.kid.hex()}"


def no_progress(what: str, done: int, total: int) -> None:
    """For who does not watch."""


class Evidence(Facts):
    """One bundle under one trust. Making it walks steps 1 to 4, `reading` or `window` 5 to 7, `finish` the last."""

    def __init__(
        self, data: bytes, trust: Trust, *, unwitnessed_ok: bool = False, progress: Progress = no_progress
    ) -> None:
        super().__init__(data, trust, unwitnessed_ok=unwitnessed_ok)
        self._progress = progress
        self._shown: dict[bytes, dict[int, Shown]] = {}  # kid -> seq -> reading
        self._withheld_ends: list[str] = []
        stems = sorted({name.rpartition(".")[0] for name in self.members if name.startswith("batch-")})
        for done, stem in enumerate(stems):
            progress("batches", done, len(stems))
            self._read_batch(stem)
        self.batches = len(stems)
        self._sequence = {kid: sorted(found) for kid, found in self._shown.items()}
        self._unused = {(kid, seq) for kid, found in self._shown.items() for seq in found}

    def reading(self, thumbprint: bytes, seq: int) -> list[VerifiedReading]:
        """The reading, after those that lead to it from the one whose anchor bounds it from below."""
        known = self._sequence.get(thumbprint[: keys.KID_BYTES], [])
        found = self.window(thumbprint, known[0] if known else seq, seq)
        if len(found) > 1 and [at for at, one in enumerate(found) if one.reading.chain.anchor] != [0]:
            raise NotVerified("anchor", f"what leads to reading {seq} must begin at the nearest anchor, and only there")
        return found

    def window(
        self, thumbprint: bytes, first: int, last: int, *, after: VerifiedReading | None = None, strict: bool = True
    ) -> list[VerifiedReading]:
        """The node's readings from `first` to `last`, which must be in the bundle and link without a break.

        after: the end of an earlier window that this one continues. strict: times that contradict each other are an
        error; a decision's core counts them against the borrower instead.
        """
        node = self.key(thumbprint, keys.NODE)
        found = self._take(node, first, last)
        self._check_signatures(node, found)
        declared = Declared.of(one.reading for one in found)
        verified: list[VerifiedReading] = []
        for one in found:
            after = self._place(node, one, after, declared)
            if strict:
                _check_times(after)
            verified.append(after)
        return verified

    def finish(self) -> None:
        """Step 8. NotVerified unless the walk has needed every member, every reading and both ends of every batch."""
        for stem in self._withheld_ends:
            raise NotVerified("unreachable", f"{stem} begins or ends with a withheld entry")
        for kid, seq in sorted(self._unused):
            raise NotVerified("unreachable", f"reading {seq} of {kid.hex()} is not part of the subject")
        self.check_all_reached()

    # --- step 4

    def _read_batch(self, stem: str) -> None:
        with broken("leaf", stem):
            gateway, epoch, size = bundle.parse_batch_stem(stem)
            items = bundle.decode_entries(stem + ".entries", self.member(stem + ".entries", "leaf"))
        with broken("root", stem):
            start, range_size, hashes = bundle.decode_range(stem + ".range", self.member(stem + ".range", "root"))
            leaves = [item.leaf_hash if isinstance(item, Withheld) else merkle.leaf_hash(item) for item in items]
            root = merkle.range_root(start, leaves, range_size, hashes)
        if range_size != size:
            raise NotVerified("root", f"{stem}.range is about a tree of {range_size}")
        key = self.key(gateway, keys.GATEWAY)
        signed = self._check_gateway_note(stem + ".checkpoint", key, epoch, size, root)
        fact = self.fact(stem, LedgerEntry(entry.CHECKPOINT, signed))
        if not key.active_at(fact.index):
            raise NotVerified("enrolment", f"{stem} was logged before its gateway's enrolment or after its revocation")
        batch = Batch(stem, gateway, fact)
        for index, item in enumerate(items, start):
            if not isinstance(item, Withheld):
                self._show(batch, index, item)
        if isinstance(items[0], Withheld) or isinstance(items[-1], Withheld):
            self._withheld_ends.append(stem)

    def _check_gateway_note(self, name: str, key: EnrolledKey, epoch: int, size: int, root: bytes) -> bytes:
        """The note, which is the gateway's own word, in one line, for exactly this tree head."""
        data = self.member(name, "gateway-signature")
        with broken("gateway-signature", name):
            origin = checkpoint.gateway_origin(self.trust.origin, key.thumbprint, epoch)
            vkey = note.VerifierKey(origin, note.TYPE_ED25519, key.public_key)
            signed = note.parse(data)
            head = checkpoint.parse(signed.text)
        if len(signed.lines) != 1 or not note.verify_line(signed.text, signed.lines[0], vkey):
            raise NotVerified("gateway-signature", f"{name} is not signed by its gateway alone")
        if (head.origin, head.size, head.extensions) != (origin, size, ()):
            raise NotVerified("gateway-signature", f"{name} is not about {origin} at {size}")
        if head.root != root:
            raise NotVerified("root", f"the entries beside {name} lead to another root than the gateway signed")
        return data

    def _show(self, batch: Batch, index: int, item: bytes) -> None:
        """Keep the reading in a shown entry: a bundle shows readings of its subject and nothing else."""
        with broken("leaf", f"entry {index} of {batch.stem}"):
            shown = GatewayEntry.decode(item)
            if shown.kind != entry.READING or not isinstance(shown.body, bytes):
                raise ArchiveError("a shown entry must be a reading")
            parsed = reading.parse(shown.body)
            if parsed.data != shown.body:
                raise ArchiveError("the reading has an unprotected header")
        found = Shown(batch, index, shown, parsed)
        if self._shown.setdefault(parsed.kid, {}).setdefault(parsed.chain.seq, found) is not found:
            raise NotVerified("leaf", f"{found} is shown twice")

    # --- steps 5 to 7

    def _take(self, node: EnrolledKey, first: int, last: int) -> list[Shown]:
        kid = node.thumbprint[: keys.KID_BYTES]
        known, by_seq = self._sequence.get(kid, []), self._shown.get(kid, {})
        seqs = known[bisect_left(known, first) : bisect_right(known, last)]
        if not seqs or seqs[0] != first or seqs[-1] != last:
            raise NotVerified("chain", f"reading {first} or {last} of {node.thumbprint.hex()} is not in the bundle")
        for seq in seqs:
            if (kid, seq) not in self._unused:
                raise NotVerified("chain", f"{by_seq[seq]} is cited twice")
            self._unused.discard((kid, seq))
        return [by_seq[seq] for seq in seqs]

    def _check_signatures(self, node: EnrolledKey, found: list[Shown]) -> None:
        name = senml.base_name(self.trust.pen, node.thumbprint[: keys.KID_BYTES])
        for start in range(0, len(found), _SIGNATURES_A_STEP):
            self._progress("readings", start, len(found))
            part = found[start : start + _SIGNATURES_A_STEP]
            signed = [(node.public_key, one.reading.sign1.to_be_signed, one.reading.sign1.signature) for one in part]
            for one, good in zip(part, keys.verify_many(signed), strict=True):
                if not good:
                    raise NotVerified("signature", f"{one} is not signed by its node")
                if one.reading.pack.base_name != name:
                    raise NotVerified("signature", f"{one} calls itself {one.reading.pack.base_name!r}, not {name!r}")
                # A reading may wait in the log for its node's enrolment, but not stand behind its revocation.
                if node.revoked_index is not None and node.revoked_index < one.batch.fact.index:
                    raise NotVerified("enrolment", f"{one} was logged after its node was revoked")

    def _place(
        self, node: EnrolledKey, one: Shown, after: VerifiedReading | None, declared: Declared
    ) -> VerifiedReading:
        """Steps 6 and 7 for one reading that follows `after`."""
        chain, fact = one.reading.chain, one.batch.fact
        missing = NOTHING if after is None else missing_between(after.reading, one.reading, declared)
        if missing is None:
            raise NotVerified("chain", f"{one} does not follow the reading before it")
        anchor = self._anchor(one)
        last_anchor = anchor or (after.last_anchor if after else None)
        when = interval(chain.boot, chain.uptime_ms, last_anchor, fact.witnessed.quorum_ms, one.entry.received_ms)
        self.reach(one.batch.stem, ".entries", ".range", ".checkpoint", ".tlog-proof")
        return VerifiedReading(
            node, one.reading, anchor, last_anchor, when, missing, one.batch.gateway, one.index, fact.index
        )

    def _anchor(self, one: Shown) -> AnchorTime | None:
        """The reading's own anchor in time; its checkpoint must be in the bundle, even where no time comes from it."""
        chain = one.reading.chain
        if chain.anchor is None:
            return None
        size, hash16, uptime_ms = chain.anchor
        name = bundle.anchor_name(size)
        witnessed = self.checkpoint(name, self.member(name, "anchor"))
        if witnessed.checkpoint.size != size or checkpoint.anchor_hash(witnessed.text) != hash16:
            raise NotVerified("anchor", f"{name} is not the checkpoint that {one} signed")
        self.reach(name, "")
        return None if witnessed.earliest_ms is None else AnchorTime(chain.boot, uptime_ms, witnessed.earliest_ms)


def _check_times(one: VerifiedReading) -> None:
    when, node = one.interval, one.node
    if not when.consistent:
        raise NotVerified("time", f"{one} cites an anchor that is younger than the proof that it existed")
    if node.not_after_ms is not None and when.earliest_ms is not None and when.earliest_ms > node.not_after_ms:
        raise NotVerified("enrolment", f"{one} was made after its node's enrolment ended")
    if node.not_before_ms is not None and when.latest_ms is not None and when.latest_ms < node.not_before_ms:
        raise NotVerified("enrolment", f"{one} was made before its node's enrolment began")
