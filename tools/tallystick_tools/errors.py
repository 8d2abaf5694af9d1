"""Errors of the tools.

ToolError
├── DemoError       a part of the demo did not do what the story needs
├── NodeError       the unix node could not be started (the missing program is named)
├── WitnessError    configuration or state of the witness
├── ConformError    a suite could not run at all
├── BenchError      something was not done whose speed was asked for
└── EmulatedTagError
    ├── FieldCollision  two tags lie on the emulated antenna
    ├── FieldLost       the activated tag left the emulated antenna, or lost its power
    ├── ReaderGone      the emulated reader fell out
    ├── ChipRefusal     what an emulated NTAG 424 answers no to, with its status word
    └── BadEeprom       bytes that are no saved EEPROM of this kind of tag
"""


class ToolError(Exception):
    """Base of all errors that the tools raise."""


class DemoError(ToolError):
    """A part of the demo did not start, or the story did not come true; the message says which."""


class NodeError(ToolError):
    """The unix node could not be started."""


class WitnessError(ToolError):
    """The witness's configuration or state is unusable."""


class ConformError(ToolError):
    """A conformance suite could not run at all."""


class BenchError(ToolError):
    """A step of the bench did not do its work, so its speed says nothing."""


class EmulatedTagError(ToolError):
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
