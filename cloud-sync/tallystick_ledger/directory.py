"""The keys of this ledger, rebuilt from its own entries and kept up with them.

The directory may run ahead of the tree: it takes committed entries that are still pending too. Their indexes are
already certain, because the sequencer gives indexes in the order of commit.
"""

import threading

from tallystick_proof import entry, statement
from tallystick_proof.enrolment import Directory, EnrolledKey
from tallystick_proof.errors import EnrolmentError
from tallystick_proof.keys import KID_BYTES, thumbprint
from tallystick_proof.trust import Trust

from tallystick_ledger.db import Database

PAGE = 1000  # entries held in memory at a time while catching up
_CHANGES_KEYS = ("enrolment", "revocation")


class Keys:
    """Who is enrolled. Safe to read from any thread; `follow` before asking, when a new entry must count."""

    def __init__(self, db: Database, trust: Trust) -> None:
        self._db = db
        self._directory = Directory(trust)
        self._lock = threading.Lock()
        self._last_id = 0
        self._count = 0
        self._enrolled: dict[bytes, bytes] = {}
        self.follow()

    def follow(self) -> None:
        """Take every committed entry that is new. Never inside a transaction: that one could still be undone."""
        with self._lock:
            while page := self._page():
                for entry_id, kind, data in page:
                    if kind == entry.STATEMENT:
                        self._take(statement.parse(data), self._count)
                    self._last_id, self._count = entry_id, self._count + 1

    def by_kid(self, kid: bytes) -> EnrolledKey | None:
        return self._directory.by_kid(kid) if len(kid) == KID_BYTES else None

    def by_thumbprint(self, key_thumbprint: bytes) -> EnrolledKey | None:
        return self._directory.key(key_thumbprint)

    def enrolled_by(self, identity: bytes) -> EnrolledKey | None:
        """The key that this enrolment statement enrolled; None when the log order refused it."""
        key_thumbprint = self._enrolled.get(identity)
        return self._directory.key(key_thumbprint) if key_thumbprint else None

    def everyone(self) -> list[EnrolledKey]:
        """All keys in the order in which they were enrolled."""
        found = (self._directory.key(key_thumbprint) for key_thumbprint in list(self._enrolled.values()))
        return [key for key in found if key is not None]

    def _page(self) -> list[tuple[int, int, bytes]]:
        with self._db.read() as tx:
            rows = tx.execute("SELECT id, kind, data FROM entry WHERE id > ? ORDER BY id LIMIT ?", [self._last_id, PAGE])
        return [(entry_id, kind, data) for entry_id, kind, data in rows]

    def _take(self, parsed: statement.Statement, index: int) -> None:
        if parsed.kind not in _CHANGES_KEYS:
            return
        try:
            self._directory.add(parsed, index)
        except EnrolmentError:
            return  # two doors let two rivals in at once; the order decides, for every reader of the log alike
        if parsed.kind == "enrolment":
            self._enrolled[parsed.identity] = thumbprint(parsed.body["key"])
