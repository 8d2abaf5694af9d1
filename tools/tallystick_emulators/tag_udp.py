"""Emulated tags on the air of nfcpy's udp driver: whoever opens `udp:127.0.0.1:PORT` finds them there.

The driver sends each frame as text, "106A 26": bit rate and hex. The socket is bound once; each SENS_REQ begins a new
activation, RFOFF ends one. Two tags answer at the same time, so their UIDs are ORed and neither feels addressed.
"""

import contextlib
import socket
import threading
from functools import reduce
from operator import xor
from types import TracebackType

from tallystick_emulators.errors import EmulatedTagError, FieldCollision
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_isodep import Blocks
from tallystick_emulators.tag_ntag424 import ANSWER_TO_SELECT

BIT_RATE = b"106A"
SENS_REQ, WAKE_UP = b"\x26", b"\x52"
CASCADES = (0x93, 0x95)
CASCADE_TAG = 0x88
POLL_S = 0.2  # how soon close() is noticed
MAX_FRAME_BYTES = 1024


class UdpTagServer:
    """A thread that answers for the tags of `field` until it is closed; a context manager."""

    def __init__(self, field: Field, port: int = 0) -> None:
        self._field = field
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(POLL_S)
        self._stopping = threading.Event()
        self._radio = Radio(field)
        self._thread = threading.Thread(target=self._run, name="tag-udp", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def path(self) -> str:
        """What nfcpy opens."""
        return f"udp:127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop answering. May be called again."""
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> "UdpTagServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                data, sender = self._socket.recvfrom(MAX_FRAME_BYTES)
            except TimeoutError:
                continue
            answer = self._radio.datagram(data)
            if answer is not None:
                with contextlib.suppress(OSError):  # a reader that went away
                    self._socket.sendto(BIT_RATE + b" " + answer.hex().encode(), sender)


class Radio:
    """Activation of ISO 14443-3 and what comes after it; datagrams in, frames out, no I/O."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._sensed: tuple[EmulatedTag, ...] = ()
        self._tag: EmulatedTag | None = None
        self._blocks: Blocks | None = None

    def datagram(self, data: bytes) -> bytes | None:
        """The frame that answers it; None is silence, for all that is no frame of this driver too."""
        if data.startswith(b"RFOFF"):
            self._end()
            return None
        rate, _, text = data.partition(b" ")
        try:
            frame = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            return None
        return self._frame(frame) if rate == BIT_RATE and frame else None

    def _end(self) -> None:
        self._tag, self._blocks, self._sensed = None, None, ()
        self._field.deactivate()

    def _frame(self, frame: bytes) -> bytes | None:
        if frame in (SENS_REQ, WAKE_UP):
            return self._sense()
        if self._tag is None:
            return self._select(frame)
        try:
            return self._blocks.frame(frame) if self._blocks is not None else self._field.exchange(frame)
        except EmulatedTagError:
            self._end()
            return None

    def _sense(self) -> bytes | None:
        """Whoever lies there wakes up and says what kind of UID it has."""
        self._end()
        try:
            self._field.activate()
        except FieldCollision:
            pass  # all of them answer at once
        except EmulatedTagError:
            return None
        self._sensed = self._field.tags
        kinds = {"type2": 0x0044, "type4": 0x0344}
        shapes = [kinds[one.family] & (0xFF3F if len(one.presented_uid) == 4 else 0xFFFF) for one in self._sensed]
        return reduce(int.__or__, shapes).to_bytes(2, "little") if shapes else None

    def _select(self, frame: bytes) -> bytes | None:
        if len(frame) < 2 or frame[0] not in CASCADES or not self._sensed:
            return None
        level = CASCADES.index(frame[0])
        levels = [_cascade(one.presented_uid) for one in self._sensed]
        if frame[1] == 0x20:
            shown = [one[level] for one in levels if level < len(one)]
            return bytes(reduce(int.__or__, column) for column in zip(*shown, strict=True)) or None
        mine = [one for one, parts in zip(self._sensed, levels, strict=True) if parts[level : level + 1] == [frame[2:]]]
        if frame[1] != 0x70 or not mine or len(self._sensed) > 1:
            return None
        last = level + 1 == len(levels[0])
        if last:
            self._tag = mine[0]
            if self._tag.family == "type4":
                self._blocks = Blocks(ANSWER_TO_SELECT, self._field.exchange)
        return bytes([(0x20 if mine[0].family == "type4" else 0x00) if last else 0x04])


def _cascade(uid: bytes) -> list[bytes]:
    """The UID in the pieces of anticollision, each with its check byte."""
    pieces = [uid] if len(uid) == 4 else [bytes([CASCADE_TAG]) + uid[:3], uid[3:]]
    return [piece + bytes([reduce(xor, piece)]) for piece in pieces]
