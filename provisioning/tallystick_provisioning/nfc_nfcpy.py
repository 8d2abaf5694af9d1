"""Readers that nfcpy drives: USB, a PN532 on a UART, and its udp driver, on which emulated tags speak.

nfcpy's own tag classes are used for ISO-DEP only: their commands have timeouts of 5 ms that a busy computer misses,
and they would read a tag before we know that it is alone. Foreign errors become ours here only. Run against the udp
driver; the PN53x part of `_count_tags` has not run on hardware yet.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import nfc  # type: ignore[import-untyped]
import nfc.clf  # type: ignore[import-untyped]
import nfc.tag  # type: ignore[import-untyped]
import nfc.tag.tt4  # type: ignore[import-untyped]

from tallystick_provisioning import nfc as seam
from tallystick_provisioning.errors import ReaderLost, TagAnswerError, TagLost, TagTimeout, TwoTags

POLL_PAUSE_S = 0.05
LISTEN_S = 0.5  # at least so long we wait for a driver that speaks over udp
MAX_DRAIN_FRAMES = 64  # late answers on a udp socket: more than any tag sends
_LIST_TARGETS = 0x4A
_ISO_DEP, _OTHER_PROTOCOLS = 0x20, 0x5C
_SENSE, _SELECT = b"\x26", b"\x93"


class NfcpyReader:
    """A `nfc.Reader` at a path of nfcpy: "usb", "tty:AMA0:pn532", "udp:127.0.0.1:54321"."""

    def __init__(
        self,
        path: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic, self._sleep = monotonic, sleep
        self._activation = 0  # a tag of an earlier one is void
        with _reader_errors(path):
            self._frontend = nfc.ContactlessFrontend()
            if not self._frontend.open(path):
                raise ReaderLost(f"{path}: no such reader, or it is in use")
        self.name = str(self._frontend)

    def sense(self, timeout_s: float = seam.SENSE_TIMEOUT_S) -> "NfcpyTag | None":
        """See nfc.Reader."""
        deadline = self._monotonic() + timeout_s
        while True:
            tag = self._look()
            if tag is not None or self._monotonic() >= deadline:
                return tag
            self._sleep(POLL_PAUSE_S)

    def close(self) -> None:
        """See nfc.Reader."""
        self._activation += 1
        with _reader_errors(self.name):
            self._frontend.close()

    def exchange(self, activation: int, command: bytes, timeout_s: float) -> bytes:
        """One frame to the tag of this activation."""
        self.check(activation)
        self._drain()
        with _tag_errors(self.name):
            answer = self._frontend.exchange(command, max(timeout_s, LISTEN_S))
        if answer is None:
            raise TagLost("the tag left the field")
        return bytes(answer)

    def check(self, activation: int) -> None:
        """TagLost unless it is the last activation."""
        if activation != self._activation:
            raise TagLost("the reader has sensed again since")

    def _look(self) -> "NfcpyTag | None":
        self._activation += 1
        with _reader_errors(self.name):
            if self._frontend.device is None:
                raise ReaderLost(f"{self.name}: is closed")
            self._frontend.device.mute()
            count = self._count_tags()
            if count > 1:
                raise TwoTags("more than one tag lies on the reader")
            self._frontend.device.mute()
            target = self._frontend.sense(nfc.clf.RemoteTarget("106A")) if count else None
        return None if target is None else self._activate(target)

    def _activate(self, target: Any) -> "NfcpyTag":
        kind = target.sel_res[0] if target.sel_res else 0
        uid = bytes(target.sdd_res or b"")
        if kind & _ISO_DEP:
            with _tag_errors(self.name):
                link = nfc.tag.tt4.Type4ATag(self._frontend, target)
            return NfcpyTag(self, self._activation, uid, link)
        if kind & _OTHER_PROTOCOLS or not uid:
            raise TagAnswerError("a tag of another kind: neither NFC Forum Type 2 nor Type 4")
        return NfcpyTag(self, self._activation, uid, None)

    def _count_tags(self) -> int:
        """How many tags answer; 1 where a driver cannot tell."""
        device = self._frontend.device
        if getattr(getattr(device, "chipset", None), "in_list_passive_target_max_target", 1) > 1:
            listed = device.chipset.command(_LIST_TARGETS, bytearray([2, 0]), timeout=1.0)
            return listed[0] if listed else 0
        return self._count_on_udp(device) if hasattr(device, "_recv_data") else 1

    def _count_on_udp(self, device: Any) -> int:
        """Two tags answer at once here as on air: what they say together selects neither of them."""
        device._create_socket()
        self._drain()
        told = self._say_on_udp(device, _SENSE) and self._say_on_udp(device, _SELECT + b"\x20")
        if not told:
            return 0
        return 1 if self._say_on_udp(device, _SELECT + b"\x70" + told) else 2

    def _say_on_udp(self, device: Any, frame: bytes) -> bytes:
        """The answer to one frame; empty when there is none."""
        try:
            device._send_data("106A", frame, device.addr)
            return bytes(device._recv_data(LISTEN_S, "106A")[1])
        except nfc.clf.CommunicationError:
            return b""

    def _drain(self) -> None:
        """Throw away late answers on a udp socket: they would answer the wrong command."""
        socket = getattr(self._frontend.device, "socket", None)
        if socket is None or not hasattr(socket, "recvfrom"):
            return
        before = socket.gettimeout()
        socket.settimeout(0)
        try:
            for _ in range(MAX_DRAIN_FRAMES):
                socket.recvfrom(1024)
        except OSError:
            pass  # nothing there
        finally:
            socket.settimeout(before)


class NfcpyTag:
    """A `nfc.Tag`."""

    def __init__(self, reader: NfcpyReader, activation: int, uid: bytes, link: Any) -> None:
        self.uid = uid
        self.family: seam.Family = seam.TYPE2 if link is None else seam.TYPE4
        self._reader, self._activation, self._link = reader, activation, link

    def transceive(self, command: bytes, timeout_s: float = seam.COMMAND_TIMEOUT_S) -> bytes:
        """See nfc.Tag."""
        if self._link is None:
            return self._reader.exchange(self._activation, command, timeout_s)
        self._reader.check(self._activation)
        with _tag_errors(self._reader.name):
            answer = self._link.transceive(bytearray(command), max(timeout_s, LISTEN_S))
        if answer is None:
            raise TagLost("the tag left the field")
        return bytes(answer)


@contextmanager
def _reader_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReaderLost(f"{name}: {error.strerror or error}") from None
    except (nfc.clf.UnsupportedTargetError, ValueError) as error:
        raise ReaderLost(f"{name}: {error}") from None
    except nfc.clf.CommunicationError:
        raise ReaderLost(f"{name}: the reader does not answer") from None


@contextmanager
def _tag_errors(name: str) -> Iterator[None]:
    try:
        yield
    except nfc.clf.BrokenLinkError:
        raise TagLost("the tag left the field") from None
    except nfc.clf.TimeoutError:
        raise TagTimeout("the tag does not answer") from None
    except nfc.clf.CommunicationError as error:
        raise TagAnswerError(f"a damaged answer ({type(error).__name__})") from None
    except nfc.tag.TagCommandError as error:
        if error.errno == nfc.tag.TIMEOUT_ERROR:
            raise TagTimeout("the tag does not answer") from None
        raise TagAnswerError(f"a damaged answer ({error})") from None
    except OSError as error:
        raise ReaderLost(f"{name}: {error.strerror or error}") from None
    except (IndexError, ValueError, RuntimeError) as error:  # nfcpy reads answers without looking at their length
        raise TagAnswerError(f"an answer that nfcpy cannot read ({error})") from None
