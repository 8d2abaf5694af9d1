"""Milliseconds since boot that never wrap and go on over a deep sleep, from clocks that do neither."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_DRIFT_PPM = 100_000  # an RC oscillator is off by some percent; more is no drift but a clock that somebody set
COMPARED_MS = 600_000  # of awake time, in which the clocks are compared: a millisecond at each end is nothing to it


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

    def go_on_from(self, uptime_ms: int) -> None:
        """It is `uptime_ms` now: the board slept, and the boot goes on."""
        self.ms()
        self._total_ms = uptime_ms


class SleepClock:
    """How long the board slept, by a clock that goes on but is not exact, compared with the crystal while awake.

    `crystal_ms` and `counted_ms`: how far the two went while both were watched.
    """

    def __init__(self, crystal_ms: int = 0, counted_ms: int = 0) -> None:
        self.crystal_ms = crystal_ms
        self.counted_ms = counted_ms

    @property
    def drift_ppm(self) -> int:
        """How much longer the truth is than what the sleep clock counts."""
        return drift_ppm(self.crystal_ms, self.counted_ms)

    def watch(self, crystal_ms: int, counted_ms: int) -> None:
        """Both clocks went so far while the board was awake. Older times count less: it follows the weather."""
        self.crystal_ms += crystal_ms
        self.counted_ms += counted_ms
        if self.counted_ms > 2 * COMPARED_MS:
            self.crystal_ms = self.crystal_ms * COMPARED_MS // self.counted_ms
            self.counted_ms = COMPARED_MS

    def slept_ms(self, counted_ms: int) -> int:
        """What `counted_ms` of the sleep clock really were, as well as we know."""
        return counted_ms + counted_ms * self.drift_ppm // 1_000_000


def drift_ppm(crystal_ms: int, counted_ms: int) -> int:
    """Millionths that must be added to what was counted; 0 while too little was compared, or when it is no drift."""
    if counted_ms < COMPARED_MS // 10:
        return 0
    ppm = (crystal_ms - counted_ms) * 1_000_000 // counted_ms
    return ppm if abs(ppm) <= LARGEST_DRIFT_PPM else 0
