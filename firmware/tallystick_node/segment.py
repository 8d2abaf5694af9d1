"""One batch of signed readings as a file: what all readings of a node have in common is left out.

So twenty readings fit one flash block of 4 KB, which costs one erase. The file is a CBOR sequence of byte strings, one
for each reading, in order; its name says the first and the last number.
"""

from tallystick_node.errors import DamagedFile
from tallystick_wire import cbor, reading, senml
from tallystick_wire.errors import CborError

FOLDER = "s"
_SUFFIX = ".seg"
_DIGITS = 10  # of a sequence number, so that names sort like numbers
_WHOLE = 255  # in place of a position: nothing is left out


class Common:
    """Two pieces of bytes, of which each reading of a node holds each once, in this order."""

    def __init__(self, head: bytes, name: bytes) -> None:
        self._head = head
        self._name = name

    def shrink(self, data: bytes) -> bytes:
        """`data` without the pieces: where each stood, then the rest."""
        head_at = data.find(self._head)
        name_at = data.find(self._name, head_at + len(self._head)) - len(self._head)
        if not 0 <= head_at <= name_at < _WHOLE:
            return bytes([_WHOLE]) + data
        before, after = head_at, name_at + len(self._head)
        rest = data[before + len(self._head) : after] + data[after + len(self._name) :]
        return bytes([head_at, name_at]) + data[:before] + rest

    def grow(self, kept: bytes) -> bytes:
        """What shrink was given."""
        if kept[0] == _WHOLE:
            return kept[1:]
        head_at, name_at = kept[0] + 2, kept[1] + 2
        return kept[2:head_at] + self._head + kept[head_at:name_at] + self._name + kept[name_at:]


def common(pen: int, kid: bytes) -> Common:
    """The protected header up to the chain, and the base name."""
    chain = reading.Chain(1, 1, 0, bytes(reading.LINK_BYTES), None)
    header = reading.protected_header(kid, chain)
    head = header[: len(header) - len(cbor.encode(chain.items()))]
    return Common(head, cbor.encode(senml.base_name(pen, kid)))


def common_payload(pen: int, kid: bytes) -> Common:
    """What the payloads of a node share: the base name alone."""
    return Common(b"", cbor.encode(senml.base_name(pen, kid)))


class Segment:
    """The numbers first..last of one file, and which of them are not acked."""

    __slots__ = ("_waiting", "first", "last")

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self._waiting = (1 << (last - first + 1)) - 1  # bit i: first + i is not acked

    @property
    def name(self) -> str:
        return "%s/%0*d-%0*d%s" % (FOLDER, _DIGITS, self.first, _DIGITS, self.last, _SUFFIX)

    @property
    def is_settled(self) -> bool:
        """True when all of it is acked."""
        return self._waiting == 0

    def pending(self) -> "list[int]":
        """The numbers that are not acked, rising."""
        return [seq for seq in range(self.first, self.last + 1) if self.waits(seq)]

    def waits(self, seq: int) -> bool:
        return self.first <= seq <= self.last and bool(self._waiting >> (seq - self.first) & 1)

    def settle(self, seq: int) -> None:
        """`seq` is acked."""
        self._waiting &= ~(1 << (seq - self.first))


def named(name: str) -> "Segment | None":
    """The segment whose file is called `name`; None when no segment is."""
    body = name[len(FOLDER) + 1 : -len(_SUFFIX)]
    first, last = body[:_DIGITS], body[_DIGITS + 1 :]
    if not (first.isdigit() and last.isdigit()) or int(first) > int(last):
        return None
    found = Segment(int(first), int(last))
    return found if found.name == name else None


def newest_seq(names: "list[str]") -> int:
    """The last number of the segments among these files, 0 when there is none."""
    found = [one for one in map(named, names) if one is not None]
    return max([one.last for one in found] + [0])


def decode(segment: Segment, content: "bytes | memoryview") -> "list[bytes]":
    """The shrunk readings in a file; DamagedFile when it is not what its name says."""
    try:
        kept = cbor.decode_sequence(content)
    except CborError as error:
        raise DamagedFile("%s: %s" % (segment.name, error)) from None
    if len(kept) != segment.last - segment.first + 1 or not all(isinstance(one, bytes) and one for one in kept):
        raise DamagedFile("%s: not the readings that its name says" % segment.name)
    return kept
