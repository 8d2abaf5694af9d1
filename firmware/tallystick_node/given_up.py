"""The readings that a full flash made the node give up, until a gateway has acked a reading that says so.

Order: the ranges are written down, then the segment is removed, then readings of the batch that takes its place carry
a range each. So a power cut can cost nothing that is not declared. A range that was declared twice says nothing new.
"""

from tallystick_node.errors import StateLost
from tallystick_node.files import Files
from tallystick_node.twin import Twin
from tallystick_wire import senml
from tallystick_wire.reading import GapRecord
from tallystick_wire.sequence import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_wire.message import Ack
    from tallystick_wire.sequence import Span

    Declared = list[int]  # first, last, the number of the reading that says so or 0

MAX_RANGES = 16  # undeclared at once; beyond it the two oldest become one
_TWIN = "gap"


class GivenUp:
    """`ranges`: what was given up and is not known to anybody else yet."""

    def __init__(self, files: Files, below: int) -> None:
        """`below`: the oldest number on flash. When the twin is lost, all before it is declared: whoever had it acked
        has it, and the rest will never come."""
        self._twin = Twin(files, _TWIN)
        self._declared: "list[Declared]" = []
        try:
            value = self._twin.load()
        except StateLost:
            for name in files.names():
                if name.startswith(_TWIN + "."):
                    files.set_aside(name)
            self._twin = Twin(files, _TWIN)
            value = [[1, below - 1]] if below > 1 else []
            self._twin.save(value)
        self._declared = [[first, last, 0] for first, last in value or []]

    @property
    def ranges(self) -> "list[Span]":
        return [(first, last) for first, last, _ in self._declared]

    def add(self, ranges: "list[Span]") -> None:
        """Write down what is about to be removed; StorageError when the flash refuses."""
        grown = [[one[0], one[1], 0 if _holds(ranges, one[2]) else one[2]] for one in self._declared]
        for first, last in ranges:
            if grown and grown[-1][1] == first - 1:
                grown[-1] = [grown[-1][0], last, 0]
            else:
                grown.append([first, last, 0])
        while len(grown) > MAX_RANGES:
            grown[:2] = [[grown[0][0], grown[1][1], 0]]
        self._twin.save([one[:2] for one in grown])
        # A crash here: the next boot removes what these ranges cover.
        self._declared = grown

    def next_records(self, seq: int) -> "list[senml.Record]":
        """For the reading with that number: the first range that no reading of this boot carries."""
        for one in self._declared:
            if not one[2]:
                one[2] = seq
                return GapRecord(one[0], one[1]).records()
        return []

    def acked(self, ack: "Ack") -> None:
        """Forget the ranges whose reading a gateway has."""
        left = [one for one in self._declared if not one[2] or not covers(ack.high, ack.gaps, one[2])]
        if len(left) < len(self._declared):
            self._twin.save([one[:2] for one in left])
            # A crash before this: declared once more.
            self._declared = left

    def sleep(self) -> "list[Declared]":
        """What a deep sleep must not forget."""
        return self._declared

    def resume(self, saved: "list[Declared]") -> None:
        """Wake from a deep sleep."""
        self._declared = saved


def _holds(ranges: "list[Span]", seq: int) -> bool:
    return any(first <= seq <= last for first, last in ranges)
