"""What time it is and how far that can be trusted, as the kernel says it."""

import ctypes
import time
from dataclasses import dataclass

from tallystick_proof import entry

EARLIEST_PLAUSIBLE_MS = 1_704_067_200_000  # 2024-01-01: a Pi without a clock starts in 1970
STA_UNSYNC = 0x0040  # linux/timex.h
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Wall time in ms or None, one of entry's clock states, and its bound in ms or None."""

    wall_ms: int | None
    state: int
    error_ms: int | None


class Clock:
    """The machine's clocks. A test gives another object with the same three methods."""

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()

    def read(self) -> ClockReading:
        """Wall time as it goes into an entry."""
        return judge(time.time_ns() // 1_000_000, _kernel_error_us())

    def mono_ms(self) -> int:
        """Milliseconds since this object was made: never steps."""
        return (time.monotonic_ns() - self._start_ns) // 1_000_000

    def monotonic(self) -> float:
        """Seconds, for waiting."""
        return time.monotonic()


def judge(wall_ms: int, error_us: int | None) -> ClockReading:
    """A reading from wall time and the kernel's bound (None: not synchronised)."""
    if wall_ms < EARLIEST_PLAUSIBLE_MS:
        return ClockReading(None, entry.CLOCK_UNSYNCED, None)
    if error_us is None:
        return ClockReading(wall_ms, entry.CLOCK_UNSYNCED, None)
    return ClockReading(wall_ms, entry.CLOCK_NTP, -(-error_us // 1000))


class _Timex(ctypes.Structure):
    # The head of struct timex (adjtimex(2)); the rest is room for the kernel to write into.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def _kernel_error_us() -> int | None:
    """The kernel's bound on the clock error in microseconds, or None when it does not vouch for the clock."""
    timex = _Timex()
    state = _LIBC.adjtimex(ctypes.byref(timex))  # modes = 0 only reads
    if state in (-1, TIME_ERROR) or timex.status & STA_UNSYNC:
        return None
    return int(timex.maxerror)


_LIBC = ctypes.CDLL(None)
