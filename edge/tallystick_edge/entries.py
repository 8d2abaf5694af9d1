"""Entries as this gateway writes them: its boot, its clocks, and what it says about itself."""

from typing import Protocol

from tallystick_edge.clock import ClockReading
from tallystick_proof import entry
from tallystick_wire import cbor

OWN_SOURCE = "gateway"  # the source of what the gateway says about itself
MAX_NOTE_TEXT_CHARACTERS = 200  # error texts of other programs end up in notes


class Clocks(Protocol):
    """Wall time with its quality, and milliseconds that never step."""

    def read(self) -> ClockReading: ...
    def mono_ms(self) -> int: ...


class EntryMaker:
    """Makes the entries of one gateway boot."""

    def __init__(self, boot: int, clock: Clocks) -> None:
        self.boot = boot
        self._clock = clock

    def now_ms(self) -> int | None:
        """Wall time, when the machine has one."""
        return self._clock.read().wall_ms

    def clock_state(self) -> int:
        """One of entry's clock states."""
        return self._clock.read().state

    def mono_ms(self) -> int:
        """Milliseconds that never step."""
        return self._clock.mono_ms()

    def reading(self, data: bytes, source: str) -> bytes:
        """A reading that came by the link `source`."""
        return self._entry(entry.READING, source, data)

    def note(self, number: int, says: dict[str, object]) -> bytes:
        """One of entry's NOTE_... with what it says: texts are cut, integers and None stay."""
        pairs: list[tuple[object, object]] = [
            (key, value if value is None or isinstance(value, int) else str(value)[:MAX_NOTE_TEXT_CHARACTERS])
            for key, value in says.items()
        ]
        return self._entry(entry.NOTE, OWN_SOURCE, (number, cbor.Map(pairs)))

    def _entry(self, kind: int, source: str, body: entry.Body) -> bytes:
        now = self._clock.read()
        source = source[: entry.MAX_SOURCE_CHARACTERS]
        return entry.GatewayEntry(
            kind, self.boot, self._clock.mono_ms(), now.wall_ms, now.state, now.error_ms, source, body
        ).encode()
