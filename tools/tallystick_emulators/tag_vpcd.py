"""Emulated tags behind vpcd, the virtual reader of pcscd: PC/SC programs see them as on a contactless reader.

vpcd listens; a card is a connection to it, so a tag that leaves is a connection that ends. Messages have a length of
two bytes; one byte alone is the reader's (power off, on, reset, ATR), anything else an APDU. Class FFh is what readers
answer themselves (PC/SC part 3), and "direct transmit" to a PN53x, as ACS readers offer it.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

from tallystick_emulators.errors import EmulatedTagError
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_ntag424 import ANSWER_TO_SELECT

POWER_OFF, POWER_ON, RESET, ASK_ATR = b"\x00", b"\x01", b"\x02", b"\x04"
ATR_TYPE4 = bytes.fromhex("3B8180018080")  # the historical byte of the ATS
ATR_TYPE2 = bytes.fromhex("3B8F8001804F0CA0000003060300030000000068")  # storage card of type Ultralight
OK, FAILED, UNKNOWN = b"\x90\x00", b"\x63\x00", b"\x6a\x81"
PAGE, READ_BYTES = 4, 16
CHIP_OK, CHIP_TIMEOUT, CHIP_CRC = b"\x00", b"\x01", b"\x02"  # status bytes of a PN53x
LOOK_S = 0.05  # how soon a tag that came or left is noticed
AWAY_S = 1.5  # a card that comes back must have been seen away: pcscd looks every 0.4 s


class VpcdCard:
    """A thread that lays what is on `field` into vpcd's slot until it is closed; a context manager.

    `connect` opens a connection to the slot's port, or raises OSError.
    """

    def __init__(self, field: Field, connect: Callable[[], socket.socket]) -> None:
        self._field, self._connect = field, connect
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tag-vpcd", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take everything away. May be called again."""
        self._stopping.set()
        self._thread.join()

    def __enter__(self) -> "VpcdCard":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            tags = self._field.tags
            if len(tags) == 1:  # none is no card; with two the reader gives up
                with contextlib.suppress(OSError, EmulatedTagError):
                    self._serve(tags[0])
                self._stopping.wait(AWAY_S)

    def _serve(self, tag: EmulatedTag) -> None:
        """One card, until it leaves, loses its power or vpcd goes away."""
        with self._connect() as link:
            link.settimeout(LOOK_S)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._stopping.is_set() and self._field.tags == (tag,):
                message = _receive(link)
                if message is None:
                    continue
                answer = self._answer(tag, message)
                if answer is not None:
                    link.sendall(len(answer).to_bytes(2) + answer)

    def _answer(self, tag: EmulatedTag, message: bytes) -> bytes | None:
        if message == ASK_ATR:
            return ATR_TYPE4 if tag.family == "type4" else ATR_TYPE2
        if message == POWER_OFF:
            self._field.deactivate()
            return None
        if message in (POWER_ON, RESET):
            self._field.activate()
            return None
        if message[:1] == b"\xff":
            return self._reader_command(tag, message)
        if tag.family == "type2":
            return b"\x6e\x00"
        return self._field.exchange(message) or b""

    def _reader_command(self, tag: EmulatedTag, command: bytes) -> bytes:
        """FF CA: UID or historical bytes; FF B0, FF D6: pages of a Type 2 tag; FF 00: to the PN53x."""
        if command[:2] == b"\xff\xca" and len(command) == 5:
            if command[2] == 0:
                return tag.presented_uid + OK
            return ANSWER_TO_SELECT[5:] + OK if command[2] == 1 and tag.family == "type4" else UNKNOWN
        if tag.family != "type2":
            return UNKNOWN
        if command[:3] == b"\xff\xb0\x00" and len(command) == 5:
            data = self._field.exchange(bytes([0x30, command[3]])) or b""
            return data[: command[4] or READ_BYTES] + OK if len(data) == READ_BYTES else FAILED
        if command[:3] == b"\xff\xd6\x00" and command[4:5] == bytes([PAGE]) and len(command) == 5 + PAGE:
            done = self._field.exchange(bytes([0xA2, command[3]]) + command[5:])
            return OK if done == b"\x0a" else FAILED
        if command[:4] == b"\xff\x00\x00\x00" and command[4:5] == bytes([len(command) - 5]):
            return self._direct(command[5:])
        return UNKNOWN

    def _direct(self, frame: bytes) -> bytes:
        """InCommunicateThru, and InDataExchange with target 1. An answer of four bits has no CRC: the chip says so."""
        if frame[:2] == b"\xd4\x42":
            head, command = b"\xd5\x43", frame[2:]
        elif frame[:3] == b"\xd4\x40\x01":
            head, command = b"\xd5\x41", frame[3:]
        else:
            return UNKNOWN
        answer = self._field.exchange(command)
        if answer is None:
            return head + CHIP_TIMEOUT + OK
        return head + (CHIP_CRC if len(answer) == 1 else CHIP_OK + answer) + OK


def _receive(link: socket.socket) -> bytes | None:
    """One message; None when none began for a moment. OSError when vpcd hung up or stopped in the middle."""
    try:
        head = _exactly(link, 2)
    except TimeoutError:
        return None
    return _exactly(link, int.from_bytes(head))


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        # vpcd sends length and message apart: without quick acknowledgements each takes the kernel's 40 ms.
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        piece = link.recv(size - len(data))
        if not piece:
            raise ConnectionResetError("vpcd hung up")
        data += piece
    return data
