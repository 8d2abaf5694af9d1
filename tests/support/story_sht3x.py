"""An SHT3x. MicroPython subset."""

from sensor_story import Clock, scenario, told

from tallystick_node import sht3x
from tallystick_node.emulated_i2c import HEATER_ON, EmulatedI2c, EmulatedSht3x
from tallystick_node.sht3x import Sht3x

TEMPERATURE_FLIP, HUMIDITY_FLIP = 1 << 24, 1


class Air:
    """An SHT3x in air of 4.12 degrees and 70 %."""

    def __init__(self, address: int = sht3x.ADDRESS, centi_celsius: int = 412, percent: int = 70) -> None:
        self.clock = Clock()
        self.felt = (centi_celsius, percent)
        self.chip = EmulatedSht3x(lambda: self.felt, self.clock.now, address)
        self.bus = EmulatedI2c(self.chip)
        self.channels = Sht3x(self.bus, address, self.clock.pause).channels()

    def told(self) -> str:
        return told(self.channels, self.clock)


@scenario("sht3x well")
def _() -> str:
    return Air().told()


@scenario("sht3x coldest and wettest")
def _() -> str:
    return Air(centi_celsius=-4000, percent=100).told()


@scenario("sht3x gone")
def _() -> str:
    air = Air()
    air.chip.is_silent = True
    return air.told()


@scenario("sht3x comes back")
def _() -> str:
    air = Air()
    air.chip.is_silent = True
    before = air.told()
    air.chip.is_silent = False
    return before + " | " + air.told()


def flipped(*flips: int) -> str:
    air = Air()
    air.chip.flips = list(flips)
    return air.told()


@scenario("sht3x one bad answer")
def _() -> str:
    return flipped(TEMPERATURE_FLIP | HUMIDITY_FLIP)


@scenario("sht3x bad temperature")
def _() -> str:
    return flipped(TEMPERATURE_FLIP, TEMPERATURE_FLIP)


@scenario("sht3x bad humidity")
def _() -> str:
    return flipped(HUMIDITY_FLIP, HUMIDITY_FLIP)


@scenario("sht3x two bad answers")
def _() -> str:
    return flipped(*[TEMPERATURE_FLIP | HUMIDITY_FLIP] * 2)


@scenario("sht3x heater left on")
def _() -> str:
    """The driver's reset puts it off."""
    air = Air()
    air.bus.writeto(sht3x.ADDRESS, HEATER_ON)
    return air.told()


@scenario("sht3x heater that stays on")
def _() -> str:
    air = Air()
    air.chip.status |= sht3x.HEATER_ON
    air.chip.power_cycle = lambda: None  # type: ignore[method-assign]
    return air.told()


@scenario("sht3x power dip")
def _() -> str:
    air = Air()
    air.told()
    air.chip.power_cycle()
    return air.told()


@scenario("sht3x other address")
def _() -> str:
    return Air(sht3x.OTHER_ADDRESS).told()


@scenario("sht3x slow")
def _() -> str:
    """It is asked before it has measured, and says nothing: never an older answer."""
    air = Air()
    return told(Sht3x(air.bus, pause_ms=lambda _: None).channels())


@scenario("sht3x humidity alone")
def _() -> str:
    air = Air()
    return told(air.channels[1:], air.clock)


@scenario("sht3x measures once for both")
def _() -> str:
    air = Air()
    return f"{air.told()} | {air.chip.measurements}"


@scenario("sht3x stuck")
def _() -> str:
    air = Air()
    found = [air.told() for _ in range(sht3x.STUCK_AFTER)]
    more = found.count(found[0]) - 1
    air.felt = (413, 70)
    stuck = found[-1].replace("h=70 ", "")
    return f"{found[0]} | {more} more | {stuck} | {air.told()}"
