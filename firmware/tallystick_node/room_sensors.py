"""The sensors of a board in the cold room: the real drivers, on emulated buses that feel the room.

Everything a driver waits for passes at once: its clock is its own.
"""

from tallystick_node.battery import FULL_SCALE, REFERENCE_MV, Battery
from tallystick_node.cold_room import SPEEDUP, ColdRoom
from tallystick_node.ds18b20 import Probes
from tallystick_node.emulated_i2c import EmulatedI2c, EmulatedSht3x
from tallystick_node.emulated_onewire import EmulatedDs18b20, EmulatedWire
from tallystick_node.errors import NodeError
from tallystick_node.sensor import listed
from tallystick_node.sht3x import Sht3x
from tallystick_node.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tallystick_node.sensor import Channel

    Fault = tuple[str, int, int]

SENSORS = ("sht3x", "ds18b20", "battery", "door")
USUAL = "sht3x battery"
FAULTS = ("silent", "checksum", "heater", "stuck", "short", "power-on")
UPPER_OHM, LOWER_OHM = 200_000, 100_000
GOODS_COLDER_CENTI_CELSIUS = 30  # the probe lies in the goods, deep in the room


class RoomSensors:
    """`fault`: (kind, start_ms, duration_ms) of uptime in which the sensors that can have it have it."""

    def __init__(
        self, room: ColdRoom, uptime_ms: "Callable[[], int]", names: "list[str]", fault: "Fault | None" = None
    ) -> None:
        for name in names:
            if name not in SENSORS:
                raise NodeError("no sensor %s; there are %s" % (name, ", ".join(SENSORS)))
        if fault is not None and fault[0] not in FAULTS:
            raise NodeError("no fault %s; there are %s" % (fault[0], ", ".join(FAULTS)))
        self._room = room
        self._uptime_ms = uptime_ms
        self._fault = fault
        self._waited_ms = 0
        self._stuck: "tuple[int, int] | None" = None
        self._sht3x = EmulatedSht3x(self._feel, self._now_ms)
        self._probe = EmulatedDs18b20(1, self._feel_goods, self._now_ms)
        self._wire = EmulatedWire(self._probe)
        self._drivers: "dict[str, Any]" = {
            "sht3x": lambda: Sht3x(EmulatedI2c(self._sht3x), pause_ms=self._pause),
            "ds18b20": lambda: Probes(self._wire, pause_ms=self._pause),
            "battery": lambda: Battery(EmulatedAdc(self._battery_mv), UPPER_OHM, LOWER_OHM),
            "door": lambda: Switch("d", EmulatedPin(room), now_ms=room.uptime_ms),
        }
        self.channels: "list[Channel]" = []
        for name in names:
            self.channels += self._drivers[name]().channels()
        listed(self.channels)
        for channel in self.channels:
            channel.read = self._after_living(channel.read)
            if channel.per_minute is not None:
                channel.per_minute *= SPEEDUP

    def _now_ms(self) -> int:
        return self._waited_ms

    def _pause(self, duration_ms: int) -> None:
        self._waited_ms += duration_ms

    def _after_living(self, read: "Callable[[], object]") -> "Callable[[], object]":
        def live_and_read() -> object:
            self._live()
            return read()

        return live_and_read

    def _live(self) -> "Any":
        """The room at this moment, and what is broken at this moment."""
        felt = self._room.measure(self._uptime_ms())
        if self._fault is not None:
            self._break(self._fault[0], 0 <= self._uptime_ms() - self._fault[1] < self._fault[2])
        return felt

    def _break(self, kind: str, is_now: bool) -> None:
        self._sht3x.is_silent = is_now and kind == "silent"
        self._sht3x.flips = [1 << 24 | 1] * 2 if is_now and kind == "checksum" else []
        self._probe.is_there = not (is_now and kind == "silent")
        self._probe.flips = [1, 1] if is_now and kind == "checksum" else []
        self._wire.is_shorted = is_now and kind == "short"
        self._probe.loses_power = is_now and kind == "power-on"
        if is_now and kind == "heater":
            self._sht3x.is_heating = True
        if not is_now or kind != "stuck":
            self._stuck = None

    def _feel(self) -> "tuple[int, int]":
        felt = self._live()
        found = (felt.temperature_centi_celsius, felt.humidity_percent)
        if self._fault is not None and self._fault[0] == "stuck":
            self._stuck = found = self._stuck or found
        return found

    def _feel_goods(self) -> int:
        return int(self._live().temperature_centi_celsius) - GOODS_COLDER_CENTI_CELSIUS

    def _battery_mv(self) -> int:
        return int(self._live().battery_mv)


class EmulatedAdc:
    """As machine.ADC, behind the divider of a board."""

    def __init__(self, battery_mv: "Callable[[], int]") -> None:
        self._battery_mv = battery_mv

    def read_u16(self) -> int:
        at_pin_mv = self._battery_mv() * LOWER_OHM / (UPPER_OHM + LOWER_OHM)
        return min(FULL_SCALE, int(at_pin_mv * FULL_SCALE / REFERENCE_MV + 0.5))


class EmulatedPin:
    """As machine.Pin, an input that is 1 while the room's door is open."""

    IRQ_RISING, IRQ_FALLING = 1, 2

    def __init__(self, room: ColdRoom) -> None:
        self._room = room

    def value(self) -> int:
        return int(self._room.door_open)

    def irq(self, handler: "Callable[[Any], None]", trigger: int) -> None:
        self._room.door_moved = lambda: handler(self)
