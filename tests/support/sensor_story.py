"""Sensors that are well and that are not, each as a short story of readings. MicroPython subset: runs on both.

`run(name)` gives what the readings say, one after the other: "t=412 h=70 | f=t: no answer; h: no answer".
"""

from tallystick_node import sensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tallystick_node.sensor import Channel

    Story = Callable[[], str]

MINUTE_MS = 60_000
SCENARIOS: "dict[str, Story]" = {}


def scenario(name: str) -> "Callable[[Story], Story]":
    def keep(story: "Story") -> "Story":
        SCENARIOS[name] = story
        return story

    return keep


def run(name: str) -> str:
    return SCENARIOS[name]()


class Clock:
    """Waits pass at once."""

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms

    def now(self) -> int:
        return self.now_ms

    def pause(self, duration_ms: int) -> None:
        self.now_ms += duration_ms


def told(channels: "list[Channel]", clock: "Clock | None" = None) -> str:
    """One reading in words; a minute passes."""
    clock = clock or Clock()
    records = sensor.measure(channels, clock.now_ms).records
    clock.now_ms += MINUTE_MS
    return " ".join([f"{one.name}={number(one.value)}" for one in records])


def number(value: "Any") -> "Any":
    return getattr(value, "mantissa", value)
