"""The one SQLite database: one connection, one lock, short transactions. Signatures are never checked inside one."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from tallystick_ledger.errors import StoreError

BUSY_TIMEOUT_MS = 10_000  # another process (a second sequencer, fsck) holds the file for far less
# WAL with FULL: NORMAL loses committed transactions at a power cut.
_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
_MIGRATIONS = "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"

SCHEMA = (Path(__file__).parent / "schema.sql").read_text("utf-8")

Row = tuple[Any, ...]
Value = int | str | bytes | None


class Tx:
    """An open transaction. Valid inside the `with` block that gave it, in that thread."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one statement and return all its rows; callers bound them by LIMIT."""
        return list(self._connection.execute(sql, tuple(parameters)))

    def one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row, or None."""
        return next(iter(self.execute(sql, parameters)), None)

    def changed(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one UPDATE, INSERT or DELETE; how many rows it changed: what a compare-and-swap asks."""
        self._connection.execute(sql, tuple(parameters))
        return self._connection.changes()


class Database:
    """Threads take turns: a connection is used by one at a time, and a transaction holds it to its end."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._inside = False
        with _translated():
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            list(self._connection.execute(_PRAGMAS))
            self._connection.execute(_MIGRATIONS)
        self.migrate("ledger-1", SCHEMA)

    def migrate(self, name: str, script: str) -> None:
        """Run a schema script once: it and the record that it ran are one transaction."""
        with self.transaction() as tx:
            if tx.one("SELECT 1 FROM migration WHERE name = ?", [name]) is None:
                self._connection.execute(script)
                tx.execute("INSERT INTO migration VALUES (?)", [name])

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Write: everything in the block is durable after it, or nothing happened. StoreError on a database error."""
        with self._begin("BEGIN IMMEDIATE") as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """One consistent view. Keep it short: it holds the connection."""
        with self._begin("BEGIN") as tx:
            yield tx

    def close(self) -> None:
        with self._lock, _translated():
            self._connection.close()

    @contextmanager
    def _begin(self, begin: str) -> Iterator[Tx]:
        with self._lock, _translated():
            if self._inside:
                raise StoreError("a transaction inside a transaction: hand the open one over")
            self._connection.execute(begin)
            self._inside = True
            try:
                yield Tx(self._connection)
                self._connection.execute("COMMIT")
            finally:
                self._inside = False
                # Still open when the block or the COMMIT failed.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


@contextmanager
def _translated() -> Iterator[None]:
    """The one place where a database error becomes ours."""
    try:
        yield
    except apsw.Error as error:
        raise StoreError(f"database: {error}") from error
