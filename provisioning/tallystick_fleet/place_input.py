"""Marks as they come: lines that a scanner types, and tags on a reader. The next one, whichever comes first."""

import contextlib
import os
import queue
import select
import threading
from collections.abc import Callable

from tallystick_chips import ntag21x
from tallystick_chips.ntag21x import Ntag21x
from tallystick_chips.ntag424 import Ntag424
from tallystick_fleet.place_marks import Mark
from tallystick_provisioning import nfc, nfc_open
from tallystick_provisioning.errors import NfcError
from tallystick_provisioning.nfc_antenna import Antenna

MAX_LINE_BYTES = 4096  # a code holds no more
LOOK_S = 0.2
_TEXT, _URI = b"T", b"U"
# The first of what NFC Forum's URI record abbreviates; the others stand in no mark.
_PREFIXES = {0: "", 1: "http://www.", 2: "https://www.", 3: "http://", 4: "https://"}
Tell = Callable[[str], None]


class Inputs:
    """Threads put marks into one queue. `trouble` hears what a person should do at the reader."""

    def __init__(self, reader: str | None, trouble: Tell, descriptor: int = 0) -> None:
        self._marks: queue.Queue[Mark | None] = queue.Queue()
        self._ended = threading.Event()
        self._antenna = None if reader is None else self._open(reader, trouble)
        self._descriptor = descriptor
        threading.Thread(target=self._lines, daemon=True).start()
        if self._antenna is not None:
            threading.Thread(target=self._tags, args=(self._antenna,), daemon=True).start()

    def next(self, patience_s: float | None) -> Mark | None:
        """The next mark; None when none came in time, or when the scanner's end came and there is no reader."""
        try:
            return self._marks.get(timeout=patience_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        self._ended.set()
        if self._antenna is not None:
            self._antenna.close()

    def _open(self, path: str, trouble: Tell) -> Antenna:
        antenna = Antenna(
            lambda: nfc_open.open_reader(path), trouble, lambda: trouble("two tags lie on the reader: leave one")
        )
        antenna.open()
        return antenna

    def _lines(self) -> None:
        rest = b""
        while not self._ended.is_set():
            if not select.select([self._descriptor], [], [], LOOK_S)[0]:
                continue
            data = os.read(self._descriptor, MAX_LINE_BYTES)
            *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
            for line in lines if data else [rest]:
                text = line.decode("utf-8", "replace").strip()
                if text:
                    self._marks.put(Mark((text,)))
            if not data or len(rest) > MAX_LINE_BYTES:
                break
        if self._antenna is None:
            self._marks.put(None)

    def _tags(self, antenna: Antenna) -> None:
        while not self._ended.is_set():
            uid = antenna.wait_for_tag(LOOK_S)
            if uid is None:
                continue
            self._marks.put(_mark(antenna, uid))
            while uid is not None and not self._ended.is_set():
                left = antenna.wait_for_removal(uid, LOOK_S)
                if left != uid and left is not None:
                    self._marks.put(_mark(antenna, left))
                uid = left


def _mark(antenna: Antenna, uid: bytes) -> Mark:
    """What stands on the tag, and its number."""
    number = uid.hex().upper()
    with contextlib.suppress(NfcError):
        tag = antenna.reader.sense(0.0)
        if tag is not None and tag.uid == uid:
            text = ndef_text(_message(tag))
            if text:
                return Mark((text, number))
    return Mark((number,), is_number=True)


def _message(tag: nfc.Tag) -> bytes:
    if tag.family == nfc.TYPE4:
        chip = Ntag424(tag)
        chip.select()
        return chip.read_ndef()
    other = Ntag21x(tag)
    layout = ntag21x.layout_of(other.version())
    if layout is None:
        return b""
    return ntag21x.message_of(layout, other.read(ntag21x.FIRST_PAGE, layout.data_bytes // ntag21x.PAGE_BYTES))


def ndef_text(message: bytes) -> str:
    """The text or address in the first record of an NDEF message; empty when it has none. Pure."""
    if len(message) < 4 or message[0] & 0x07 != 1 or message[1] != 1:
        return ""
    short = bool(message[0] & 0x10)
    head = 3 if short else 6
    size = int.from_bytes(message[2:head], "big")
    kind, payload = message[head : head + 1], message[head + 1 : head + 1 + size]
    if len(payload) != size or not payload:
        return ""
    if kind == _URI:
        return _PREFIXES.get(payload[0], "") + payload[1:].decode("utf-8", "replace")
    if kind != _TEXT:
        return ""
    encoding = "utf-16" if payload[0] & 0x80 else "utf-8"
    return payload[1 + (payload[0] & 0x3F) :].decode(encoding, "replace").strip()
