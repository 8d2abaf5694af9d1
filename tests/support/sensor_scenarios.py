"""Sensors that are well and that are not, each as a short story of readings. MicroPython subset: runs on both.

`run(name)` gives what the readings say, one after the other: "t=412 h=70 | f=t: no answer; h: no answer".
"""

from tallystick_node import ds18b20, sensor, sht3x
from tallystick_node.battery import Battery
from tallystick_node.emulated_i2c import HEATER_ON, EmulatedI2c, EmulatedSht3x
from tallystick_node.emulated_onewire import EmulatedDs18b20, EmulatedWire
from tallystick_node.sht3x import Sht3x
from tallystick_node.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tallystick_node.sensor import Channel

    Story = Callable[[], str]

MINUTE_MS = 60_000
TEMPERATURE_FLIP, HUMIDITY_FLIP = 1 << 24, 1
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


# --- SHT3x


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


# --- DS18B20


class Goods:
    """DS18B20 probes on one line; the first one feels -18.05 degrees."""

    def __init__(self, *centi_celsius: int, bits: int = 12, held_up: bool = False, named: bool = True) -> None:
        self.clock = Clock()
        self.chips = [
            EmulatedDs18b20(0x1234 * index + 7, self.feeling(felt), self.clock.now, bits)
            for index, felt in enumerate(centi_celsius or (-1805,))
        ]
        self.wire = EmulatedWire(*self.chips)
        self.roms = {ds18b20.NAMES[index]: chip.rom for index, chip in enumerate(self.chips)}
        self.probes = ds18b20.Probes(
            self.wire,
            self.roms if named and len(self.chips) > 1 else None,
            self.wire.pull_up if held_up else None,
            self.clock.pause,
        )
        self.channels = self.probes.channels()

    def feeling(self, felt: int) -> "Callable[[], int]":
        return lambda: felt

    def told(self) -> str:
        return told(self.channels, self.clock)


@scenario("probe well")
def _() -> str:
    return Goods().told()


@scenario("probe coldest")
def _() -> str:
    return Goods(-5500).told()


@scenario("probe hottest")
def _() -> str:
    return Goods(12500).told()


@scenario("probe at 9 bits")
def _() -> str:
    return Goods(1280, bits=9).told()


@scenario("probe gone")
def _() -> str:
    goods = Goods()
    goods.chips[0].is_there = False
    return goods.told()


@scenario("probe comes back")
def _() -> str:
    goods = Goods()
    goods.chips[0].is_there = False
    before = goods.told()
    goods.chips[0].is_there = True
    return before + " | " + goods.told()


@scenario("probe one bad answer")
def _() -> str:
    goods = Goods()
    goods.chips[0].flips = [1]
    return goods.told()


@scenario("probe two bad answers")
def _() -> str:
    goods = Goods()
    goods.chips[0].flips = [1, 1]
    return goods.told()


@scenario("probe power-on value")
def _() -> str:
    goods = Goods()
    goods.chips[0].loses_power = True
    return goods.told()


@scenario("probe line shorted")
def _() -> str:
    goods = Goods()
    goods.wire.is_shorted = True
    return goods.told()


@scenario("probe line shorted, fed by it")
def _() -> str:
    goods = Goods(100, 200, held_up=True)
    goods.wire.is_shorted = True
    return f"{goods.told()} | {goods.wire.burnt} burnt"


@scenario("probe fed by the line")
def _() -> str:
    goods = Goods(held_up=True)
    goods.chips[0].is_parasite = True
    return goods.told()


@scenario("probe fed by the line, nobody holds it up")
def _() -> str:
    goods = Goods()
    goods.chips[0].is_parasite = True
    return goods.told()


@scenario("probe busy for ever")
def _() -> str:
    goods = Goods()
    goods.chips[0].is_busy_for_ever = True
    return goods.told()


@scenario("three probes")
def _() -> str:
    goods = Goods(100, 200, 300)
    return f"{goods.told()} | {max([chip.conversions for chip in goods.chips])} conversion each"


@scenario("one of three gone")
def _() -> str:
    goods = Goods(100, 200, 300)
    goods.chips[1].is_there = False
    return goods.told()


@scenario("three probes nobody named")
def _() -> str:
    return Goods(100, 200, 300, named=False).told()


@scenario("one probe among others")
def _() -> str:
    """A chip of another family on the same line is no probe."""
    goods = Goods(-1805, 900, named=False)
    other = bytes([0x10]) + goods.chips[1].rom[1:7]
    goods.chips[1].rom = other + bytes([ds18b20.crc8(other)])
    return goods.told()


# --- switch


class Door:
    """A switch to ground on a pin with a pull-up: 1 while it is open."""

    IRQ_RISING, IRQ_FALLING = 1, 2

    def __init__(self, now_ms: int = 0) -> None:
        self.clock = Clock(now_ms)
        self.level = 0
        self.is_late = False  # interrupts are served when everything is over
        self.waiting = 0
        self.channels = Switch("d", self, now_ms=self.clock.now).channels()

    def value(self) -> int:
        return self.level

    def irq(self, handler: "Callable[[Any], None]", trigger: int) -> None:
        self.handler = handler

    def move(self, level: int, after_ms: int) -> None:
        self.clock.now_ms = (self.clock.now_ms + after_ms) % (1 << 30)
        self.level = level
        if self.is_late:
            self.waiting += 1
        else:
            self.handler(self)

    def serve(self) -> None:
        for _ in range(self.waiting):
            self.handler(self)

    def told(self) -> str:
        return told(self.channels)


@scenario("door shut")
def _() -> str:
    return Door().told()


@scenario("door open")
def _() -> str:
    door = Door()
    door.move(1, 100)
    return door.told() + " | " + door.told()


@scenario("door opened between two readings")
def _() -> str:
    door = Door()
    door.move(1, 100)
    door.move(0, 200)
    return door.told() + " | " + door.told()


@scenario("door bounced")
def _() -> str:
    door = Door()
    door.move(1, 100)
    door.move(0, 3)
    return door.told()


@scenario("door seen too late")
def _() -> str:
    door = Door()
    door.is_late = True
    door.move(1, 100)
    door.move(0, 200)
    door.serve()
    return door.told() + " | " + door.told()


@scenario("door across the wrap of the clock")
def _() -> str:
    door = Door((1 << 30) - 10)
    door.move(1, 5)
    door.move(0, 200)
    return door.told() + " | " + door.told()


# --- battery


class Adc:
    def __init__(self, level: int) -> None:
        self.level = level

    def read_u16(self) -> int:
        return self.level


class CalibratedAdc(Adc):
    def read_uv(self) -> int:
        return 1_200_000


def battery(adc: Adc) -> str:
    return told(Battery(adc, 200_000, 100_000).channels())


@scenario("battery well")
def _() -> str:
    return battery(Adc(23831))


@scenario("battery calibrated")
def _() -> str:
    return battery(CalibratedAdc(0))


@scenario("battery wire off")
def _() -> str:
    return battery(Adc(0))


@scenario("battery divider broken")
def _() -> str:
    return battery(Adc(65535))


if __name__ == "__main__":
    for each in SCENARIOS:
        print(f"{each}: {run(each)}")
