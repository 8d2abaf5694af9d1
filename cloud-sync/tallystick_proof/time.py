"""When a reading was made: an interval, never an instant. The one place where uptimes become times.

A node signs its uptime and, once, an anchor: a ledger checkpoint that it received at some uptime. So a reading is
younger than that checkpoint's earliest cosignature, plus the uptime since then; and older than the first cosigned
checkpoint that covers it. A gateway's clock never narrows the interval.
"""

from dataclasses import dataclass

DRIFT_PPM = 200  # a cheap crystal over a freezer's temperature range, aging included; a resonator would not do
MAX_WITNESS_SKEW_MS = 60_000  # witnesses keep NTP time; a minute leaves room for a bad day

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class AnchorTime:
    """At `uptime_ms` of `boot` the node held a checkpoint that did not exist before `earliest_ms`."""

    boot: int
    uptime_ms: int
    earliest_ms: int


@dataclass(frozen=True, slots=True)
class Interval:
    """Milliseconds since 1970, None where nothing bounds it. Not `consistent`: the bounds contradict each other."""

    earliest_ms: int | None
    latest_ms: int | None
    consistent: bool
    gateway_says_ms: int | None = None


def interval(
    boot: int, uptime_ms: int, anchor: AnchorTime | None, latest_ms: int | None, gateway_ms: int | None
) -> Interval:
    """When the reading at `uptime_ms` of `boot` was made.

    anchor: the last one at or before the reading in its chain. latest_ms: when the first published checkpoint that
    covers the reading had its quorum. gateway_ms: carried along as what the gateway says.
    """
    earliest_ms = None if anchor is None else _earliest(boot, uptime_ms, anchor)
    consistent = earliest_ms is None or latest_ms is None or earliest_ms <= latest_ms + MAX_WITNESS_SKEW_MS
    return Interval(earliest_ms, latest_ms, consistent, gateway_ms)


def shortest_ms(elapsed_ms: int) -> int:
    """The least real time in which an uptime can grow by `elapsed_ms`: a fast clock ran. Rounded down."""
    return elapsed_ms * (_MILLION - DRIFT_PPM) // _MILLION


def longest_ms(elapsed_ms: int) -> int:
    """The most real time in which an uptime can grow by `elapsed_ms`: a slow clock ran. Rounded up."""
    return -(-elapsed_ms * (_MILLION + DRIFT_PPM) // _MILLION)


def _earliest(boot: int, uptime_ms: int, anchor: AnchorTime) -> int | None:
    if (boot, uptime_ms) < (anchor.boot, anchor.uptime_ms):
        return None  # made before the anchor came: it says nothing about this reading
    if boot == anchor.boot:
        return anchor.earliest_ms + shortest_ms(uptime_ms - anchor.uptime_ms)
    return anchor.earliest_ms  # a later boot: uptimes do not compare, the chain's order does
