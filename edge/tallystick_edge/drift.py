"""How fast a node's clock runs, seen from the gateway: a straight line through (uptime, time of receipt). Pure.

A reading is never received before it was made, but it may be received much later (the gateway was off, the node sends
its backlog). So the line is first laid under all points, as far up as it goes; only points close above it count, and
the slope is the median of the slopes between them (Theil and Sen), with Sen's 95 % interval as its uncertainty.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

MIN_SPAN_MS = 600_000  # of ten minutes a receipt that is late by a second says 1,700 ppm
MIN_POINTS = 8
MAX_POINTS = 64  # 2,016 slopes; more do not narrow the interval enough to matter
MAX_BUCKETS = 4096  # of one boot; then neighbours are merged
FIRST_BUCKET_MS = 10_000
CLOSE_MS = 1_000  # a gateway commits within a second of receipt on a bad day
_CONFIDENCE = 1.96

Point = tuple[int, int]  # uptime_ms, received_ms


@dataclass(frozen=True, slots=True)
class Drift:
    """`ppm` above 0: the node's clock is fast. It lies within `uncertainty_ppm` of that with 95 % confidence."""

    ppm: float
    uncertainty_ppm: float
    points: int
    span_ms: int


class Watch:
    """The best points of one boot of one node: in each stretch of uptime the one that was received soonest."""

    def __init__(self) -> None:
        self._bucket_ms = FIRST_BUCKET_MS
        self._best: dict[int, Point] = {}

    def add(self, uptime_ms: int, received_ms: int) -> None:
        self._keep((uptime_ms, received_ms))
        if len(self._best) > MAX_BUCKETS:
            self._bucket_ms *= 2
            points, self._best = list(self._best.values()), {}
            for point in points:
                self._keep(point)

    def points(self) -> list[Point]:
        """By uptime."""
        return sorted(self._best.values())

    def _keep(self, point: Point) -> None:
        bucket = point[0] // self._bucket_ms
        best = self._best.get(bucket)
        if best is None or _lateness(point) < _lateness(best):
            self._best[bucket] = point


def estimate(points: Iterable[Point]) -> Drift | None:
    """The drift that the points show; None when they are too few or too close together to say anything."""
    found = _soonest(sorted(points))
    found = _thinned(_close_to_line(found)) if len(found) >= 2 else []
    if len(found) < MIN_POINTS or found[-1][0] - found[0][0] < MIN_SPAN_MS:
        return None
    slopes = sorted((late - early) / (up - down) for (down, early), (up, late) in combinations(_spread(found), 2))
    middle = slopes[len(slopes) // 2]
    low, high = _interval(slopes, len(found))
    # Received time over uptime: a node whose clock is fast counts more than was.
    span_ms = found[-1][0] - found[0][0]
    uncertainty = max((high - low) / 2, 1 / span_ms)
    return Drift(-middle * 1e6, uncertainty * 1e6, len(found), span_ms)


def _lateness(point: Point) -> int:
    return point[1] - point[0]


def _soonest(points: Sequence[Point]) -> list[Point]:
    """One point for each uptime: the soonest."""
    best: dict[int, int] = {}
    for uptime_ms, received_ms in points:
        best[uptime_ms] = min(received_ms, best.get(uptime_ms, received_ms))
    return list(best.items())


def _close_to_line(points: Sequence[Point]) -> list[Point]:
    """Those that lie at most CLOSE_MS above the line under all: an edge of the lower hull, below the middle."""
    hull: list[Point] = []
    for point in points:
        while len(hull) >= 2 and _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    middle_ms = (points[0][0] + points[-1][0]) / 2
    left, right = next(edge for edge in pairwise(hull) if edge[1][0] >= middle_ms)
    slope = (right[1] - left[1]) / (right[0] - left[0])
    return [point for point in points if point[1] - (left[1] + slope * (point[0] - left[0])) <= CLOSE_MS]


def _turns_right(first: Point, second: Point, third: Point) -> bool:
    (x1, y1), (x2, y2), (x3, y3) = first, second, third
    return (x2 - x1) * (y3 - y1) - (y2 - y1) * (x3 - x1) <= 0


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS: of as many equal stretches the soonest of each."""
    if len(points) <= MAX_POINTS:
        return list(points)
    first, last = points[0][0], points[-1][0]
    best: dict[int, Point] = {}
    for point in points:
        stretch = min(MAX_POINTS - 1, (point[0] - first) * MAX_POINTS // (last - first))
        if stretch not in best or _lateness(point) < _lateness(best[stretch]):
            best[stretch] = point
    return [best[stretch] for stretch in sorted(best)]


def _spread(points: Sequence[Point]) -> list[Point]:
    """As (uptime, lateness): small numbers, so that the slope is the drift itself."""
    return [(uptime_ms, received_ms - uptime_ms) for uptime_ms, received_ms in points]


def _interval(slopes: Sequence[float], count: int) -> tuple[float, float]:
    """Sen's: the ranks around the median that hold the slope with 95 % confidence."""
    half = _CONFIDENCE * math.sqrt(count * (count - 1) * (2 * count + 5) / 18) / 2
    middle = len(slopes) / 2
    low, high = max(0, math.floor(middle - half)), min(len(slopes) - 1, math.ceil(middle + half))
    return slopes[low], slopes[high]
