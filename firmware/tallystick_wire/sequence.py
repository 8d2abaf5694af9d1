"""Which sequence numbers arrived, as both ends see it. They count from 1; an ack speaks for a node's whole life."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    Span = tuple[int, int]

MAX_GAP_RANGES = 32  # an ack must stay one small frame


def covers(high: int, gaps: "list[Span]", seq: int) -> bool:
    """True when an ack of `high` and `gaps` says that `seq` is durable (or will never be asked for)."""
    return seq <= high and not any(first <= seq <= last for first, last in gaps)


class Spans:
    """A set of integers, kept as sorted, disjoint, inclusive ranges that do not touch."""

    def __init__(self) -> None:
        self.spans: "list[Span]" = []

    def _after(self, number: int) -> int:
        """The index of the first span that starts after `number`."""
        low, high = 0, len(self.spans)
        while low < high:
            middle = (low + high) // 2
            if self.spans[middle][0] <= number:
                low = middle + 1
            else:
                high = middle
        return low

    def has(self, number: int) -> bool:
        index = self._after(number)
        return index > 0 and number <= self.spans[index - 1][1]

    def insert(self, first: int, last: int) -> None:
        """Add first..last; merges with what it touches."""
        end = self._after(last + 1)
        start = self._after(first)
        if start > 0 and self.spans[start - 1][1] >= first - 1:
            start -= 1
        if start < end:
            first = min(first, self.spans[start][0])
            last = max(last, self.spans[end - 1][1])
        self.spans[start:end] = [(first, last)]


class Seen:
    """What one gateway knows about one node. `settled` are the numbers that arrived or never will."""

    def __init__(self) -> None:
        self._arrived = Spans()
        self._settled = Spans()

    def add(self, seq: int) -> bool:
        """Note that `seq` arrived; True when it is new."""
        if self._arrived.has(seq):
            return False
        self._arrived.insert(seq, seq)
        self._settled.insert(seq, seq)
        return True

    def has(self, seq: int) -> bool:
        return self._arrived.has(seq)

    def forget(self, first: int, last: int) -> None:
        """The node said that first..last will never come. One that comes all the same is still new."""
        if first <= last:
            self._settled.insert(first, last)

    def missing(self) -> "list[Span]":
        """The inclusive ranges below the highest settled number that are still to come."""
        ranges = []
        expected = 1
        for first, last in self._settled.spans:
            if first > expected:
                ranges.append((expected, first - 1))
            expected = last + 1
        return ranges

    def ack(self) -> "tuple[int, list[Span]]":
        """(high, gaps): all up to `high` settled but the gaps, at most MAX_GAP_RANGES; (0, []) before the first."""
        gaps = self.missing()
        if len(gaps) > MAX_GAP_RANGES:
            return gaps[MAX_GAP_RANGES][0] - 1, gaps[:MAX_GAP_RANGES]
        spans = self._settled.spans
        return (spans[-1][1] if spans else 0), gaps
