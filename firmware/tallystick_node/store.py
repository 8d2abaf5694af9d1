"""Store and forward: every signed reading, on flash before it is sent and until it is acked.

A segment is written once, whole, and never again: flash wears by the erase. The newest one stays even when all of it is
acked, until there is a newer one: so the next boot knows the last reading of this one, and its first one can name it.
"""

import hashlib

from tallystick_node import segment as segments
from tallystick_node.errors import DamagedFile, FlashFull, StorageError
from tallystick_node.files import Files
from tallystick_node.segment import FOLDER, Common, Segment
from tallystick_wire import cbor, reading
from tallystick_wire.sequence import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick_wire.message import Ack
    from tallystick_wire.sequence import Span


class Store:
    """`newest`: (seq, link) of the newest good reading on flash at boot, or None.

    `broken`: the files that set_aside_broken takes away, a damaged segment and what follows it.
    """

    def __init__(self, files: Files, segment_limit: int) -> None:
        self._files = files
        self._segment_limit = segment_limit
        self._segments: "list[Segment]" = []
        self._is_full = False  # the flash said so, though fewer segments lie on it than may
        self._doubtful = ""  # the file of a write that the flash refused: it may lie there all the same
        self._common = Common(b"", b"")
        self._loaded: "Segment | None" = None
        self._kept: "list[bytes]" = []  # the readings of _loaded, as they lie on flash
        self.newest: "tuple[int, bytes] | None" = None
        self.broken: "list[str]" = []

    def recover(self, common: Common) -> None:
        """Boot: read every segment, oldest first. What follows a damaged one cannot link to what is before it."""
        self._common = common
        for name in self._names():
            found = None if self.broken else segments.named(name)
            try:
                if found is None:
                    raise DamagedFile("%s follows a damaged segment, or is none" % name)
                self._load(found)
            except DamagedFile:
                self.broken.append(name)
            else:
                self._segments.append(found)
        if self._segments:
            last = self._segments[-1].last
            self._load(self._segments[-1])
            self.newest = (last, hashlib.sha256(self._read(last)).digest()[: reading.LINK_BYTES])

    def resume(self, common: Common, pending: "list[Span]") -> None:
        """Wake from a sleep in which nothing changed: only `pending` of what lies here is not acked."""
        self._common = common
        self._segments = [found for name in self._names() if (found := segments.named(name)) is not None]
        for one in self._segments:
            for seq in one.pending():
                if not any(first <= seq <= last for first, last in pending):
                    one.settle(seq)

    def set_aside_broken(self) -> None:
        """The damaged one goes last: after a crash in here the next boot finds it again."""
        while self.broken:
            self._files.set_aside(self.broken[-1])
            self.broken.pop()

    @property
    def last(self) -> int:
        """The number of the newest reading on flash, 0 when there is none."""
        return self._segments[-1].last if self._segments else 0

    @property
    def first(self) -> int:
        """The number of the oldest reading on flash, 0 when there is none."""
        return self._segments[0].first if self._segments else 0

    @property
    def has_room(self) -> bool:
        """True when one more segment may be written."""
        return not self._is_full and len(self._segments) < self._segment_limit

    @property
    def is_nearly_full(self) -> bool:
        """Above three quarters: time to save what is left for what matters."""
        return self._is_full or 4 * len(self._segments) > 3 * self._segment_limit

    def write(self, first: int, readings: "list[bytes]") -> None:
        """The readings first, first + 1... as one segment, each packed; StorageError when the flash refuses it."""
        new = Segment(first, first + len(readings) - 1)
        self._remove_doubtful(new.name)
        # A crash here: the batch was in RAM only, nobody has heard of it, and the next boot record declares it.
        try:
            self._files.write(new.name, readings)
        except StorageError as error:
            self._doubtful = new.name
            self._is_full = self._is_full or isinstance(error, FlashFull)
            raise
        # A crash here: they are on flash, and will be sent.
        self._doubtful = ""
        self._segments.append(new)
        self._is_full = False
        try:
            self._remove_settled()
        except StorageError:
            pass  # what is too much lies there until the next ack or batch; these readings are written all the same

    def pack(self, data: bytes) -> bytes:
        """A reading as write() takes it, and as it lies on flash."""
        return cbor.encode(self._common.shrink(data))

    def release(self) -> None:
        """Let go of the segment in RAM: it is read again when it is needed."""
        self._loaded, self._kept = None, []

    def pending(self, limit: int) -> "list[int]":
        """The oldest numbers that are not acked, at most `limit`."""
        numbers: "list[int]" = []
        for one in self._segments:
            if len(numbers) >= limit:
                break
            numbers += one.pending()
        return numbers[:limit]

    def get(self, seq: int) -> bytes:
        """The reading with this pending number; DamagedFile when its segment cannot be read any more."""
        for one in self._segments:
            if one.waits(seq):
                self._load(one)
                return self._read(seq)
        raise StorageError("reading %d is not kept" % seq)

    def pending_ranges(self) -> "list[Span]":
        """What a deep sleep must not forget: which numbers are not acked."""
        ranges: "list[Span]" = []
        for one in self._segments:
            add_numbers(ranges, one.pending())
        return ranges

    def acked(self, ack: "Ack", note: "Callable[[int, bytes], None]") -> int:
        """Forget what `ack` covers; returns how many. `note(seq, identity)` comes before each is forgotten."""
        forgotten = 0
        for one in self._segments:
            if one.first > ack.high:
                break
            for seq in one.pending():
                if covers(ack.high, ack.gaps, seq):
                    note(seq, hashlib.sha256(self.get(seq)).digest())
                    # A crash here: the reading is sent again and acked again.
                    one.settle(seq)
                    forgotten += 1
        self._remove_settled()
        return forgotten

    def oldest(self) -> "list[Span]":
        """What is lost when the oldest segment is given up: the ranges of it that are not acked."""
        ranges: "list[Span]" = []
        add_numbers(ranges, self._segments[0].pending() if self._segments else [])
        return ranges

    def drop(self, ranges: "list[Span]") -> None:
        """Give up `ranges`: nobody will hear of these any more. What is left without pending readings is removed."""
        for one in self._segments:
            for seq in one.pending():
                if any(first <= seq <= last for first, last in ranges):
                    one.settle(seq)
        self._remove_settled()

    def _names(self) -> "list[str]":
        return [name for name in self._files.names() if name.startswith(FOLDER + "/")]

    def _remove_doubtful(self, name: str) -> None:
        """A refused batch may have grown since, and says other things: two files with one number are a fork."""
        if self._doubtful not in ("", name):
            self._files.remove(self._doubtful)
        self._doubtful = ""

    def _remove_settled(self) -> None:
        """All but the newest. A crash in here: what is still there is sent once more."""
        for one in self._segments[:-1]:
            if one.is_settled:
                self._files.remove(one.name)
                self._segments.remove(one)
                self._is_full = False

    def _load(self, segment: Segment) -> None:
        """Have the readings of `segment` in RAM; of one segment at a time."""
        if segment is self._loaded:
            return
        self.release()
        content = self._files.view(segment.name)
        if content is None:
            raise DamagedFile("%s is gone" % segment.name)
        self._kept = segments.decode(segment, content)
        self._loaded = segment

    def _read(self, seq: int) -> bytes:
        """A reading of the segment that is loaded."""
        first = self._loaded.first if self._loaded is not None else seq
        return self._common.grow(self._kept[seq - first])


def add_numbers(ranges: "list[Span]", numbers: "list[int]") -> None:
    """Add rising numbers to rising ranges."""
    for seq in numbers:
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
