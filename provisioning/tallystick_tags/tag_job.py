"""The job database: which item gets which tag. SQLite, so that a dead battery costs nothing that was committed.

An item is bound to a UID before the first byte goes to that tag (`begin`), and is written when the tag has been read
back (`end`). What happened to a tag in between is the tag journal's to know, not this file's.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import sqlite_utils

from tallystick_chips.tag_order import CHIPS, MAX_KEY_VERSION, MIN_KEY_VERSION, Chip, TagOrder, TagOutcome
from tallystick_provisioning.errors import FileError
from tallystick_provisioning.item import Item
from tallystick_provisioning.secret_file import sync_folder
from tallystick_tags.errors import JobError
from tallystick_tags.tag_rows import Planned

FORMAT = 1
MAX_KEY_SET_CHARACTERS = 32  # a name like "2026-07 shrimp"
WAITING, WRITING, WRITTEN, LOCKED = "waiting", "writing", "written", "locked"


@dataclass(frozen=True, slots=True)
class JobHead:
    """What holds for the whole job."""

    id: str
    chip: Chip
    host: str
    key_set: str
    key_version: int
    will_lock: bool
    created_ms: int


@dataclass(frozen=True, slots=True)
class JobItem:
    """One row of the job and how far it is."""

    row: int
    item: Item
    name: str
    chip: Chip
    state: str
    uid: bytes | None
    epoch: int | None
    written_ms: int | None
    checked_ms: int | None
    salt: bytes | None
    statement: bytes | None
    sent_ms: int | None


def create(path: Path, head: JobHead, planned: Sequence[Planned]) -> None:
    """Make a job file with all its items, or none; JobError when something is there already."""
    check_head(head)
    check_new(path)
    made = path.with_name(f".{path.name}.part")  # until it is whole: a crash leaves no job that cannot be opened
    try:
        made.unlink(missing_ok=True)
        made.touch(mode=0o600)  # UIDs and salts: who has them can tell which tag is which in the ledger
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    with _foreign(path):
        database = _database(made)
        try:
            with database.atomic():
                for statement in _schema():
                    database.conn.execute(statement)
                database.table("job").insert({**_fields(head), "format": FORMAT})
                database.table("item").insert_all(
                    {"row": one.row, "gtin": one.item.gtin, "serial": one.item.serial, "name": one.name,
                     "chip": one.chip or head.chip}
                    for one in planned
                )
        except BaseException:
            database.close()
            made.unlink(missing_ok=True)
            raise
        database.close()
    made.rename(path)
    sync_folder(path.parent)


class Job:
    """An open job file. Every method that changes something is durable when it returns."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileError(f"{path}: no such job; `tallystick tag job new` makes one")
        self.path = path
        with _foreign(path):
            self._database = _database(path)
            heads = list(self._database.table("job").rows) if "item" in self._database.table_names() else []
        if len(heads) != 1 or heads[0]["format"] != FORMAT:
            raise FileError(f"{path}: no job of this program")
        head = heads[0]
        del head["format"]
        self.head = JobHead(**{**head, "will_lock": bool(head["will_lock"])})

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """Until it ends, everything is read as it is now, whatever another program writes meanwhile; be quick."""
        with _foreign(self.path):
            self._database.conn.execute("BEGIN")
            self._database.conn.execute("SELECT count(*) FROM job").fetchone()
            try:
                yield
            finally:
                self._database.conn.rollback()

    def items(self, *states: str) -> list[JobItem]:
        """The items in these states, or all, in the order of their rows."""
        where = f"state IN ({', '.join('?' * len(states))})" if states else None
        return [_item(row) for row in self._database.table("item").rows_where(where, states, order_by="row")]

    def counts(self) -> dict[str, int]:
        """state -> how many."""
        found = dict(self._database.conn.execute("SELECT state, count(*) FROM item GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in (WAITING, WRITING, WRITTEN, LOCKED)}

    def of_uid(self, uid: bytes) -> JobItem | None:
        return self._one("uid = ?", uid.hex())

    def of_item(self, item: Item) -> JobItem | None:
        return self._one("gtin = ? AND serial = ?", item.gtin, item.serial)

    def of_row(self, row: int) -> JobItem:
        found = self._one("row = ?", row)
        if found is None:
            raise JobError(f"{self.path}: has no row {row}")
        return found

    def next_waiting(self, chip: Chip | None = None) -> JobItem | None:
        """The first row that has no tag yet, of any chip or of this one."""
        return self._one("state = 'waiting'") if chip is None else self._one("state = 'waiting' AND chip = ?", chip)

    def is_abandoned(self, uid: bytes) -> bool:
        return bool(self._database.table("abandoned").count_where("uid = ?", [uid.hex()]))

    def rejects(self) -> list[tuple[str, int]]:
        """(code, how many), the most frequent first."""
        sql = "SELECT code, count(*) AS n FROM reject GROUP BY code ORDER BY n DESC, code"
        return [(str(code), int(count)) for code, count in self._database.conn.execute(sql)]

    def refused(self) -> list[dict[str, Any]]:
        """Every tag that was refused or left unfinished: row, reason and next action."""
        return list(self._database.query("SELECT * FROM reject ORDER BY id"))

    def seconds_per_tag(self) -> float | None:
        """What a tag took from finding it to reading it back, on average."""
        sql = (
            "SELECT avg(ended_ms - began_ms) / 1000.0 AS s FROM attempt "
            "WHERE what = 'write' AND state = 'written' AND ended_ms >= began_ms"  # no clock was set back meanwhile
        )
        found = next(iter(self._database.query(sql)))["s"]
        return None if found is None else float(found)

    def attempts(self) -> list[dict[str, Any]]:
        return list(self._database.table("attempt").rows_where(order_by="id"))

    def queued(self) -> int:
        """Statements that the ledger does not have yet."""
        return int(self._database.table("item").count_where("statement IS NOT NULL AND sent_ms IS NULL"))

    def delivered(self) -> int:
        """Statements that the ledger has."""
        return int(self._database.table("item").count_where("sent_ms IS NOT NULL"))

    def scanned(self) -> list[bytes]:
        return [bytes.fromhex(row["uid"]) for row in self._database.table("scanned").rows_where(order_by="at_ms, uid")]

    def order(self, item: JobItem) -> TagOrder:
        return TagOrder(item.chip, self.head.host, item.item)

    # --- changing

    def begin(self, row: int | None, uid: bytes | None, what: str, now_ms: int) -> int:
        """A tag is about to be worked on; with `row`, that item is its own from here on. The attempt's number."""
        with self._atomic():
            if row is not None and uid is not None and what == "write":
                self._database.table("item").update(row, {"state": WRITING, "uid": uid.hex()})
            attempt = {"row": row, "uid": None if uid is None else uid.hex(), "what": what, "began_ms": now_ms}
            return int(str(self._database.table("attempt").insert(attempt).last_pk))

    def move(self, attempt: int, item: JobItem, other: JobItem) -> None:
        """The tag of an attempt turned out to be one for another row: nothing was written, that row takes it."""
        uid = None if item.uid is None else item.uid.hex()
        with self._atomic():
            self._database.table("item").update(item.row, free())
            self._database.table("item").update(other.row, {"state": WRITING, "uid": uid})
            self._database.table("attempt").update(attempt, {"row": other.row})

    def end(self, attempt: int, outcome: TagOutcome, now_ms: int, changes: Mapping[str, object] | None = None) -> None:
        """How an attempt ended, and in the same transaction what that means for its item."""
        row = self._database.table("attempt").get(attempt)["row"]
        uid = None if outcome.uid is None else outcome.uid.hex()
        with self._atomic():
            said = {"state": outcome.state, "code": outcome.code, "reason": outcome.reason}
            ended = {**said, "next_action": outcome.next_action, "ended_ms": now_ms}
            self._database.table("attempt").update(attempt, ended if uid is None else {**ended, "uid": uid})
            if changes and row is not None:
                self._database.table("item").update(row, dict(changes))

    def change(self, row: int, **changes: object) -> None:
        """Set columns of one item."""
        with self._atomic():
            self._database.table("item").update(row, changes)

    def unfinished(self, row: int) -> bytes:
        """The UID of the tag to which an unfinished row is bound; JobError when it is bound to none."""
        found = self.of_row(row)
        if found.state != WRITING or found.uid is None:
            raise JobError(f"row {row} is {found.state}: only an unfinished row can be given free")
        return found.uid

    def abandon(self, row: int, now_ms: int) -> bytes:
        """Give an unfinished item free again; its tag will never carry an item of this job. The tag's UID."""
        uid = self.unfinished(row)
        with self._atomic():
            self.give_up(uid, row, now_ms)
            self._database.table("item").update(row, free())
        return uid

    def give_up(self, uid: bytes, row: int, now_ms: int) -> None:
        """This tag will never carry an item of this job again."""
        with self._atomic():
            gone = {"uid": uid.hex(), "row": row, "at_ms": now_ms}
            self._database.table("abandoned").insert(gone, ignore=True)

    def sent(self, identities: Sequence[str], now_ms: int) -> None:
        """The ledger holds the statements with these identities. One transaction, however many."""
        if identities:
            with self._atomic():
                sql = "UPDATE item SET sent_ms = ? WHERE identity = ?"
                self._database.conn.executemany(sql, [(now_ms, identity) for identity in identities])

    def scan(self, uid: bytes, now_ms: int) -> None:
        """Remember a UID for a sealed job; twice is once."""
        with self._atomic():
            self._database.table("scanned").insert({"uid": uid.hex(), "at_ms": now_ms}, ignore=True)

    def _one(self, where: str, *arguments: object) -> JobItem | None:
        rows = self._database.table("item").rows_where(where, arguments, order_by="row", limit=1)
        return next((_item(row) for row in rows), None)

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        with _foreign(self.path), self._database.atomic():
            yield


def free() -> dict[str, object]:
    """Changes for an item that has no tag any more: another one may have it, and will be stated anew."""
    nothing = ("uid", "epoch", "written_ms", "checked_ms", "salt", "statement", "identity", "sent_ms")
    return {"state": WAITING, **dict.fromkeys(nothing)}


def check_new(path: Path) -> None:
    """JobError where a job is to be made and something is there."""
    if path.exists() or path.is_symlink():
        raise JobError(f"{path}: exists already; a job is never overwritten")


def check_head(head: JobHead) -> None:
    """JobError names what of a new job cannot be."""
    if head.chip not in CHIPS:
        raise JobError(f"chip: must be one of {', '.join(CHIPS)}")
    if not MIN_KEY_VERSION <= head.key_version <= MAX_KEY_VERSION:
        raise JobError(f"key version: must be {MIN_KEY_VERSION} to {MAX_KEY_VERSION}")
    if not 0 < len(head.key_set) <= MAX_KEY_SET_CHARACTERS or not head.key_set.isprintable():
        raise JobError(f"key set: must be 1 to {MAX_KEY_SET_CHARACTERS} characters")


def _database(path: Path) -> sqlite_utils.Database:
    database = sqlite_utils.Database(path, execute_plugins=False)
    # Said, not left to how an SQLite was built: a commit is on the disk when it returns.
    database.conn.execute("PRAGMA synchronous = FULL")
    database.conn.execute("PRAGMA foreign_keys = ON")
    return database


def _schema() -> list[str]:
    text = resources.files("tallystick_tags").joinpath("tag_job.sql").read_text("utf-8")
    lines = [line.partition("--")[0] for line in text.splitlines()]
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]


def _fields(head: JobHead) -> dict[str, object]:
    return {name: getattr(head, name) for name in JobHead.__slots__} | {"will_lock": int(head.will_lock)}


def _item(row: Mapping[str, Any]) -> JobItem:
    fields = {name: row[name] for name in JobItem.__slots__ if name != "item"}
    for name in ("uid", "salt"):
        fields[name] = None if row[name] is None else bytes.fromhex(row[name])
    return JobItem(item=Item(row["gtin"], row["serial"]), **fields)


@contextmanager
def _foreign(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        raise FileError(f"{path}: {error}") from None
