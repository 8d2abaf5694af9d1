"""Frames for serial and BLE: COBS(payload || CRC-32 big-endian) || 00. After noise the next 00 is a fresh start."""

import binascii

from tallystick_wire.errors import FrameError

MAX_FRAME_PAYLOAD_BYTES = 1200  # a reading of 1024 bytes fits, and a node can hold one frame in RAM
_CRC_BYTES = 4
_RUN_BYTES = 254  # COBS: the most bytes without a zero that one code byte can announce
_MAX_BODY_BYTES = MAX_FRAME_PAYLOAD_BYTES + _CRC_BYTES
_MAX_STUFFED_BYTES = _MAX_BODY_BYTES + _MAX_BODY_BYTES // _RUN_BYTES + 1


def encode(payload: bytes) -> bytes:
    """One frame, its closing 00 included."""
    if len(payload) > MAX_FRAME_PAYLOAD_BYTES:
        raise FrameError("a frame holds at most %d bytes" % MAX_FRAME_PAYLOAD_BYTES)
    return _stuff(bytes(payload) + _crc(payload)) + b"\0"


class Decoder:
    """Payloads out of a byte stream; damaged frames are counted and left out. Holds at most one frame."""

    def __init__(self) -> None:
        self.junk = 0
        self.bad_crc = 0
        self.oversize = 0
        self._buffer = bytearray()
        self._skipping = False  # too long already: drop up to the next 00

    def feed(self, data: bytes) -> "list[bytes]":
        """The payloads that `data` completes, in order."""
        payloads = []
        start = 0
        while start < len(data):
            end = data.find(b"\0", start)
            self._keep(data[start : end if end >= 0 else len(data)])
            if end < 0:
                break
            payload = self._close()
            if payload is not None:
                payloads.append(payload)
            start = end + 1
        return payloads

    def _keep(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._buffer) + len(piece) > _MAX_STUFFED_BYTES:
            self.oversize += 1
            self._skipping = True
            self._buffer = bytearray()
        else:
            self._buffer += piece

    def _close(self) -> "bytes | None":
        stuffed = bytes(self._buffer)
        skipped = self._skipping or not stuffed  # nothing between two zeros is no error
        self._buffer = bytearray()
        self._skipping = False
        if skipped:
            return None
        body = _unstuff(stuffed)
        if body is None or len(body) < _CRC_BYTES:
            self.junk += 1
            return None
        payload = body[:-_CRC_BYTES]
        if len(payload) > MAX_FRAME_PAYLOAD_BYTES:
            self.oversize += 1
            return None
        if _crc(payload) != body[-_CRC_BYTES:]:
            self.bad_crc += 1
            return None
        return payload


def _crc(payload: bytes) -> bytes:
    return (binascii.crc32(payload) & 0xFFFFFFFF).to_bytes(_CRC_BYTES, "big")


def _stuff(data: bytes) -> bytes:
    out = bytearray()
    runs = data.split(b"\0")
    for index, run in enumerate(runs):
        position = 0
        while len(run) - position > _RUN_BYTES:
            out.append(255)
            out += run[position : position + _RUN_BYTES]
            position += _RUN_BYTES
        rest = run[position:]
        out.append(len(rest) + 1)
        out += rest
        # A full run stands for no zero, so the zero after it needs a code of its own.
        if len(rest) == _RUN_BYTES and index < len(runs) - 1:
            out.append(1)
    return bytes(out)


def _unstuff(stuffed: bytes) -> "bytes | None":
    """The data, or None when a code points behind the end. `stuffed` holds no zero."""
    out = bytearray()
    position = 0
    while position < len(stuffed):
        code = stuffed[position]
        end = position + code
        if end > len(stuffed):
            return None
        out += stuffed[position + 1 : end]
        if code != 255 and end < len(stuffed):
            out.append(0)
        position = end
    return bytes(out)
