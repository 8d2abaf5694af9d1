"""Sequence numbers: reserved on flash in blocks before the first of them is used, so that none is ever used twice."""

from tallystick_node.errors import StorageError
from tallystick_node.twin import Twin
from tallystick_wire import reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SEQUENCE_BLOCK = 256  # a write every 256 readings; a crash skips what is left of the block


class Reserve:
    """`last` and `link`: the last reading that is on flash. `bound`: no number above it was ever used. `before`: no
    number above it was used before this boot.
    """

    def __init__(self, twin: Twin, bound: int, last: int, link: bytes) -> None:
        self._twin = twin
        self.bound = bound
        self.last = last
        self.link = link
        self.before = bound  # the boot before may have used all of its block
        self._next = bound + 1

    @property
    def highest(self) -> int:
        """No reading above this number can have been signed and stored, so nobody can have it."""
        return max(self.before, self.last)

    @property
    def exhausted(self) -> bool:
        return self._next > self.bound

    def extend(self) -> None:
        """Reserve the next block. Readings after `last` may wait in RAM: the reservation does not call them kept."""
        if self._next > reading.MAX_SEQ:
            raise StorageError("all sequence numbers are used up")
        before = self.bound
        self.bound = min(before + SEQUENCE_BLOCK, reading.MAX_SEQ)
        try:
            self.save()
        except StorageError:
            self.bound = before
            raise
        # A crash here: the block is skipped, none of it was used.

    def save(self) -> None:
        """Keep `bound`, and `last` with its link as the last reading that a later boot will remember."""
        self._twin.save([self.bound, self.last, self.link])

    def take(self) -> int:
        """The number for the next reading, never given again."""
        if self.exhausted:
            raise StorageError("no sequence number is reserved")
        self._next += 1
        return self._next - 1

    def sleep(self) -> "list[Any]":
        """What a deep sleep must not forget."""
        return [self._next, self.before, self.last, self.link]

    def resume(self, saved: "list[Any]") -> None:
        """Wake from a deep sleep, in which nothing changed."""
        self._next, self.before, self.last, self.link = saved

    def stored(self, seq: int, link: bytes) -> None:
        """Every reading up to `seq` is on flash."""
        self.last = seq
        self.link = link


def load(twin: Twin, genesis: bytes, stored: "tuple[int, bytes] | None", broken: bool) -> Reserve:
    """The numbers after a boot.

    `stored`: number and link of the newest good reading on flash. `broken`: readings after it were on flash and are
    lost; then nothing newer counts as remembered, whatever the reservation says, and that is kept at once.
    """
    value = twin.load()
    bound, last, link = (0, 0, genesis) if value is None else value
    if twin.doubtful:
        bound += SEQUENCE_BLOCK  # the copy that is missing may have reserved one block more
    if broken:
        last, link = stored or (0, genesis)
    elif stored is not None and stored[0] > last:
        last, link = stored
    reserve = Reserve(twin, bound, last, link)
    if broken:
        reserve.save()
    return reserve
