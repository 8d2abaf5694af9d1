"""What can go wrong in a gateway. Bytes from outside never raise these: they are counted.

EdgeError
    ConfigError     gateway.toml: a key or value that is wrong, named with its line
    BrokerFilesError    a broker's folder holds something else, or a node's name is none
    StateError      the state folder cannot be used: no folder, another gateway runs on it, wrong SQLite
    LogError        the log refused a write
        LogFull     the disk is full: stop acknowledging, keep running
        LogDamaged  SQLite cannot read its own file
    SyncFailed      one sync round failed
        Unreachable no answer, or one that says "later": try again
        Rejected    the ledger does not take this gateway or its request: a person must look
"""


class EdgeError(Exception):
    """Any failure of this package."""


class ConfigError(EdgeError):
    """gateway.toml: each of `complaints` is one key or value that is wrong, named with its line."""

    def __init__(self, *complaints: str) -> None:
        more = f" (and {len(complaints) - 1} more: `tallystick gateway config check` lists them)"
        super().__init__(complaints[0] + (more if len(complaints) > 1 else ""))
        self.complaints = complaints


class BrokerFilesError(EdgeError):
    """A broker's folder holds something else, or a node's name is none."""


class StateError(EdgeError):
    """The state folder cannot be used."""


class LogError(EdgeError):
    """The log refused a write."""


class LogFull(LogError):
    """The disk is full. Nothing of the refused commit is in the log."""


class LogDamaged(LogError):
    """SQLite cannot read its own file."""


class SyncFailed(EdgeError):
    """One sync round failed; the next may succeed."""


class Unreachable(SyncFailed):
    """No answer, or one that says "later"."""


class Rejected(SyncFailed):
    """The ledger does not take this gateway or its request: a person must look."""
