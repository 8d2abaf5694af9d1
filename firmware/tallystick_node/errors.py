"""What can go wrong on a node that is not a hostile message (those are WireErrors, counted by the inbox).

NodeError
    StorageError         the flash refused a write, a rename or a listing
        DamagedFile      a file is there, but its content is not what was written
        FlashFull        there is no space for it
    StateLost            both copies of a state file are unreadable: this key cannot go on
    SensorError          the sensor gave no plausible value
    UpdateRefused        a configuration or firmware that this node does not take
    LinkError            a connection cannot be made or used: it is closed, and made anew later
"""


class NodeError(Exception):
    """Base of all errors of this package."""


class StorageError(NodeError):
    """The flash refused; what was there before is still there."""


class DamagedFile(StorageError):
    """A file whose checksum does not fit. Whoever reads it decides what is set aside with it."""


class FlashFull(StorageError):
    """There is no space; something must go first."""


class StateLost(NodeError):
    """Both copies of a state file are unreadable, so nobody knows which numbers the key has signed."""


class SensorError(NodeError):
    """The sensor gave no plausible value."""


class LinkError(NodeError):
    """A connection cannot be made or used any more. `count` is the name of the trouble among the link's counts."""

    def __init__(self, count: str, text: str) -> None:
        super().__init__(text)
        self.count = count


class UpdateRefused(NodeError):
    """A configuration or firmware that this node does not take; the message is the name under which it is counted."""
