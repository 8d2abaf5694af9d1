"""At start: what is enrolled, what is durable and what may still become valid, all read back from the log.

1. Downlink: enrolments and revocations, judged against trust.toml.
2. Proof: as far as the rows give the roots that were signed over them they are what they were. Behind that (the last
   rows before the crash, or a card that flips bits) each reading's own signature is checked before it counts.
3. Rows in order: readings into memory, by the same function that takes them in after a commit.
4. Repair: a bad row never refuses the start. What the ledger holds is left alone; any other bad row is set aside, and a
   note takes its leaf.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Any

import cbor2

from tallystick_edge.entries import EntryMaker
from tallystick_edge.errors import LogFull
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known
from tallystick_edge.log import Log
from tallystick_proof import checkpoint, entry, note
from tallystick_proof.errors import ProofError
from tallystick_proof.keys import verify_signature
from tallystick_proof.merkle import Frontier, leaf_hash
from tallystick_wire import cose, reading
from tallystick_wire.errors import WireError
from tallystick_wire.reading import Chain

PROGRESS_ROWS = 100_000  # a long start says that it lives
_GAP_NAME = b"\x62gf"  # how the name of a gap record stands in a reading
LAST_BOOT = entry.MAX_GATEWAY_BOOT - 1  # a damaged row must not use up the number of the next boot


@dataclass(frozen=True, slots=True)
class StoredReading:
    """The few facts of a stored reading that memory needs. `data` is bare."""

    kid: bytes
    chain: Chain
    identity: bytes
    received_ms: int | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the start found. `boot` is the highest gateway boot in the log; `verified_rows` were unknown before."""

    boot: int
    rows: int
    bad_rows: tuple[int, ...]
    verified_rows: tuple[int, ...]


def recover(log: Log, known: Known, journal: Journal) -> Recovered:
    """Fill `known` from the log, and keep which rows turned out to be verified."""
    found = survey(log, known, journal)
    try:
        log.verified(found.verified_rows)
    except LogFull as error:
        journal.warning("log-full", why=error, action="these rows are verified again at the next start")
    return found


def survey(
    log: Log, known: Known, journal: Journal, see: Callable[[StoredReading], None] = lambda _: None
) -> Recovered:
    """Fill `known` from the log; writes nothing. `see` is called for every reading that was verified."""
    take_downlink(log, known, journal)
    doubtful = first_doubtful_row(log)
    unknown, verified, bad = log.unknown_rows(), [], []
    boot = count = 0
    for row, data in log.rows():
        count += 1
        try:
            entry_boot, stored = read_row(data)
            if stored is not None and learn(known, row, stored, row >= doubtful, row in unknown):
                see(stored)
                verified += [row] if row in unknown else []
        except (ValueError, WireError):
            bad.append(row)
            continue
        boot = max(boot, entry_boot)
        if count % PROGRESS_ROWS == 0:
            journal.info("recovering", rows=count)
    return Recovered(boot, count, tuple(bad), tuple(verified))


def first_doubtful_row(log: Log) -> int:
    """Up to here the rows give the roots that were signed over them."""
    proven = 0
    for epoch in log.epochs():
        frontier, rows = Frontier(), log.rows(epoch.first_row)
        for size, signed in log.checkpoints(epoch.number):
            for _, data in islice(rows, size - frontier.size):
                frontier.append(leaf_hash(data))
            if frontier.size != size or frontier.root() != _signed_root(signed):
                return proven
            proven = epoch.first_row + size
    return proven


def _signed_root(signed: bytes) -> bytes | None:
    try:
        return checkpoint.parse(note.parse(signed).text).root
    except ProofError:
        return None  # the note itself is damaged: it proves nothing


def take_downlink(log: Log, known: Known, journal: Journal) -> None:
    """Apply the statements that came from the ledger since the last call."""
    for statement, received_ms in log.downlink(known.statements):
        if problem := known.add_statement(statement, received_ms):
            journal.warning("statement-refused", number=known.statements - 1, why=problem)


def learn(known: Known, row: int, stored: StoredReading, doubtful: bool, unknown: bool) -> bool:
    """Take a stored reading into memory, as verified (True) or as one that nobody vouches for.

    ValueError when a reading that was verified before it was stored is `doubtful` and its signature does not hold.
    """
    key = known.node(stored.kid)
    if key is not None and (not (doubtful or unknown) or _is_genuine(key.public_key, stored)):
        state = known.state(stored.kid)
        # Only the first reading of a boot has a boot record, and few declare a gap: the rest is not parsed whole, which
        # is most of the time.
        whole = stored.chain.boot != state.boot or _GAP_NAME in stored.data
        parsed = reading.parse(stored.data) if whole else None
        record, gap = (None, None) if parsed is None else (parsed.boot_record, parsed.gap)
        state.learn(stored.chain, stored.identity, record, gap)
        state.received_ms = stored.received_ms or state.received_ms
        return True
    if key is not None and not unknown:
        raise ValueError("a reading whose signature does not hold any more")
    known.learn_unknown(stored.kid, stored.identity, row)
    return False


def _is_genuine(public_key: bytes, stored: StoredReading) -> bool:
    sign1 = reading.parse(stored.data).sign1
    return verify_signature(public_key, sign1.to_be_signed, sign1.signature)


def read_row(data: bytes) -> tuple[int, StoredReading | None]:
    """(gateway boot, the reading or None) of a row; ValueError when it is no entry. cbor2 for speed."""
    try:
        kind, (boot, _), received_ms, _, _, body = _decode(data)
        _check(_is_number(boot, LAST_BOOT) and (received_ms is None or _is_number(received_ms, entry.MAX_MS)))
        if kind != entry.READING:
            return boot, None
        protected, _, _, _ = _decode(body).value
        header = _decode(protected)
        number, seq, uptime_ms, previous, anchor = header[reading.LABEL_CHAIN]
        _check(_is_number(number, reading.MAX_BOOT) and _is_number(seq, reading.MAX_SEQ))
        _check(anchor is None or (len(anchor) == 3 and _is_number(anchor[0], reading.MAX_UPTIME_MS)))
        kid = header[cose.LABEL_KID]
        _check(isinstance(kid, bytes) and len(kid) == reading.KID_BYTES)
        chain = Chain(number, seq, uptime_ms, previous, None if anchor is None else tuple(anchor))
        return boot, StoredReading(kid, chain, hashlib.sha256(body).digest(), received_ms, body)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"not an entry: {error}") from None


def _is_number(value: object, highest: int) -> bool:
    return type(value) is int and 0 <= value <= highest


def _check(good: bool) -> None:
    if not good:
        raise ValueError("a field has another type or is too large")


def _decode(data: bytes) -> Any:
    """One item that fills `data`; ValueError otherwise. Foreign errors are translated here only."""
    stream = BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not CBOR: {error}") from None
    if stream.read(1):
        raise ValueError("bytes after the end")
    return value


def repair(log: Log, recovered: Recovered, journal: Journal, maker: EntryMaker) -> None:
    """Set aside bad rows that the ledger has not; each one's leaf becomes a note.

    Where a signed checkpoint covered such a row its root no longer fits. The ledger finds that out and refuses, and
    sync opens the next epoch, which begins with the first row that the ledger has not.
    """
    epoch = log.epoch
    for row in recovered.bad_rows:
        if row < epoch.first_row + epoch.confirmed_size:
            journal.error("bad-row", row=row, action="left as it is: the ledger has it")
            continue
        try:
            log.quarantine(row, maker.note(entry.NOTE_GAP, {"why": "unreadable row", "row": row}))
            journal.error("bad-row", row=row, action="set aside")
        except LogFull as error:
            journal.error("bad-row", row=row, action="stays until the next start", why=error)
