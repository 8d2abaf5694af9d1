"""The keys of this ledger, rebuilt from its own entries and kept up with them.

The directory may run ahead of the tree: it takes committed entries that are still pending too. Their indexes are
already certain, because the sequencer gives indexes in the order of commit.
"""

import threading
from collections.abc import Callable

from tallystick_ledger import publications
from tallystick_ledger.db import Database, Tx
from tallystick_proof import keys, statement
from tallystick_proof.enrolment import Directory, EnrolledKey
from tallystick_proof.errors import EnrolmentError
from tallystick_proof.statement import Statement
from tallystick_proof.trust import Trust

PAGE = 1000  # entries held in memory at a time while catching up
CHANGES_KEYS = (keys.ENROLMENT, keys.REVOCATION)


class Keys:
    """Who is enrolled. `follow` before asking, when a new entry must count.

    Any thread may ask at any time, also inside a transaction: a lookup takes no lock. `follow` and `check` do, and
    read the database under it, so inside a transaction they would wait for each other.
    """

    def __init__(self, db: Database, trust: Trust, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms
        self._directory = Directory(trust)
        # Two locks: whoever holds the database may ask who is enrolled, while a follower waits for the database.
        self._following = threading.Lock()
        self._lock = threading.Lock()
        self._last_id = 0
        self._count = 0
        self._enrolled: dict[int, bytes] = {}
        self._revocations: dict[bytes, list[tuple[int, bytes]]] = {}
        self.follow()

    def follow(self) -> int:
        """Take every committed entry that is new; the id of the last one.

        Never inside a transaction: what that one adds could still be undone.
        """
        with self._following:
            while page := self._page():
                with self._lock:
                    for entry_id, parsed, logged_ms in page:
                        if parsed is not None:
                            self._take(parsed, self._count, logged_ms)
                        self._last_id, self._count = entry_id, self._count + 1
            return self._last_id

    def by_kid(self, kid: bytes) -> EnrolledKey | None:
        return self._directory.by_kid(kid)

    def by_thumbprint(self, thumbprint: bytes) -> EnrolledKey | None:
        return self._directory.key(thumbprint)

    def enrolled_at(self, index: int) -> EnrolledKey | None:
        """The key that the enrolment at this index enrolled; None when the log's order refused it."""
        thumbprint = self._enrolled.get(index)
        return self._directory.key(thumbprint) if thumbprint else None

    def everyone(self) -> list[EnrolledKey]:
        """All keys in the order in which they were enrolled."""
        return self._directory.keys()

    def revocations(self, thumbprint: bytes) -> list[tuple[int, bytes]]:
        """(index, statement) of every logged revocation of a key."""
        return list(self._revocations.get(thumbprint, []))

    def check(self, parsed: Statement) -> None:
        """EnrolmentError unless the statement, logged next, would be its signer's to make. Not inside a transaction."""
        with self._lock:
            if parsed.kind in CHANGES_KEYS:
                self._directory.check(parsed, self._now_ms())
            else:
                self._directory.signer(parsed, self._count)

    def _page(self) -> list[tuple[int, Statement | None, int]]:
        """(entry id, statement that changes keys | None, when it was logged)."""
        with self._db.read() as tx:
            rows = tx.execute(
                "SELECT e.id, e.data, s.kind FROM entry e LEFT JOIN statement s ON s.entry = e.id"
                " WHERE e.id > ? ORDER BY e.id LIMIT ?",
                [self._last_id, PAGE],
            )
            return [
                (entry_id, statement.parse(data), self._logged_ms(tx, self._count + at))
                if kind in CHANGES_KEYS
                else (entry_id, None, 0)
                for at, (entry_id, data, kind) in enumerate(rows)
            ]

    def _logged_ms(self, tx: Tx, index: int) -> int:
        """When an entry was logged, as witnesses saw it; now, when they did not yet."""
        published = publications.covering(tx, index)
        return self._now_ms() if published is None or published.latest_ms is None else published.latest_ms

    def _take(self, parsed: Statement, index: int, logged_ms: int) -> None:
        if parsed.kind == keys.REVOCATION:
            self._revocations.setdefault(parsed.body["thumbprint"], []).append((index, parsed.data))
        try:
            key = self._directory.add(parsed, index, logged_ms)
        except EnrolmentError:
            return  # the doors let two rivals in at once; the order decides, for every reader of the log alike
        if parsed.kind == keys.ENROLMENT and key.enrolled_index == index:
            self._enrolled[index] = key.thumbprint
