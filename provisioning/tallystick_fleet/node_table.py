"""The site's list of nodes: which board is which node, where it hangs, how far it came. SQLite through sqlite-utils.

It is the installer's own note, not evidence: what is proved stands in enrolments. Names, places and the salts of their
commitments are in here and nowhere else.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlite_utils
from sqlite_utils.db import NotFoundError

from tallystick_fleet.errors import PlanError
from tallystick_fleet.node_plan import MAX_NAME_CHARACTERS, PlannedNode
from tallystick_fleet.provision_node import DONE, NodeReport
from tallystick_provisioning.errors import FileError

DEFAULT_TABLE = Path("nodes.db")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS node(
    serial TEXT PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '',
    place TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    thumbprint TEXT NOT NULL DEFAULT '',
    firmware TEXT NOT NULL DEFAULT '',
    certificate TEXT NOT NULL DEFAULT '',
    due_ms INTEGER,
    salt TEXT NOT NULL,
    step TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    enrolment TEXT NOT NULL DEFAULT '',
    firmware_version INTEGER NOT NULL DEFAULT 0,
    config_version INTEGER NOT NULL DEFAULT 0,
    changed_ms INTEGER NOT NULL,
    seen_ms INTEGER
)
"""


def existing(table: Path, otherwise: str = "") -> Path:
    """`table`; FileError when nobody made a list of nodes there. `otherwise`: what else a person can do."""
    if not table.is_file():
        raise FileError(f"{table}: no list of nodes; `tallystick node provision` makes one{otherwise}")
    return table


@dataclass(frozen=True, slots=True)
class KnownNode:
    """One row."""

    serial: str
    name: str
    place: str
    model: str
    thumbprint: str
    firmware: str
    certificate: str
    due_ms: int | None
    salt: str
    step: str
    reason: str
    enrolment: str
    firmware_version: int  # of the last signed offer that it took, 0 for none
    config_version: int
    changed_ms: int
    seen_ms: int | None = None  # when it was last asked what it runs: `firmware` and the versions are of then

    @property
    def kid(self) -> str:
        return self.thumbprint[:16]

    @property
    def called(self) -> tuple[str, ...]:
        """What a person or a scanner may call it."""
        return (self.serial, self.kid, self.thumbprint, self.name)

    @property
    def works(self) -> bool:
        return self.step == DONE

    def value(self) -> dict[str, Any]:
        """For --json; without the salt, which would open the commitment."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "salt"}
        return {"serial": self.serial, "kid": self.kid, **fields}


class NodeTable:
    """An open table. Every change is durable when its method returns; threads take turns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._foreign():
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            connection.execute("PRAGMA synchronous = FULL")
            self._database = sqlite_utils.Database(connection, execute_plugins=False)
            self._database.conn.execute(_SCHEMA)
            if "seen_ms" not in self._database.table("node").columns_dict:  # a list of before
                self._database.conn.execute("ALTER TABLE node ADD COLUMN seen_ms INTEGER")
        path.chmod(0o600)  # the salts

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "NodeTable":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def nodes(self) -> list[KnownNode]:
        with self._foreign():
            return [KnownNode(**row) for row in self._database.table("node").rows_where(order_by="name, serial")]

    def enrolment_of(self, thumbprint: bytes) -> bytes | None:
        """The identity of the enrolment of a key, as it was written down; None when it was not."""
        rows = [node for node in self.nodes() if node.enrolment and node.thumbprint == thumbprint.hex()]
        return bytes.fromhex(rows[0].enrolment) if rows else None

    def find(self, word: str) -> KnownNode:
        """The node with this serial number, kid, thumbprint or name; PlanError when none or several have it."""
        found = [node for node in self.nodes() if word and word in node.called]
        if len(found) != 1:
            raise PlanError(f"{self.path}: {len(found) or 'no'} nodes are called {word!r}; `node list` shows all")
        return found[0]

    def expect(self, planned: PlannedNode, model: str, salt: bytes, now_ms: int) -> KnownNode:
        """The row of a board that is about to be provisioned.

        A known one keeps its salt, so its commitment stays, and whatever the plan says nothing of.
        """
        told = {
            "name": planned.name,
            "place": planned.place,
            "model": model,
            "certificate": (planned.certificate or b"").hex(),
            "due_ms": planned.due_ms,
        }
        with self._foreign():
            table = self._database.table("node")
            if table.count_where("serial = ?", [planned.serial]):
                said = {name: value for name, value in told.items() if value}
                table.update(planned.serial, {**said, "changed_ms": now_ms})
            else:
                told["name"] = planned.name or planned.serial
                table.insert({"serial": planned.serial, "salt": salt.hex(), **told, "changed_ms": now_ms})
        return self.find(planned.serial)

    def rename(self, serial: str, now: str) -> None:
        """The board shows another number now; where the list knows that one already, its row is the one that counts."""
        with self._foreign(), self._database.conn:
            known = self._database.table("node").count_where("serial = ?", [now])
            change = "DELETE FROM node" if known else "UPDATE node SET serial = :new, name = replace(name, :old, :new)"
            self._database.conn.execute(change + " WHERE serial = :old", {"old": serial, "new": now})

    def came(self, report: NodeReport, now_ms: int) -> None:
        """How far it came."""
        told: dict[str, object] = {"step": report.step, "reason": report.reason, "changed_ms": now_ms}
        if report.public_key and self.find(report.serial).thumbprint != report.thumbprint.hex():
            # Another key: what was known of the one before is not true of it.
            told |= {"thumbprint": report.thumbprint.hex(), "enrolment": "", "firmware_version": 0, "config_version": 0}
        told |= {"firmware": report.firmware.hex(), "seen_ms": now_ms} if report.firmware else {}
        told |= {"enrolment": report.enrolment.hex()} if report.enrolment else {}
        self.change(report.serial, told)

    def place(self, serial: str, place: str, now_ms: int) -> None:
        """Where the node hangs now; PlanError for a name that is too long."""
        if not 0 < len(place) <= MAX_NAME_CHARACTERS or not place.isprintable():
            raise PlanError(f"place: must be 1 to {MAX_NAME_CHARACTERS} printable characters")
        self.change(serial, {"place": place, "changed_ms": now_ms})

    def took(self, serial: str, kind: str, version: int, now_ms: int) -> None:
        """A node runs this version of its `kind`, firmware or config."""
        self.change(serial, {f"{kind}_version": version, "changed_ms": now_ms})

    def seen(self, serial: str, firmware: str, now_ms: int) -> None:
        """A node said which firmware it runs (a hash in hex)."""
        self.change(serial, {"firmware": firmware, "seen_ms": now_ms})

    def change(self, serial: str, fields: Mapping[str, object]) -> None:
        with self._foreign():
            self._database.table("node").update(serial, dict(fields))

    @contextmanager
    def _foreign(self) -> Iterator[None]:
        """SQLite's errors as ours, with the file's name; one thread at a time."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise FileError(f"{self.path}: {error}") from None
            except NotFoundError:
                raise PlanError(f"{self.path}: a row was taken out while it was worked on") from None
