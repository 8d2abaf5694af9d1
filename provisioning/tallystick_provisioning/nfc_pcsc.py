"""PC/SC readers through pyscard, imported only when one is opened: pcscd may well not be there.

A 424 takes our APDUs as they are. An NTAG21x takes raw commands, and PC/SC has no word for those: READ and WRITE go by
the pseudo-APDUs of PC/SC part 3, everything else by the reader's own way (a PN53x behind "direct transmit", or the
transparent exchange of PC/SC 2.02). Which way a reader knows is found out once. Run with emulated tags behind vpcd; no
way but the first has run on hardware yet.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tallystick_provisioning import nfc
from tallystick_provisioning.errors import ReaderLost, TagAnswerError, TagLost, TagTimeout

POLL_PAUSE_S = 0.05
_GET_UID = bytes.fromhex("FFCA000000")
_OK = b"\x90\x00"
_ATR_STORAGE = bytes.fromhex("A000000306")  # PC/SC part 3: a storage card, which our Type 2 tags are
_NAK, _ACK = b"\x00", b"\x0a"
_READ, _WRITE = 0x30, 0xA2


class PcscReader:
    """A `nfc.Reader`: the PC/SC reader whose name contains `name`, or the first one."""

    def __init__(
        self,
        name: str | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic, self._sleep = monotonic, sleep
        self._scard = _import()
        self._context = self._ask(self._scard.SCardEstablishContext(self._scard.SCARD_SCOPE_USER))[0]
        self._card: Any = None
        self._protocol = self._scard.SCARD_PROTOCOL_T1
        self._activation = 0
        self.name = self._find(name)

    def sense(self, timeout_s: float = nfc.SENSE_TIMEOUT_S) -> "PcscTag | None":
        """See nfc.Reader. PC/SC readers resolve collisions themselves and show one tag: two are not seen here."""
        self._release()
        deadline = self._monotonic() + timeout_s
        while not self._connect():
            if self._monotonic() >= deadline:
                return None
            self._sleep(POLL_PAUSE_S)
        atr = bytes(self._ask(self._scard.SCardStatus(self._card))[3])
        answer = self.transmit(self._activation, _GET_UID)
        if answer[-2:] != _OK or len(answer) < 6:
            raise TagAnswerError("the reader does not tell the tag's UID")
        family = nfc.TYPE2 if _ATR_STORAGE in atr else nfc.TYPE4
        return PcscTag(self, self._activation, answer[:-2], family)

    def close(self) -> None:
        """See nfc.Reader."""
        self._release()
        if self._context is not None:
            self._scard.SCardReleaseContext(self._context)
            self._context = None

    def transmit(self, activation: int, command: bytes) -> bytes:
        """One APDU to the tag of this activation, or to the reader about it."""
        if activation != self._activation or self._card is None:
            raise TagLost("the reader has sensed again since")
        result, answer = self._scard.SCardTransmit(self._card, self._protocol, list(command))
        self._check(result)
        if len(answer) < len(_OK):
            raise TagTimeout("the tag does not answer")
        return bytes(answer)

    def _find(self, name: str | None) -> str:
        result, names = self._scard.SCardListReaders(self._context, [])
        found = [each for each in (names if result == 0 else []) if name is None or name in each]
        if not found:
            raise ReaderLost(f"no PC/SC reader{f' named {name}' if name else ''}: is it plugged in, and pcscd running?")
        return str(found[0])

    def _connect(self) -> bool:
        protocols = self._scard.SCARD_PROTOCOL_T0 | self._scard.SCARD_PROTOCOL_T1
        result, card, protocol = self._scard.SCardConnect(
            self._context, self.name, self._scard.SCARD_SHARE_EXCLUSIVE, protocols
        )
        if result in _absent(self._scard):
            return False
        self._check(result)
        self._card, self._protocol = card, protocol
        self._activation += 1
        return True

    def _release(self) -> None:
        """Field off, so that the next connection is a fresh activation."""
        self._activation += 1
        if self._card is not None:
            self._scard.SCardDisconnect(self._card, self._scard.SCARD_UNPOWER_CARD)
            self._card = None

    def _ask(self, answer: Any) -> Any:
        self._check(answer[0])
        return answer[1:]

    def _check(self, result: int) -> None:
        """PC/SC's result codes as errors of ours."""
        scard = self._scard
        if result == scard.SCARD_S_SUCCESS:
            return
        text = scard.SCardGetErrorMessage(result)
        if result in (scard.SCARD_E_NOT_TRANSACTED, scard.SCARD_F_COMM_ERROR):
            raise TagTimeout(f"the tag does not answer ({text})")
        if result in (scard.SCARD_W_RESET_CARD, *_absent(scard)):
            raise TagLost(f"the tag left the field ({text})")
        raise ReaderLost(f"{getattr(self, 'name', 'PC/SC')}: {text}")


class PcscTag:
    """A `nfc.Tag`."""

    def __init__(self, reader: PcscReader, activation: int, uid: bytes, family: nfc.Family) -> None:
        self.uid = uid
        self.family = family
        self._reader, self._activation = reader, activation
        self._raw: Callable[[bytes], bytes] | None = None

    def transceive(self, command: bytes, timeout_s: float = nfc.COMMAND_TIMEOUT_S) -> bytes:
        """See nfc.Tag. The timeout is the driver's own."""
        if self.family == nfc.TYPE4:
            return self._reader.transmit(self._activation, command)
        if command[0] == _READ and len(command) == 2:
            status, data = self._pseudo(bytes([0xFF, 0xB0, 0, command[1], 16]))
            return data if status == _OK else _NAK
        if command[0] == _WRITE and len(command) == 6:
            status, _ = self._pseudo(bytes([0xFF, 0xD6, 0, command[1], 4]) + command[2:])
            return _ACK if status == _OK else _NAK
        if self._raw is not None:
            return self._raw(command)
        return self._find_raw(command)

    def _find_raw(self, command: bytes) -> bytes:
        """Try each way; the first that the reader knows stays."""
        for way in (self._transparent, self._direct):
            try:
                answer = way(command)
            except _UnknownWay:
                continue
            self._raw = way
            return answer
        raise TagAnswerError("this reader passes no raw commands: take another one for NTAG21x")

    def _direct(self, command: bytes) -> bytes:
        """A PN53x behind ACS's direct transmit: InCommunicateThru."""
        inner = b"\xd4\x42" + command
        status, data = self._pseudo(bytes([0xFF, 0, 0, 0, len(inner)]) + inner)
        if status != _OK or data[:2] != b"\xd5\x43":
            raise _UnknownWay
        if data[2:3] == b"\x01":
            raise TagTimeout("the tag does not answer")
        return data[3:] if data[2:3] == b"\0" else _NAK

    def _transparent(self, command: bytes) -> bytes:
        """PC/SC 2.02 transparent exchange: a transceive object (95) in, ICC response (97) out."""
        inner = bytes([0x95, len(command)]) + command
        status, data = self._pseudo(bytes([0xFF, 0xC2, 0, 1, len(inner)]) + inner + b"\0")
        if status != _OK:
            raise _UnknownWay
        objects = _objects(data)
        if objects.get(0xC0, b"")[-2:] not in (b"", _OK) or 0x97 not in objects:
            return _NAK
        return objects[0x97]

    def _pseudo(self, command: bytes) -> tuple[bytes, bytes]:
        answer = self._reader.transmit(self._activation, command)
        return answer[-2:], answer[:-2]


class _UnknownWay(Exception):
    """This reader does not pass raw commands this way."""


def _objects(data: bytes) -> dict[int, bytes]:
    """BER-TLV objects with one-byte tags and lengths; what does not fit is left out."""
    found, at = {}, 0
    while at + 2 <= len(data):
        length = data[at + 1]
        if length < 0x80:
            found[data[at]] = data[at + 2 : at + 2 + length]
        at += 2 + length
    return found


def _absent(scard: Any) -> tuple[int, ...]:
    """No tag, or one that pcscd has not powered again yet: a moment later it may be there."""
    return (
        scard.SCARD_E_NO_SMARTCARD,
        scard.SCARD_W_REMOVED_CARD,
        scard.SCARD_W_UNPOWERED_CARD,
        scard.SCARD_W_UNRESPONSIVE_CARD,
    )


def _import() -> Any:
    with _missing():
        from smartcard import scard
    return scard


@contextmanager
def _missing() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ReaderLost(f"PC/SC needs pyscard ({error}): install it, or python3-pyscard of the system") from None
