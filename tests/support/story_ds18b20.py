"""Probes on a 1-Wire line. MicroPython subset."""

from sensor_story import Clock, scenario, told

from tallystick_node import ds18b20
from tallystick_node.emulated_onewire import EmulatedDs18b20, EmulatedWire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


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
