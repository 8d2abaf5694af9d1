"""time.py: intervals from uptimes and anchors."""

import pytest

from tallystick_proof.time import AnchorTime, interval, longest_ms, shortest_ms

ANCHOR = AnchorTime(boot=4, uptime_ms=1_000_000, earliest_ms=1_700_000_000_000)


@pytest.mark.parametrize(
    ("boot", "uptime_ms", "earliest_ms"),
    [
        (4, 1_000_000, 1_700_000_000_000),
        (4, 2_000_000, 1_700_000_999_800),  # 200 ppm of a million off
        (4, 1_000_001, 1_700_000_000_000),  # rounded down
        (4, 999_999, None),  # made before the anchor came
        (3, 5_000_000, None),
        (5, 0, 1_700_000_000_000),  # only the order of the chain is left
    ],
)
def test_lower_bound(boot: int, uptime_ms: int, earliest_ms: int | None) -> None:
    assert interval(boot, uptime_ms, ANCHOR, None, None).earliest_ms == earliest_ms


def test_no_anchor_no_bound() -> None:
    result = interval(4, 5, None, 99, 7)
    assert (result.earliest_ms, result.latest_ms, result.consistent) == (None, 99, True)


def test_the_gateway_never_narrows_the_interval() -> None:
    for gateway_ms in (None, 0, 1_700_000_500_000, 2**62):
        result = interval(4, 2_000_000, ANCHOR, 1_700_002_000_000, gateway_ms)
        assert (result.earliest_ms, result.latest_ms) == (1_700_000_999_800, 1_700_002_000_000)
        assert result.gateway_says_ms == gateway_ms


def test_bounds_that_contradict_each_other() -> None:
    """An anchor younger than the proof that the reading existed: only a minute of witness skew is forgiven."""
    for latest_ms, consistent in ((1_699_999_940_000, True), (1_699_999_939_999, False), (None, True)):
        assert interval(4, 1_000_000, ANCHOR, latest_ms, None).consistent is consistent


def test_elapsed_times_are_whole_and_on_the_safe_side() -> None:
    assert (shortest_ms(1), longest_ms(1)) == (0, 2)
    assert (shortest_ms(5000), longest_ms(5000)) == (4999, 5001)
    assert (shortest_ms(2**64), longest_ms(0)) == (2**64 * 999_800 // 1_000_000, 0)
