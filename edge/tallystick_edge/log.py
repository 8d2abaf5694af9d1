"""The gateway's log: one append-only table that is buffer, journal and Merkle log at once. See schema.sql.

One connection for the whole process behind one lock: two writers would meet SQLite's old WAL bugs and each other.
apsw's errors are translated here only.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from tallystick_edge.errors import LogDamaged, LogError, LogFull, StateError
from tallystick_proof.merkle import Frontier, leaf_hash
from tallystick_proof.sync import MAX_BATCH_BYTES, MAX_BATCH_ENTRIES

MIN_SQLITE = (3, 51, 3)  # older ones can corrupt a WAL when two connections checkpoint
WAL_PAGES = 4000  # fewer, larger WAL checkpoints: 1.5 instead of 2.2 bytes written per byte logged
PAGE_ROWS = 1000  # rows in memory at once while the log is read through
ENTRY_HEAD_BYTES = 5  # of an entry inside the batch
BATCH_HEAD_BYTES = 4096  # room in a batch for the checkpoint and the outer heads
BUSY_MS = 5000  # `gateway status` reads beside us

SCHEMA = (Path(__file__).parent / "schema.sql").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One tree: leaf index = row - first_row. `size` leaves are signed, `confirmed_size` are at the ledger."""

    number: int
    first_row: int
    size: int
    confirmed_size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one sync carries: entries old_size ... size - 1 and the checkpoint of that size."""

    epoch: int
    old_size: int
    size: int
    entries: list[bytes]
    note: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What the ledger said last."""

    note: bytes | None
    witnessed_size: int
    synced_ms: int | None


class Log:
    """An open log. Methods may be called from any thread."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> "Log":
        """The log at `path`, made when there is none; LogDamaged when SQLite cannot read it."""
        _check_sqlite()
        with _translated():
            log = cls(apsw.Connection(str(path)))
            try:
                _set_up(log._db)
                log._db.execute(SCHEMA)
                if not log._db.execute("SELECT 1 FROM epoch").fetchone():
                    log._open_epoch(1, 0)
            except BaseException:
                log.close()
                raise
        return log

    @classmethod
    def read_only(cls, path: Path) -> "Log":
        """The log at `path`, to look at while a gateway writes it."""
        with _translated():
            log = cls(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY))
            log._db.set_busy_timeout(BUSY_MS)
        return log

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- entries

    def commit(self, entries: Sequence[bytes], unknown: Sequence[int] = ()) -> int:
        """Append entries durably, one fsync for all; returns the first row. `unknown`: positions not verified.

        LogFull or LogError: none of them is in the log. Once this returns, all of them survive a power cut.
        """
        with self._transaction() as db:
            first = len(self)
            db.executemany("INSERT INTO entry VALUES (?, ?)", list(enumerate(entries, start=first)))
            if unknown:
                db.executemany("INSERT INTO unknown VALUES (?)", [(first + position,) for position in unknown])
        return first

    def __len__(self) -> int:
        """How many rows there are, in all epochs."""
        return int(self._one("SELECT coalesce(max(row) + 1, 0) FROM entry")[0])

    def rows(self, first: int = 0) -> Iterator[tuple[int, bytes]]:
        """(row, data) from `first` to the end, in order; other calls may come in between."""
        while page := self._all("SELECT row, data FROM entry WHERE row >= ? ORDER BY row LIMIT ?", first, PAGE_ROWS):
            yield from page
            first = page[-1][0] + 1

    def is_stored(self, reading: bytes) -> bool:
        """Whether an entry holds exactly these reading bytes: reads the whole log, so callers ask rarely."""
        return bool(self._all("SELECT 1 FROM entry WHERE instr(data, ?) LIMIT 1", reading))

    def unknown_rows(self) -> set[int]:
        """Rows whose reading was logged without a check of its signature."""
        return {row for (row,) in self._all("SELECT row FROM unknown")}

    def verified(self, rows: Sequence[int]) -> None:
        """The readings in these rows turned out to be of enrolled nodes."""
        if not rows:
            return
        with self._transaction() as db:
            db.executemany("DELETE FROM unknown WHERE row = ?", [(row,) for row in rows])

    def quarantine(self, row: int, replacement: bytes) -> None:
        """Put `replacement` where an unreadable row stood that the ledger has not; the old bytes are kept aside."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO quarantine SELECT row, data FROM entry WHERE row = ?", (row,))
            db.execute("UPDATE entry SET data = ? WHERE row = ?", (replacement, row))

    # -- epochs and checkpoints

    @property
    def epoch(self) -> Epoch:
        """The open epoch."""
        return self._epoch()[0]

    def _epoch(self) -> tuple[Epoch, bytes]:
        *numbers, frontier = self._one(
            "SELECT number, first_row, size, confirmed_size, frontier FROM epoch ORDER BY number DESC LIMIT 1"
        )
        return Epoch(*numbers), frontier

    def epochs(self) -> list[Epoch]:
        """All trees, the oldest first."""
        query = "SELECT number, first_row, size, confirmed_size FROM epoch ORDER BY number"
        return [Epoch(*numbers) for numbers in self._all(query)]

    def checkpoints(self, epoch: int) -> list[tuple[int, bytes]]:
        """(size, note) of everything that was signed of one tree, ascending."""
        return self._all("SELECT size, note FROM checkpoint WHERE epoch = ? ORDER BY size", epoch)

    def next_epoch(self, note: bytes) -> Epoch:
        """Open the next tree. It begins with what the ledger has not confirmed: nothing acknowledged is lost.

        `note` is an entry that says why; it becomes the last row.
        """
        with self._transaction():
            old = self.epoch
            self.commit([note])
            self._open_epoch(old.number + 1, old.first_row + old.confirmed_size)
        return self.epoch

    def _open_epoch(self, number: int, first_row: int) -> None:
        frontier = Frontier().to_bytes()
        self._db.execute("INSERT INTO epoch VALUES (?, ?, 0, ?, 0)", (number, first_row, frontier))

    def sign_checkpoints(self, sign: Callable[[int, int, bytes], bytes]) -> int:
        """Bring the tree up to the last row; returns how many checkpoints were signed.

        `sign` makes a note from (epoch, size, root). Between two checkpoints lies at most one batch.
        """
        signed = 0
        while self._sign_checkpoint(sign):
            signed += 1
        return signed

    def _sign_checkpoint(self, sign: Callable[[int, int, bytes], bytes]) -> bool:
        with self._lock:
            epoch, frontier_bytes = self._epoch()
            entries = self._next_entries(epoch.first_row + epoch.size)
            if not entries:
                return False
            frontier = Frontier.from_bytes(frontier_bytes)
            for data in entries:
                frontier.append(leaf_hash(data))
            # Only what is stored is signed. A crash before the commit below: the note was shown to nobody, and signing
            # the same tree again gives the same bytes.
            note = sign(epoch.number, frontier.size, frontier.root())
            with self._transaction() as db:
                db.execute(
                    "INSERT INTO checkpoint VALUES (?, ?, ?, ?, NULL)",
                    (epoch.number, frontier.size, note, sum(map(_weight, entries))),
                )
                db.execute(
                    "UPDATE epoch SET size = ?, frontier = ? WHERE number = ?",
                    (frontier.size, frontier.to_bytes(), epoch.number),
                )
            return True

    def _next_entries(self, first_row: int) -> list[bytes]:
        """What the next checkpoint adds: at most one batch."""
        entries: list[bytes] = []
        room = MAX_BATCH_BYTES - BATCH_HEAD_BYTES
        for data in self._between(first_row, first_row + MAX_BATCH_ENTRIES):
            room -= _weight(data)
            if room < 0:
                break
            entries.append(data)
        return entries

    def _between(self, first_row: int, end_row: int) -> list[bytes]:
        query = "SELECT data FROM entry WHERE row >= ? AND row < ? ORDER BY row"
        return [data for (data,) in self._all(query, first_row, end_row)]

    def backlog(self) -> int:
        """How many rows the ledger has not confirmed."""
        epoch = self.epoch
        return len(self) - epoch.first_row - epoch.confirmed_size

    def batch(self, known_size: int) -> Batch | None:
        """The largest batch that starts where the ledger stands, perhaps without entries.

        None when no checkpoint of ours has that size: the ledger knows another history than this log.
        """
        with self._lock:
            epoch = self.epoch
            checkpoints = self._all(
                "SELECT size, bytes FROM checkpoint WHERE epoch = ? AND size BETWEEN ? AND ? ORDER BY size",
                epoch.number,
                known_size,
                known_size + MAX_BATCH_ENTRIES,
            )
            size = _batch_end(known_size, checkpoints)
            if size is None:
                return None
            (note,) = self._one("SELECT note FROM checkpoint WHERE epoch = ? AND size = ?", epoch.number, size)
            entries = self._between(epoch.first_row + known_size, epoch.first_row + size)
            return Batch(epoch.number, known_size, size, entries, note)

    # -- what the ledger said

    def confirm(self, epoch: int, size: int, index: int | None, downlink: Sequence[bytes], head: Head) -> None:
        """Keep one answer, whole or not at all: the ledger has `size` leaves of `epoch`, and says the rest."""
        with self._transaction() as db:
            db.execute(
                "UPDATE epoch SET confirmed_size = max(confirmed_size, ?) WHERE number = ? AND size >= ?",
                (size, epoch, size),
            )
            db.execute(
                "UPDATE checkpoint SET ledger_index = coalesce(?, ledger_index) WHERE epoch = ? AND size = ?",
                (index, epoch, size),
            )
            numbered = list(enumerate(downlink, start=self.downlink_count()))
            if numbered:
                db.executemany(
                    "INSERT INTO downlink VALUES (?, ?, ?)", [(*pair, head.synced_ms) for pair in numbered]
                )
            db.execute(
                "UPDATE head SET note = coalesce(?, note), witnessed_size = ?, synced_ms = ?",
                (head.note, head.witnessed_size, head.synced_ms),
            )

    def downlink(self, first: int = 0) -> list[tuple[bytes, int | None]]:
        """(statement, when it arrived in ms or None) from number `first` on."""
        return self._all("SELECT statement, received_ms FROM downlink WHERE number >= ? ORDER BY number", first)

    def downlink_count(self) -> int:
        return int(self._one("SELECT coalesce(max(number) + 1, 0) FROM downlink")[0])

    @property
    def head(self) -> Head:
        return Head(*self._one("SELECT note, witnessed_size, synced_ms FROM head"))

    # -- the one connection

    def _all(self, query: str, *values: int | bytes) -> list[tuple[Any, ...]]:
        with self._lock, _translated():
            return self._db.execute(query, values).fetchall()

    def _one(self, query: str, *values: int | bytes) -> tuple[Any, ...]:
        rows = self._all(query, *values)
        if len(rows) != 1:
            raise LogDamaged(f"{len(rows)} rows instead of one: {query}")
        return rows[0]

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        """All or nothing, durable at the end. Inside another one it is a part of that."""
        with self._lock, _translated():
            nested = self._db.in_transaction
            if nested:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # on a full disk SQLite has rolled back by itself
                    self._db.execute("ROLLBACK")
                raise


def _batch_end(known_size: int, checkpoints: list[tuple[Any, ...]]) -> int | None:
    """How far one batch from `known_size` may go; None when that is no size of ours. (size, weight), ascending."""
    sizes = [size for size, _ in checkpoints]
    if not sizes or (known_size and sizes[0] != known_size):
        return None
    end, room = known_size, MAX_BATCH_BYTES - BATCH_HEAD_BYTES
    for size, weight in checkpoints:
        room -= weight if size > known_size else 0
        if room < 0:
            break
        end = size
    return end


def _weight(data: bytes) -> int:
    """Bytes of an entry in a batch, at most."""
    return len(data) + ENTRY_HEAD_BYTES


def _set_up(db: apsw.Connection) -> None:
    """WAL and FULL, read back: with NORMAL seven of eight simulated power cuts lost a commit."""
    db.set_busy_timeout(BUSY_MS)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    mode, level = db.execute("PRAGMA journal_mode").get, db.execute("PRAGMA synchronous").get
    if mode != "wal" or level != 2:
        raise StateError(f"{db.filename}: SQLite gives journal_mode {mode}, synchronous {level}; wal and 2 are needed")


def _check_sqlite() -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < MIN_SQLITE:
        raise StateError(f"SQLite {apsw.sqlite_lib_version()} is too old: 3.51.3 is needed")


def salvage(path: Path) -> Iterator[bytes]:
    """The entries of a damaged log that can still be read and may not be at the ledger, in order. Reads only."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        last = int(db.execute("SELECT max(row) FROM entry").get or 0)
        first = _unconfirmed_row(db)
    except apsw.Error:
        return
    for row in range(first, last + 1):
        try:
            found = db.execute("SELECT data FROM entry WHERE row = ?", (row,)).fetchone()
        except apsw.Error:
            continue
        if found:
            yield found[0]
    db.close()


def _unconfirmed_row(db: apsw.Connection) -> int:
    try:
        query = "SELECT first_row + confirmed_size FROM epoch ORDER BY number DESC LIMIT 1"
        return int(db.execute(query).get or 0)
    except apsw.Error:
        return 0  # not known: then everything may be missing there


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.FullError as error:
        raise LogFull(f"the disk is full: {error}") from None
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise LogDamaged(str(error)) from None
    except apsw.Error as error:
        raise LogError(f"{type(error).__name__}: {error}") from None
