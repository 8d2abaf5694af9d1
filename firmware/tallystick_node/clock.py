"""Milliseconds since boot that never wrap, from a counter that does."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Uptime:
    """`ticks_ms` and `ticks_diff` as in MicroPython's time; ask at least once in half a wrap (6 days)."""

    def __init__(self, ticks_ms: "Callable[[], int]", ticks_diff: "Callable[[int, int], int]") -> None:
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._last = ticks_ms()
        self._total_ms = 0

    def ms(self) -> int:
        now = self._ticks_ms()
        self._total_ms += self._ticks_diff(now, self._last)
        self._last = now
        return self._total_ms
