"""What the ledger refuses, and what it cannot go on with.

LedgerError
    StoreError          the database or a blob is not what it must be; fatal, somebody must look (`cloud fsck`)
    PublishError        no witnessed checkpoint this round; the next round tries again
        RolledBack      a witness knows more than this database: it was restored from a backup; never publish from it
    Refusal             an answer to a request: `status` is its HTTP status, nothing was stored
        Malformed       400  the structure is wrong
        Unauthorized    401  no token, or not this one's
        Forbidden       403  signature, role or authority is wrong
        NotFound        404
        Conflict        409  contradicts what is already in the log
            KnownSize   409  the gateway's size is not ours; `known_size` is the body
        EpochClosed     410  frozen, or a later epoch was opened
        TooLarge        413
        Unsupported     415  content type or encoding
        Unfitting       422  entries and signed root do not belong together
"""


class LedgerError(Exception):
    """Any refusal of this package."""


class StoreError(LedgerError):
    """The database or a blob is not what it must be."""


class PublishError(LedgerError):
    """No checkpoint could be published this round."""


class RolledBack(PublishError):
    """A witness has cosigned a larger tree than this database holds."""


class Refusal(LedgerError):
    """A request that is not done; nothing of it was stored."""

    status = 400
    title = "Refused"

    @property
    def members(self) -> dict[str, str]:
        """What its problem+json answer says beside title, status and detail."""
        return {}


class Malformed(Refusal):
    status = 400
    title = "Malformed"


class Unauthorized(Refusal):
    status = 401
    title = "Unauthorized"


class Forbidden(Refusal):
    status = 403
    title = "Forbidden"


class NotFound(Refusal):
    status = 404
    title = "Not found"


class Conflict(Refusal):
    status = 409
    title = "Conflict"


class KnownSize(Conflict):
    """The ledger knows another size of this gateway's tree."""

    def __init__(self, known_size: int) -> None:
        super().__init__(f"the known size is {known_size}")
        self.known_size = known_size


class EpochClosed(Refusal):
    status = 410
    title = "Epoch closed"


class TooSlow(Refusal):
    status = 408
    title = "Request timeout"


class TooLarge(Refusal):
    status = 413
    title = "Too large"


class Unsupported(Refusal):
    status = 415
    title = "Unsupported media type"


class Unfitting(Refusal):
    status = 422
    title = "Entries and root do not fit"
