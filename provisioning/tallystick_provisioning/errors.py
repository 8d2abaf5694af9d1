"""What can go wrong while identities are given. Commands print the message and exit.

ProvisioningError           exit 2: it could not run
    UsageError              options that do not go together, or a value outside its limits
    FileError               a file that cannot be read, is not text, or is in use
    AddressError            no http or https address
    RequestError            no whole answer to an HTTP request
    PortError               the serial port cannot be opened, read or written
    LedgerUnreachable       no answer from the ledger; the statement waits in the outbox
    NfcError                no answer, or none that can be used, from a reader or a tag
        ReaderLost          the reader vanished, is in use or does not answer: open it again
        TagLost             the tag left the field or lost its power
        TagTimeout          the tag was silent, and may have acted
        TwoTags             more than one tag lies on the reader
        TagAnswerError      the tag answered against its protocol, or its answer has a wrong MAC
        TagStatusError      the tag answered no: its status word or NAK
    Refused                 exit 1: somebody said no
        KeyFileError        a key file that is missing, open to others, of another role or already there
        NodeRefused         the node answered no, not at all, or with a request that does not hold
        LedgerRefused       the ledger does not take this statement
        StatementFileError  a statement written as TOML with a wrong key or value
        OfferError          a configuration or firmware for nodes that is none, or whose image is missing
        SetupError          a trust folder or trust.toml that cannot be used
        ItemError           a GTIN, serial or host that cannot stand on a tag

The packages beside this one go on with the same two branches: tallystick_chips, tallystick_tags, tallystick_fleet.
"""


class ProvisioningError(Exception):
    """Any refusal or failure of this package. The message says what to do where that is known."""


class FileError(ProvisioningError):
    """A file that cannot be read, is not text, or is in use."""


class PortError(ProvisioningError):
    """The serial port cannot be opened, read or written."""


class RequestError(ProvisioningError):
    """No answer to an HTTP request, or one that is too slow or too long. The message names the service."""


class LedgerUnreachable(ProvisioningError):
    """No usable answer from the ledger."""


class Refused(ProvisioningError):
    """Somebody said no; trying again changes nothing."""


class OfferError(Refused):
    """A configuration or firmware for nodes that is none, or whose image is missing."""


class KeyFileError(Refused):
    """A key file that is missing, open to others, of another role or already there."""


class NodeRefused(Refused):
    """The node answered no, not at all, or with a request that does not hold."""


class UsageError(ProvisioningError):
    """Options that do not go together, or a value outside its limits."""


class LedgerRefused(Refused):
    """The ledger does not take this statement. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StatementFileError(Refused):
    """A statement written as TOML with a wrong key or value."""


class SetupError(Refused):
    """A trust folder or trust.toml that cannot be used."""


class AddressError(ProvisioningError):
    """No http or https address."""


class NfcError(ProvisioningError):
    """No answer, or none that can be used, from a reader or a tag."""


class ReaderLost(NfcError):
    """The reader vanished, is in use or does not answer: open it again."""


class TagLost(NfcError):
    """The tag left the field or lost its power."""


class TagTimeout(NfcError):
    """The tag was silent, and may have acted."""


class TwoTags(NfcError):
    """More than one tag lies on the reader."""


class TagAnswerError(NfcError):
    """The tag answered against its protocol, or its answer has a wrong MAC."""


class TagStatusError(NfcError):
    """The tag answered no. `status` is the status word of a type4 tag, or the NAK of a type2 tag."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ItemError(Refused):
    """A GTIN, serial or host that cannot stand on a tag. `field` names which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.detail = message
