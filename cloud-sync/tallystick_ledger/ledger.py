"""What every part of a running ledger is handed: its stores, its keys, what it trusts, and its clock."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Database
from tallystick_ledger.directory import Keys
from tallystick_proof.trust import Trust


@dataclass(frozen=True, slots=True)
class Ledger:
    """One ledger. `now_ms` is wall time; it decides about expiry only, never about order."""

    db: Database
    blobs: Blobs
    trust: Trust
    now_ms: Callable[[], int]
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", Keys(self.db, self.trust, self.now_ms))

    @property
    def origin(self) -> str:
        return self.trust.origin
