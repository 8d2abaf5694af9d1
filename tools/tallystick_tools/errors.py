"""Errors of the tools.

ToolError
├── DemoError       a part of the demo did not do what the story needs
├── WitnessError    configuration or state of the witness
├── ConformError    a suite could not run at all
└── BenchError      something was not done whose speed was asked for
"""


class ToolError(Exception):
    """Base of all errors that the tools raise."""


class DemoError(ToolError):
    """A part of the demo did not start, or the story did not come true; the message says which."""


class WitnessError(ToolError):
    """The witness's configuration or state is unusable."""


class ConformError(ToolError):
    """A conformance suite could not run at all."""


class BenchError(ToolError):
    """A step of the bench did not do its work, so its speed says nothing."""
