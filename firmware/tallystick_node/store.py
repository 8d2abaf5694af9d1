"""Store and forward: every signed reading, on flash before it is sent and until it is acked.

The newest ones are the open segment: in RAM, and in one file that is written whole with every new reading (flash wears
by the erase, not by the byte). At 20 it is closed. The newest file stays even when all of it is acked, until there is a
newer one: so the next boot knows the last reading of this one, and its first reading can name it.
"""

import hashlib

from tallystick_node.errors import DamagedFile, StorageError
from tallystick_node.files import Files
from tallystick_wire import cbor, reading
from tallystick_wire.errors import CborError
from tallystick_wire.sequence import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick_wire.message import Ack

SEGMENT_READINGS = 20  # 4 KB: what one flash block holds, and how much each new reading may write again
FOLDER = "s"
_SUFFIX = ".seg"


class Segment:
    """One file; `pending` are the numbers in it that are not acked, rising."""

    __slots__ = ("name", "pending")

    def __init__(self, name: str, pending: "list[int]") -> None:
        self.name = name
        self.pending = pending


class Store:
    """`newest`: (seq, link) of the newest good reading on flash at boot, or None.

    `broken`: the segments that set_aside_broken takes away, a damaged one and what follows it.
    """

    def __init__(self, files: Files, segment_limit: int) -> None:
        self._files = files
        self._segment_limit = segment_limit
        self._ram: "list[tuple[int, bytes]]" = []  # what is not acked of the open segment
        self._open = ""  # its file, "" before its first reading; an acked segment's while there is nothing newer
        self._saved = True  # whether all of _ram is in it
        self._segments: "list[Segment]" = []
        self._loaded_name = ""
        self._loaded: "dict[int, bytes]" = {}
        self.newest: "tuple[int, bytes] | None" = None
        self.broken: "list[str]" = []
        for name in files.names():
            if name.startswith(FOLDER + "/"):
                self._recover(name)

    def set_aside_broken(self) -> None:
        """The damaged one goes last: after a crash in here the next boot finds it again."""
        while self.broken:
            self._files.set_aside(self.broken[-1])
            self.broken.pop()

    def keep(self, seq: int, data: bytes) -> None:
        """Take a reading; call has_room before signing it. When the flash refuses it now, has_room tries again."""
        self._ram.append((seq, data))
        self._saved = False
        try:
            self.flush()
        except StorageError:
            pass

    def has_room(self) -> bool:
        """True when one more reading can be kept, and every one before it is on flash."""
        try:
            self.flush()
        except StorageError:
            return False
        if len(self._ram) >= SEGMENT_READINGS:
            self._segments.append(Segment(self._open, [seq for seq, _ in self._ram]))
            self._ram = []
            self._open = ""
        return bool(self._ram) or len(self._segments) < self._segment_limit

    def flush(self) -> None:
        """Everything to flash; StorageError when that is refused."""
        if self._saved or not self._ram:
            return
        name = "%s/%010d%s" % (FOLDER, self._ram[0][0], _SUFFIX)
        self._files.write(name, cbor.encode([[seq, data] for seq, data in self._ram]))
        # A crash here: the readings are on flash and will be sent, some of an older file perhaps once more.
        if self._open and self._open != name:
            self._files.remove(self._open)
        self._open = name
        self._saved = True

    def pending(self, limit: int) -> "list[int]":
        """The oldest numbers that are not acked, at most `limit`."""
        numbers: "list[int]" = []
        for segment in self._segments:
            if len(numbers) >= limit:
                break
            numbers += segment.pending
        numbers += [seq for seq, _ in self._ram]
        return numbers[:limit]

    def get(self, seq: int) -> bytes:
        """The reading with this pending number; DamagedFile when its segment cannot be read any more."""
        for number, data in self._ram:
            if number == seq:
                return data
        for segment in self._segments:
            if seq in segment.pending:
                return self._load(segment.name)[seq]
        raise StorageError("reading %d is not kept" % seq)

    def acked(self, ack: "Ack", note: "Callable[[int, bytes], None]") -> int:
        """Forget what `ack` covers; returns how many. `note(seq, identity)` comes before each is forgotten."""
        forgotten = 0
        for segment in list(self._segments):
            if segment.pending[0] > ack.high:
                break
            forgotten += self._ack_segment(segment, ack, note)
        for seq, data in list(self._ram):
            if covers(ack.high, ack.gaps, seq):
                note(seq, hashlib.sha256(data).digest())
                self._ram.remove((seq, data))
                forgotten += 1
        return forgotten

    def _ack_segment(self, segment: Segment, ack: "Ack", note: "Callable[[int, bytes], None]") -> int:
        covered = [seq for seq in segment.pending if covers(ack.high, ack.gaps, seq)]
        if not covered:
            return 0
        readings = self._load(segment.name)
        for seq in covered:
            note(seq, hashlib.sha256(readings[seq]).digest())
            # A crash here: the reading is sent again and acked again.
            segment.pending.remove(seq)
        if not segment.pending:
            newest = not self._open and segment is self._segments[-1]
            self._segments.remove(segment)
            if newest:
                self._open = segment.name  # flush removes it when there is a newer one
            else:
                self._files.remove(segment.name)
        return len(covered)

    def _recover(self, name: str) -> None:
        """One segment at boot, oldest first. What follows a damaged one cannot link to what is before it."""
        try:
            readings = {} if self.broken else self._load(name)
        except DamagedFile:
            readings = {}
        if not readings:
            self.broken.append(name)
            return
        numbers = sorted(readings)
        self._segments.append(Segment(name, numbers))
        last = numbers[-1]
        self.newest = (last, hashlib.sha256(readings[last]).digest()[: reading.LINK_BYTES])

    def _load(self, name: str) -> "dict[int, bytes]":
        """The readings of a segment by number; the last one loaded is kept in RAM."""
        if name != self._loaded_name:
            self._loaded_name = ""
            content = self._files.read(name)
            if content is None:
                raise DamagedFile("%s is gone" % name)
            try:
                self._loaded = {seq: data for seq, data in cbor.decode(content)}
            except CborError as error:
                raise DamagedFile("%s: %s" % (name, error)) from None
            self._loaded_name = name
        return self._loaded
