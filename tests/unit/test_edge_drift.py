"""The drift estimate: what it finds, what does not mislead it, and when it says nothing."""

import random
from itertools import pairwise

import pytest

from tallystick_edge import drift
from tallystick_edge.drift import Point, Watch, estimate

START_MS = 1_800_000_000_000
MINUTE_MS = 60_000


def made(ppm: float, minutes: int, seed: int = 1, late_ms: int = 60) -> list[Point]:
    """A reading a minute by a clock that is fast by `ppm`, received up to `late_ms` later."""
    chance = random.Random(seed)
    return [
        (round(at * MINUTE_MS * (1 + ppm / 1e6)), START_MS + at * MINUTE_MS + chance.randint(1, late_ms))
        for at in range(minutes)
    ]


@pytest.mark.parametrize("ppm", [-120.0, -20.0, 0.0, 35.0, 400.0])
def test_the_drift_is_within_its_own_uncertainty(ppm: float) -> None:
    found = estimate(made(ppm, 24 * 60))
    assert found is not None
    assert abs(found.ppm - ppm) <= found.uncertainty_ppm + 0.2
    assert found.uncertainty_ppm < 1.0
    assert found.span_ms > 23 * 3600_000


def test_a_longer_time_says_more() -> None:
    spans = [estimate(made(20.0, minutes)) for minutes in (30, 300, 3000)]
    widths = [one.uncertainty_ppm for one in spans if one is not None]
    assert len(widths) == 3
    assert all(later < earlier for earlier, later in pairwise(widths))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_backlog_does_not_mislead(share: float) -> None:
    """While the gateway is off readings wait; all of them arrive when it is back."""
    points = made(30.0, 1000)
    first = 100
    last = first + int(1000 * share)
    back_ms = points[last][1]
    points = [(up, back_ms if first <= at < last else received) for at, (up, received) in enumerate(points)]
    found = estimate(points)
    assert found is not None
    assert abs(found.ppm - 30.0) <= found.uncertainty_ppm + 0.5
    assert found.points >= drift.MIN_POINTS


def test_single_late_ones_do_not_mislead() -> None:
    chance = random.Random(7)
    late_ms = [chance.randint(0, 3600_000) if chance.random() < 0.4 else 0 for _ in range(1000)]
    found = estimate((up, received + late) for (up, received), late in zip(made(-15.0, 1000), late_ms, strict=True))
    assert found is not None
    assert abs(found.ppm + 15.0) <= found.uncertainty_ppm + 0.5


def test_the_order_of_arrival_is_nothing() -> None:
    points = made(12.0, 500)
    shuffled = points.copy()
    random.Random(3).shuffle(shuffled)
    assert estimate(points) == estimate(shuffled)


def test_too_little_says_nothing() -> None:
    assert estimate([]) is None
    assert estimate(made(0.0, 1)) is None
    assert estimate(made(0.0, drift.MIN_POINTS - 1)) is None
    assert estimate(made(0.0, 9)) is None  # eight minutes
    assert estimate([(5, START_MS)] * 100) is None


def test_a_watch_holds_few_points_and_the_best() -> None:
    watch = Watch()
    points = made(25.0, 3 * drift.MAX_BUCKETS)
    for up, received in points:
        watch.add(up, received)
        watch.add(up, received + 5000)
    assert len(watch.points()) <= drift.MAX_BUCKETS
    found = estimate(watch.points())
    assert found is not None
    assert abs(found.ppm - 25.0) <= found.uncertainty_ppm + 0.1
