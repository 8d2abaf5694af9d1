"""What can go wrong while identities are given. Commands print the message and exit.

ProvisioningError           exit 2: it could not run
    FileError               a file that cannot be read, is not text, or is in use
    AddressError            no http or https address
    PortError               the serial port cannot be opened, read or written
    BoardLost               a board that is gone, or does not answer as MicroPython does
        LoaderSilent        no loader answers either: there is nothing that could take MicroPython
    LedgerUnreachable       no answer from the ledger; the statement waits in the outbox
    NfcError                no answer, or none that can be used, from a reader or a tag
        ReaderLost          the reader vanished, is in use or does not answer: open it again
        TagLost             the tag left the field or lost its power
        TagTimeout          the tag was silent, and may have acted
        TwoTags             more than one tag lies on the reader
        TagAnswerError      the tag answered against its protocol, or its answer has a wrong MAC
        TagStatusError      the tag answered no: its status word or NAK
    JournalError            a tag's journal that cannot be read, written or believed
    Refused                 exit 1: somebody said no
        KeyFileError        a key file that is missing, open to others, of another role or already there
        InterpreterError    a file that is no MicroPython for a board, or not for this board
            FlashNotBlank   the board holds a program
        NodeRefused         the node answered no, not at all, or with a request that does not hold
        LedgerRefused       the ledger does not take this statement
        StatementFileError  a statement written as TOML with a wrong key or value
        OfferError          a configuration or firmware for nodes that is none, or whose image is missing
        SelfTestFailed      a node whose first readings do not hold
        PlanError           a plan of nodes or a roll-out that cannot be carried out
        SetupError          a trust folder or trust.toml that cannot be used
        SheetError          a closing sheet that is not what its statement says, or not this installer's
        TagRefused          this tag is not taken: `code` for counting, `next_action` for the person
        OrderError          a tag order that no tag can carry: check digit, serial, host, length
        SunError            what a tag's link says does not hold; each reason is a class of its own (sun.py)
"""


class ProvisioningError(Exception):
    """Any refusal or failure of this package. The message says what to do where that is known."""


class FileError(ProvisioningError):
    """A file that cannot be read, is not text, or is in use."""


class PortError(ProvisioningError):
    """The serial port cannot be opened, read or written."""


class BoardLost(ProvisioningError):
    """A board that is gone, or does not answer as MicroPython does."""


class LoaderSilent(BoardLost):
    """No loader answers, in whose hands MicroPython could be put."""


class LedgerUnreachable(ProvisioningError):
    """No usable answer from the ledger."""


class Refused(ProvisioningError):
    """Somebody said no; trying again changes nothing."""


class OfferError(Refused):
    """A configuration or firmware for nodes that is none, or whose image is missing."""


class KeyFileError(Refused):
    """A key file that is missing, open to others, of another role or already there."""


class InterpreterError(Refused):
    """A file that is no MicroPython for a board, or that this board must not get. Nothing was written."""


class FlashNotBlank(InterpreterError):
    """The board holds a program, whoever wrote it."""


class NodeRefused(Refused):
    """The node answered no, not at all, or with a request that does not hold."""


class SelfTestFailed(Refused):
    """A node whose first readings do not hold. `complaints` are all that is wrong."""

    def __init__(self, *complaints: str) -> None:
        super().__init__("; ".join(complaints))
        self.complaints = complaints


class UsageError(ProvisioningError):
    """Options that do not go together, or a value outside its limits."""


class PlanError(Refused):
    """A plan of nodes or a roll-out that cannot be carried out; the message holds every complaint, one a line."""


class LedgerRefused(Refused):
    """The ledger does not take this statement. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StatementFileError(Refused):
    """A statement written as TOML with a wrong key or value."""


class SetupError(Refused):
    """A trust folder or trust.toml that cannot be used."""


class SheetError(Refused):
    """A closing sheet that is not what its statement says, or not this installer's."""


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


class JournalError(ProvisioningError):
    """A tag's journal that cannot be read, written or believed."""


class TagRefused(Refused):
    """This tag is not taken. `code` is short and stable, `next_action` says what the person does now."""

    def __init__(self, code: str, message: str, next_action: str) -> None:
        super().__init__(message)
        self.code = code
        self.next_action = next_action


class OrderError(Refused):
    """A tag order that no tag can carry: check digit, serial, host, length."""


class SunError(Refused):
    """What a tag's link says does not hold."""


class ItemError(Refused):
    """A GTIN, serial or host that cannot stand on a tag. `field` names which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.detail = message


class TableError(Refused):
    """A table of items with wrong rows; the message holds every complaint, one a line."""


class JobError(Refused):
    """A step that the state of a job, or what was given, does not allow."""


class KeysError(Refused):
    """Tag keys that are not there, or not for this tag."""
