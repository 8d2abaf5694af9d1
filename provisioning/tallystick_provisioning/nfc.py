"""The NFC seam: a reader that senses tags, and a tag that answers commands. Everything above it is the same for all.

Backends: nfc_nfcpy (USB, UART, nfcpy's udp driver), nfc_pcsc (PC/SC), and the emulated reader of the tools. They raise
this package's errors only: TagLost, TagTimeout, TwoTags, ReaderLost.
"""

from typing import Literal, Protocol

Family = Literal["type2", "type4"]

TYPE2: Family = "type2"
TYPE4: Family = "type4"
COMMAND_TIMEOUT_S = 0.5  # a tag answers within 20 ms; a busy computer may not look for a while
SENSE_TIMEOUT_S = 2.0
MAX_RESPONSE_BYTES = 258  # 256 bytes and a status word


class Tag(Protocol):
    """One activation of one tag. It is void after TagLost, and after the reader sensed again."""

    @property
    def uid(self) -> bytes:
        """The UID as the tag told it in anticollision: 4, 7 or 10 bytes."""
        ...

    @property
    def family(self) -> Family:
        """type2: raw commands of ISO 14443-3 without CRC. type4: APDUs of ISO 7816-4."""
        ...

    def transceive(self, command: bytes, timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
        """The tag's answer: of type2 as it came (a NAK is one byte), of type4 with the status word.

        TagTimeout: the tag was silent, and may have acted. TagLost: it left the field or lost its power.
        ReaderLost: the reader itself does not answer.
        """
        ...


class Reader(Protocol):
    """One antenna."""

    @property
    def name(self) -> str:
        """What to call it before a person."""
        ...

    def sense(self, timeout_s: float = SENSE_TIMEOUT_S) -> Tag | None:
        """A fresh activation of the tag on the antenna: field off, field on. None when there is none in time.

        The first look is always made, with a timeout of 0 too. TwoTags: more than one lies there, none is touched.
        ReaderLost: the reader itself does not answer.
        """
        ...

    def close(self) -> None:
        """Field off; the reader is free for others. May be called again."""
        ...
