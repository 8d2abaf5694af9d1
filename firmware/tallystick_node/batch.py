"""What was measured and is not on flash yet: numbered, not signed, and never more than MAX_BATCH_READINGS.

A number is taken when the measurement is made, so the reservation covers it: a power cut loses at most a batch, nobody
has heard of it, and the next boot record declares it. A signature is made when the batch is stored: an entry here is a
third of a signed reading, and twenty of them fit the memory that lasts over a deep sleep.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick_node.segment import Common
    from tallystick_wire.reading import Anchor

MAX_BATCH_READINGS = 20  # what one flash block holds, signed; and the most that a power cut can cost
FLASH_RETRY_MS = 10_000


class Measured:
    """A reading but for its link and its signature. `payload` is the encoded pack."""

    __slots__ = ("anchor", "payload", "seq", "uptime_ms")

    def __init__(self, seq: int, uptime_ms: int, anchor: "Anchor | None", payload: bytes) -> None:
        self.seq = seq
        self.uptime_ms = uptime_ms
        self.anchor = anchor
        self.payload = payload


class Batch:
    """`entries`, oldest first. `limit`: how many are stored at once; the oldest waits at most `wait_ms`."""

    def __init__(self, limit: int, wait_ms: int) -> None:
        self.entries: "list[Measured]" = []
        self.limit = max(1, min(limit, MAX_BATCH_READINGS))
        self.wait_ms = wait_ms
        self.is_urgent = False
        self._not_before_ms = 0

    @property
    def is_full(self) -> bool:
        return len(self.entries) >= self.limit

    def add(self, measured: Measured, urgent: bool) -> None:
        self.entries.append(measured)
        self.is_urgent = self.is_urgent or urgent

    def postpone(self, now_ms: int) -> None:
        """The flash refused it: signing it all again costs seconds, so not at once."""
        self._not_before_ms = now_ms + FLASH_RETRY_MS

    def due_in_ms(self, now_ms: int) -> "int | None":
        """How long it may still wait; None while it is empty."""
        if not self.entries:
            return None
        due_ms = now_ms if self.is_full or self.is_urgent else self.entries[0].uptime_ms + self.wait_ms
        return max(0, max(due_ms, self._not_before_ms) - now_ms)

    def sleep(self, common: "Common") -> "list[Any]":
        """What a deep sleep must not forget; nothing urgent sleeps."""
        entries: "list[Any]" = []
        for one in self.entries:
            anchor = None if one.anchor is None else list(one.anchor)
            entries.append([one.uptime_ms, anchor, common.shrink(one.payload)])
        return [self.entries[0].seq if self.entries else 0, entries]

    def resume(self, saved: "list[Any]", common: "Common") -> None:
        """Wake from a deep sleep."""
        first, entries = saved
        self.entries = []
        for uptime_ms, anchor, payload in entries:
            known = None if anchor is None else (anchor[0], anchor[1], anchor[2])
            self.entries.append(Measured(first + len(self.entries), uptime_ms, known, common.grow(payload)))

    def clear(self) -> None:
        """It is on flash."""
        self.entries = []
        self.is_urgent = False
        self._not_before_ms = 0
