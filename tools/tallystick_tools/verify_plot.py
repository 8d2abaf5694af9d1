"""A line of readings as inline SVG: limits shaded, gaps drawn as gaps, spikes kept however long the journey was."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import median

from tallystick_proof.chain import NOTHING
from tallystick_proof.evidence import VerifiedReading
from tallystick_tools.verify_text import when
from tallystick_wire.senml import Decimal

WIDTH, HEIGHT = 900, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 28
BUCKETS = 400  # a bucket is about two pixels: its lowest and its highest reading are drawn, never a mean
GAP_FACTOR = 3  # a step of more than three usual ones is a gap


@dataclass(frozen=True, slots=True)
class Point:
    """One reading on the page. `joined`: nothing is missing between it and the one before."""

    time_ms: int
    value: float
    joined: bool


def points(readings: Sequence[VerifiedReading], channel: str) -> list[Point]:
    """One node's readings of a channel in order, each at its boot's start and its own signed uptime."""
    starts = _boot_starts_ms(readings)
    timed: list[tuple[VerifiedReading, int]] = []
    for one in readings:
        time_ms = starts[one.reading.chain.boot] + one.reading.chain.uptime_ms
        # A boot whose start is known badly may seem to begin before the last one ended; the chain says it did not.
        timed.append((one, max(time_ms, timed[-1][1]) if timed else time_ms))
    steps = [after[1] - before[1] for before, after in pairwise(timed)]
    usual_ms = median(steps) if steps else 0
    found: list[Point] = []
    missing = True
    for (one, time_ms), step_ms in zip(timed, [0, *steps], strict=True):
        value = one.reading.pack.get(channel)
        missing = missing or one.missing != NOTHING or step_ms > GAP_FACTOR * max(usual_ms, 1)
        if isinstance(value, Decimal) or type(value) is int:
            found.append(Point(time_ms, as_float(value), not missing))
            missing = False
        else:
            missing = True
    return found


def thinned(line: Sequence[Point]) -> list[Point]:
    """At most about two points a bucket: the lowest and the highest, and every end of a gap."""
    if len(line) <= 2 * BUCKETS:
        return list(line)
    size = -(-len(line) // BUCKETS)
    kept: set[int] = {0, len(line) - 1}
    for start in range(0, len(line), size):
        part = range(start, min(start + size, len(line)))
        kept |= {min(part, key=lambda at: line[at].value), max(part, key=lambda at: line[at].value)}
    for at, point in enumerate(line):
        if not point.joined:
            kept |= {at, max(0, at - 1)}
    return [line[at] for at in sorted(kept)]


def svg(line: Sequence[Point], limit: float | None, title: str) -> str:
    """The plot; `limit` shades everything above it. An empty line gives an empty frame."""
    frame = _Frame(line, limit)
    shown = thinned(line)
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
            *frame.limit(limit),
            *frame.gaps(shown),
            *frame.axes(),
            *frame.lines(shown),
            "</svg>",
        ]
    )


class _Frame:
    """Where a time and a value lie on the page."""

    def __init__(self, line: Sequence[Point], limit: float | None) -> None:
        values = [point.value for point in line] + ([] if limit is None else [limit])
        self.low, self.high = (min(values), max(values)) if values else (0.0, 1.0)
        margin = (self.high - self.low) * 0.1 or 1.0
        self.low, self.high = self.low - margin, self.high + margin
        times = [point.time_ms for point in line] or [0]
        self.first_ms, self.last_ms = min(times), max(times)

    def x(self, time_ms: int) -> float:
        share = (time_ms - self.first_ms) / max(1, self.last_ms - self.first_ms)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (self.high - value) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def limit(self, limit: float | None) -> Iterator[str]:
        if limit is not None:
            height = self.y(limit) - TOP
            yield f'<rect class="limit" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{height:.1f}"/>'

    def gaps(self, line: Sequence[Point]) -> Iterator[str]:
        for before, after in pairwise(line):
            if not after.joined:
                left, right = self.x(before.time_ms), self.x(after.time_ms)
                width, height = max(1.0, right - left), HEIGHT - TOP - BOTTOM
                yield f'<rect class="gap" x="{left:.1f}" y="{TOP}" width="{width:.1f}" height="{height}"/>'

    def axes(self) -> Iterator[str]:
        for value in (self.low, (self.low + self.high) / 2, self.high):
            y = self.y(value)
            yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>'
        for time_ms, anchor in ((self.first_ms, "start"), (self.last_ms, "end")):
            x = self.x(time_ms) if self.last_ms > self.first_ms or anchor == "start" else WIDTH - RIGHT
            yield f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{escape(when(time_ms))}</text>'

    def lines(self, line: Sequence[Point]) -> Iterator[str]:
        runs: list[list[Point]] = []
        for point in line:
            if not point.joined or not runs:
                runs.append([])
            runs[-1].append(point)
        for run in runs:
            if len(run) == 1:
                x, y = self.x(run[0].time_ms), self.y(run[0].value)
                yield f'<circle class="reading" cx="{x:.1f}" cy="{y:.1f}" r="2"/>'
            else:
                path = " ".join(f"{self.x(point.time_ms):.1f},{self.y(point.value):.1f}" for point in run)
                yield f'<polyline class="reading" points="{path}"/>'


def _boot_starts_ms(readings: Sequence[VerifiedReading]) -> dict[int, int]:
    """boot -> when it began: its tightest lower bound, or its tightest upper one where no anchor gives a lower one.

    Bounds of neighbours jump with every anchor; distances in uptime are what the node signed.
    """
    lower: dict[int, int] = {}
    upper: dict[int, int] = {}
    for one in readings:
        chain, bounds = one.reading.chain, one.interval
        if one.anchor is not None and bounds.earliest_ms is not None:
            start_ms = bounds.earliest_ms - chain.uptime_ms
            lower[chain.boot] = max(lower.get(chain.boot, start_ms), start_ms)
        latest_ms = bounds.latest_ms if bounds.latest_ms is not None else chain.uptime_ms
        upper[chain.boot] = min(upper.get(chain.boot, latest_ms), latest_ms - chain.uptime_ms)
    return upper | lower


def as_float(value: Decimal | int) -> float:
    """For the eye only: nothing is decided on it. Values that no plot can show lie at its edge."""
    exponent, mantissa = (value.exponent, value.mantissa) if isinstance(value, Decimal) else (0, value)
    exact = mantissa * 10**exponent if exponent >= 0 else mantissa / 10**-exponent
    return max(-1e9, min(1e9, float(exact)))
