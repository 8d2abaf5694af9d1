"""What a sensor says, and how that becomes SenML records. A board's `measure()` returns a Measurement."""

from tallystick_node.errors import SensorError
from tallystick_wire import senml

# What common cold-chain sensors can say at all; anything else is a broken wire, not a measurement.
LOWEST_CENTI_CELSIUS, HIGHEST_CENTI_CELSIUS = -9000, 15000


class Measurement:
    """Hundredths of a degree Celsius, percent, millivolt; `door_open` is None where there is no door switch."""

    __slots__ = ("battery_mv", "door_open", "humidity_percent", "temperature_centi_celsius")

    def __init__(
        self, temperature_centi_celsius: int, humidity_percent: int, battery_mv: int, door_open: "bool | None"
    ) -> None:
        if not LOWEST_CENTI_CELSIUS <= temperature_centi_celsius <= HIGHEST_CENTI_CELSIUS:
            raise SensorError("a temperature of %d hundredths of a degree" % temperature_centi_celsius)
        if not 0 <= humidity_percent <= 100:
            raise SensorError("a humidity of %d percent" % humidity_percent)
        if not 0 <= battery_mv <= 65535:
            raise SensorError("a battery of %d mV" % battery_mv)
        self.temperature_centi_celsius = temperature_centi_celsius
        self.humidity_percent = humidity_percent
        self.battery_mv = battery_mv
        self.door_open = door_open


def records(measurement: Measurement) -> "list[senml.Record]":
    """t, h, b, and d where there is a door switch."""
    found = [
        _record("t", measurement.temperature_centi_celsius),
        _record("h", measurement.humidity_percent),
        _record("b", measurement.battery_mv),
    ]
    if measurement.door_open is not None:
        found.append(senml.Record("d", None, measurement.door_open))
    return found


def _record(name: str, mantissa: int) -> senml.Record:
    unit, exponent = senml.CHANNELS[name]
    value: "senml.Value" = senml.Decimal(exponent, mantissa) if exponent else mantissa
    return senml.Record(name, unit, value)
