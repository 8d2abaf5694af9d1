"""What a proof can fail at. A function of this package raises nothing else for bytes from outside.

ProofError
    KeyFormatError      not a key of the form that is allowed, or a key that may not sign this
    MerkleError         a tree, a proof or a tile that does not fit
    NoteError           not a canonical signed note, signature line or verifier key
    CheckpointError     not a canonical checkpoint, or an origin that is none
    PolicyError         a witness policy, or a note that the policy refuses
    StatementError      not a statement of a known kind, or not signed by who must sign it
    RulesError          not the rules of a loan that can be opened
    EnrolmentError      an enrolment or revocation that the keys and the log order do not allow
    EntryError          not an entry of a gateway's or the ledger's tree
    SyncError           a sync request or answer whose structure is wrong: nothing of it is kept
        SizeMismatch        the old size is not the known size (`known_size`)
        CheckpointConflict  a signed checkpoint that contradicts a known one: the epoch is frozen
    TrustError          not a trust.toml
    ArchiveError        not the one ZIP that its members have
    NotVerified         the walk through a bundle stopped at `link`
    CannotTell          what is missing to verify at all (`what`)
"""


class ProofError(Exception):
    """Any refusal of this package. The message names the field and the limit."""


class KeyFormatError(ProofError):
    """Not a key of the form that is allowed, or a key that may not sign this."""


class MerkleError(ProofError):
    """A tree, a proof or a tile that does not fit."""


class NoteError(ProofError):
    """Not a canonical signed note, signature line or verifier key."""


class CheckpointError(ProofError):
    """Not a canonical checkpoint, or an origin that is none."""


class PolicyError(ProofError):
    """A witness policy that is not well formed, or a note that the policy refuses."""


class StatementError(ProofError):
    """Not a statement of a known kind, or not signed by who must sign it."""


class RulesError(ProofError):
    """Not the rules of a loan that can be opened."""


class EnrolmentError(ProofError):
    """An enrolment or revocation that the keys and the log order do not allow."""


class EntryError(ProofError):
    """Not an entry of a gateway's or the ledger's tree."""


class SyncError(ProofError):
    """A sync request or answer whose structure is wrong: nothing of it is kept."""


class SizeMismatch(SyncError):
    """The request starts at another size than the ledger knows."""

    def __init__(self, known_size: int) -> None:
        super().__init__(f"the known size is {known_size}")
        self.known_size = known_size


class CheckpointConflict(SyncError):
    """A checkpoint with the gateway's signature contradicts one that is known: someone signed two histories."""


class TrustError(ProofError):
    """Not a trust.toml."""


class ArchiveError(ProofError):
    """Not the one ZIP that its members have."""


class NotVerified(ProofError):
    """The walk through a bundle stopped at `link`; `detail` says at what."""

    def __init__(self, link: str, detail: str) -> None:
        super().__init__(f"{link}: {detail}")
        self.link = link
        self.detail = detail


class CannotTell(ProofError):
    """The verifier lacks `what`, so it says neither yes nor no."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
