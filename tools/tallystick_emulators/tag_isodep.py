"""ISO 14443-4 blocks on the tag's side: APDUs in pieces, acknowledgements, repeats (7.5 of the standard).

No waiting time extensions and no CID: an emulated tag is quick, and alone.
"""

from collections.abc import Callable

I_BLOCK, R_ACK, R_NAK, S_DESELECT = 0x02, 0xA2, 0xB2, 0xC2
CHAINING = 0x10
FRAME_SIZES = (16, 24, 32, 40, 48, 64, 96, 128, 256)

Exchange = Callable[[bytes], bytes | None]


class Blocks:
    """From one RATS on. `exchange` answers whole APDUs; `ats` is the answer to RATS."""

    def __init__(self, ats: bytes, exchange: Exchange) -> None:
        self._ats, self._exchange = ats, exchange
        self._room = 0  # bytes of an answer in one block; 0 before RATS
        self._number = 1  # of the block that was sent last
        self._command = b""
        self._answer = b""
        self._sent = b""

    def frame(self, frame: bytes) -> bytes | None:
        """The answer to one frame without CRC; None is silence."""
        if not self._room:
            return self._activate(frame)
        control = frame[0] if frame else 0
        if control & 0xEE == I_BLOCK:
            return self._information(control, frame[1:])
        if control & 0xFE == R_ACK:
            return self._sent if control & 1 == self._number else self._next()
        if control & 0xFE == R_NAK:
            return self._sent if control & 1 == self._number else bytes([R_ACK | self._number])
        if control == S_DESELECT:
            self._room = 0
            return frame
        return None

    def _activate(self, frame: bytes) -> bytes | None:
        if len(frame) != 2 or frame[0] != 0xE0:
            return None
        self._room = FRAME_SIZES[min(frame[1] >> 4, 8)] - 3  # control byte and CRC
        return self._ats

    def _information(self, control: int, piece: bytes) -> bytes | None:
        self._number ^= 1
        self._command += piece
        if control & CHAINING:
            self._sent = bytes([R_ACK | self._number])
            return self._sent
        command, self._command = self._command, b""
        answer = self._exchange(command)
        if answer is None:
            return None
        self._answer = answer
        return self._block()

    def _next(self) -> bytes | None:
        """The reader took a piece of the answer."""
        if not self._answer:
            return None
        self._number ^= 1
        return self._block()

    def _block(self) -> bytes:
        piece, self._answer = self._answer[: self._room], self._answer[self._room :]
        self._sent = bytes([I_BLOCK | (CHAINING if self._answer else 0) | self._number]) + piece
        return self._sent
