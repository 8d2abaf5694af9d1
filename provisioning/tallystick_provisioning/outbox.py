"""Statements on their way to the ledger: one file each, durable before anyone relies on them.

Several programs may deliver one outbox: what another has just delivered is not there any more, and that is no error.
"""

import contextlib
import os
from pathlib import Path

from tallystick_proof import keys, statement
from tallystick_proof.errors import StatementError
from tallystick_provisioning.secret_file import make_folder, sync_folder

MAX_WAITING = 10_000  # more than a year of jobs; a folder that holds more is not an outbox
_SUFFIX = ".cose"
_REFUSED_SUFFIX = ".refused"


class Outbox:
    """A folder of statements that the ledger has not confirmed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, data: bytes) -> Path:
        """Store a statement; it survives a power cut when this returns. Keeping it twice is keeping it once."""
        make_folder(self.folder)
        path = self.folder / f"{statement.parse(data).identity.hex()}{_SUFFIX}"
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A crash before this leaves a .tmp that nobody reads; after it the whole statement is there.
        temporary.replace(path)
        sync_folder(self.folder)
        return path

    def waiting(self) -> list[Path]:
        """What waits, oldest first."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}") if self.folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path.name, path))
        return [path for _, _, path in sorted(found)[:MAX_WAITING]]

    def enrolment_of(self, public_key: bytes, origin: str) -> bytes | None:
        """The identity of the enrolment of this key in that ledger that waits; None when none does."""
        for path in self.waiting():
            try:
                found = statement.parse(path.read_bytes())
            except (OSError, StatementError):  # it went just now; no statement: whoever delivers it says so
                continue
            if found.kind == keys.ENROLMENT and (found.body["key"], found.body["aud"]) == (public_key, origin):
                return found.identity
        return None

    def delivered(self, path: Path) -> None:
        """The ledger has it."""
        path.unlink(missing_ok=True)

    def refused(self, path: Path) -> None:
        """The ledger will not take it: set it aside, so that it blocks nothing and can be looked at."""
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_suffix(_REFUSED_SUFFIX))
