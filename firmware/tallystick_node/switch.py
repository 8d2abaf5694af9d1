"""A door or tamper switch: open now, or open at any time since the last reading. Its interrupts remember."""

import time

from tallystick_node.sensor import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Pin(Protocol):
        """As machine.Pin, an input."""

        IRQ_RISING: int
        IRQ_FALLING: int

        def value(self) -> int: ...
        def irq(self, handler: Callable[[Any], None], trigger: int) -> object: ...


# Contacts of reed and micro switches bounce for less than 5 ms; nobody opens a door for less than this.
DEBOUNCE_MS = 20
TICKS_MASK = (1 << 30) - 1  # a board's ticks begin again at 2^30; within an interrupt nothing else may be called


class Switch:
    """`open_level`: what the pin says while open; 1 for a switch to ground with a pull-up, closed with the door.

    When in doubt it was open: an interrupt that came too late to see how long is not thrown away.
    """

    def __init__(self, name: str, pin: "Pin", open_level: int = 1, now_ms: "Callable[[], int] | None" = None) -> None:
        self._name = name
        self._pin = pin
        self._open_level = open_level
        self._now_ms = now_ms or time.ticks_ms  # type: ignore[attr-defined]
        self._opened_ms: "int | None" = None  # while it is open, as far as the interrupts know
        self._was_open = False
        pin.irq(handler=self._moved, trigger=pin.IRQ_RISING | pin.IRQ_FALLING)

    def channels(self) -> "list[Channel]":
        return [Channel(self._name, self._read)]

    def _read(self) -> bool:
        is_open = self._pin.value() == self._open_level
        found = is_open or self._was_open
        self._was_open = False
        return found

    def _moved(self, pin: object) -> None:
        """At an edge. Runs as an interrupt: makes no objects."""
        if self._pin.value() == self._open_level:
            self._opened_ms = self._now_ms()
        elif self._opened_ms is None or (self._now_ms() - self._opened_ms) & TICKS_MASK >= DEBOUNCE_MS:
            self._was_open = True
            self._opened_ms = None
        else:
            self._opened_ms = None  # a contact that bounced
