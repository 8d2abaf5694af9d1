"""The hardware's watchdog is fed only while there is real progress: a batch on flash, or a reading that the link took.

A loop that turns is no proof of life. The hardware waits a few seconds at most (8388 ms on an RP2040), progress may
take half an hour: so a deadline in software stands over the one in hardware.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST_DEADLINE_MS = 3_600_000  # a node that is cut off restarts once an hour, and its flash hardly notices
MISSED_BATCHES = 3


class Watchdog:
    """`feed()` keeps the hardware from resetting the board, for a moment."""

    def __init__(self, feed: "Callable[[], None]", deadline_ms: int) -> None:
        self._feed = feed
        self._deadline_ms = deadline_ms
        self.progress_ms = 0

    def progress(self, now_ms: int) -> None:
        """Something that somebody waits for has happened."""
        self.progress_ms = now_ms

    def turn(self, now_ms: int) -> None:
        """Once in every turn of the loop."""
        if now_ms - self.progress_ms <= self._deadline_ms:
            self._feed()


def deadline_ms(interval_ms: int, batch_ms: int) -> int:
    """When a node must have stored something, whatever happened to the link."""
    return max(SHORTEST_DEADLINE_MS, MISSED_BATCHES * (interval_ms + batch_ms))
