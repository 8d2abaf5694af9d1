"""What can be wrong with bytes from outside. A decoder of this package raises nothing else.

WireError
    CborError       not strict deterministic CBOR
    FrameError      a payload that no frame can hold
    CoseError       not a COSE_Sign1 of the one form that is allowed
    SenmlError      not a measurement pack of the node's own form
    ReadingError    not a reading
    MessageError    not a message between node and host, or its MAC is wrong
    ManifestError   not a configuration, a firmware manifest or an image of the one form that is allowed
"""


class WireError(Exception):
    """Any refusal of this package. The message names the field and the limit."""


class CborError(WireError):
    """Not strict deterministic CBOR (RFC 8949 section 4.2.1), or a value that it cannot hold."""


class FrameError(WireError):
    """A payload that no frame can hold."""


class CoseError(WireError):
    """Not a COSE_Sign1 of the one form that is allowed."""


class SenmlError(WireError):
    """Not a measurement pack of the node's own form."""


class ReadingError(WireError):
    """Not a reading."""


class MessageError(WireError):
    """Not a message between node and host, or its MAC is wrong."""


class ManifestError(WireError):
    """Not a configuration, a firmware manifest or an image of the one form that is allowed."""
