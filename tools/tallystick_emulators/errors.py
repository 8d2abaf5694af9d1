"""Errors of emulated hardware.

EmulatorError
├── NodeError           the unix node could not be started (the missing program is named)
└── EmulatedTagError
    ├── FieldCollision  two tags lie on the emulated antenna
    ├── FieldLost       the activated tag left the emulated antenna, or lost its power
    ├── ReaderGone      the emulated reader fell out
    ├── ChipRefusal     what an emulated NTAG 424 answers no to, with its status word
    └── BadEeprom       bytes that are no saved EEPROM of this kind of tag
"""


class EmulatorError(Exception):
    """Base of all errors that emulated hardware raises."""


class NodeError(EmulatorError):
    """The unix node could not be started."""


class EmulatedTagError(EmulatorError):
    """Base of what happens on the emulated antenna."""


class FieldCollision(EmulatedTagError):
    """More than one tag lies on the antenna."""


class FieldLost(EmulatedTagError):
    """The tag that was activated left, or lost its power."""


class ReaderGone(EmulatedTagError):
    """The reader fell out, as if its plug was pulled; a new reader starts afresh."""


class ChipRefusal(EmulatedTagError):
    """The emulated chip refuses a command; `status` is its status word."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status:04X}")
        self.status = status


class BadEeprom(EmulatedTagError):
    """The bytes are no EEPROM that this kind of emulated tag has saved."""
