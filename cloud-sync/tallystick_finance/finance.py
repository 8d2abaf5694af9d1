"""What every part of finance is handed: the ledger, the key that signs decisions, and randomness."""

from collections.abc import Callable
from dataclasses import dataclass

from tallystick_finance import records
from tallystick_finance.errors import SignerError
from tallystick_ledger.ledger import Ledger
from tallystick_proof.keys import DECISION, Signer


@dataclass(frozen=True, slots=True)
class Finance:
    """One bank's books on one ledger. Making it brings the tables up to date."""

    ledger: Ledger
    signer: Signer
    random_bytes: Callable[[int], bytes]

    def __post_init__(self) -> None:
        if self.signer.role != DECISION:
            raise SignerError(f"decisions are signed by a decision key, this is a key of role {self.signer.role!r}")
        for name, script in records.SCHEMAS.items():
            self.ledger.db.migrate(name, script)

    def check_signer(self) -> None:
        """SignerError unless the decision key is enrolled and not revoked: an unsigned decision is refused."""
        name, key = self.signer.thumbprint.hex(), self.ledger.keys.by_thumbprint(self.signer.thumbprint)
        if key is None or key.kind != DECISION:
            raise SignerError(f"the decision key {name} is not enrolled: `tallystick trust enrol` does it")
        if key.revoked_index is not None:
            raise SignerError(f"the decision key {name} was revoked at ledger index {key.revoked_index}")
