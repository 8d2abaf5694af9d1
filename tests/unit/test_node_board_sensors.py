"""Which sensors a board has, and on which pins: the usual wiring, and what a wiring.json says otherwise."""

import json
import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from tallystick_node import board_sensors, sensor
from tallystick_node.emulated_i2c import EmulatedI2c, EmulatedSht3x
from tallystick_node.emulated_onewire import EmulatedDs18b20, EmulatedWire
from tallystick_node.errors import NodeError


class Pin:
    """As machine.Pin; `modes` is what each was set to."""

    IN, OUT, OPEN_DRAIN, PULL_UP = "in", "out", "open drain", "pull-up"
    IRQ_RISING, IRQ_FALLING = 1, 2
    modes: ClassVar[dict[Any, list[Any]]] = {}

    def __init__(self, number: Any, mode: Any = None, pull: Any = None) -> None:
        self.number = number
        self.modes[number] = [(mode, pull)]

    def init(self, mode: Any, pull: Any = None, value: Any = None) -> None:
        self.modes[self.number].append((mode, pull if value is None else value))

    def value(self) -> int:
        return 0

    def irq(self, handler: Any, trigger: int) -> None:
        assert trigger == 3


class Adc:
    def __init__(self, pin: Pin) -> None:
        self.pin = pin

    def read_u16(self) -> int:
        return 23831


class EspAdc(Adc):
    ATTN_11DB = 3
    set_to: ClassVar[list[int]] = []

    def atten(self, value: int) -> None:
        self.set_to.append(value)

    def read_uv(self) -> int:
        return 1_800_000


class Clock:
    """The board's time; sleeping passes at once."""

    now_ms = 0

    @classmethod
    def sleep(cls, seconds: float) -> None:
        cls.now_ms += round(seconds * 1000)

    @classmethod
    def ticks_ms(cls) -> int:
        return cls.now_ms


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", Clock.sleep)
    monkeypatch.setattr("time.ticks_ms", Clock.ticks_ms, raising=False)  # MicroPython's


def machine(adc: type[Adc] = Adc) -> Any:
    chip = EmulatedSht3x(lambda: (412, 70), Clock.ticks_ms)
    return SimpleNamespace(Pin=Pin, ADC=adc, I2C=lambda number, sda, scl, freq: EmulatedI2c(chip))


def told(adc: type[Adc], platform: str, **other: Any) -> dict[str, Any]:
    channels = board_sensors.channels(machine(adc), board_sensors.wiring(platform, json.dumps(other)))
    records = sensor.measure(channels, 0).records
    return {one.name: getattr(one.value, "mantissa", one.value) for one in records}


def test_a_pico_out_of_the_box() -> None:
    assert told(Adc, "rp2") == {"t": 412, "h": 70, "b": 3600}


def test_an_esp32_out_of_the_box() -> None:
    assert told(EspAdc, "esp32") == {"t": 412, "h": 70}


def test_an_esp32_sees_the_whole_range_of_its_battery() -> None:
    assert told(EspAdc, "esp32", battery=34) == {"t": 412, "h": 70, "b": 3600}
    assert EspAdc.set_to == [EspAdc.ATTN_11DB]


def test_switches() -> None:
    assert told(Adc, "rp2", door=15, case=14, battery=None) == {"t": 412, "h": 70, "d": False, "o": False}
    assert Pin.modes[15] == Pin.modes[14] == [("in", "pull-up")]
    told(Adc, "rp2", door=15, own_pull_up=False)
    assert Pin.modes[15] == [("in", None)]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> EmulatedWire:
    """Two probes, and micropython-lib's module as the board finds it."""
    wire = EmulatedWire(
        EmulatedDs18b20(1, lambda: 100, Clock.ticks_ms), EmulatedDs18b20(2, lambda: 200, Clock.ticks_ms)
    )
    monkeypatch.setitem(sys.modules, "onewire", SimpleNamespace(OneWire=lambda pin: wire))
    return wire


def test_probes_by_their_ids(line: EmulatedWire) -> None:
    first, second = line.devices
    names = {"p": second.rom.hex(), "pb": first.rom.hex()}
    assert told(Adc, "rp2", probe=22, probes=names, sda=None, battery=None) == {"p": 200, "pb": 100}


def test_probes_without_names_are_not_guessed(line: EmulatedWire) -> None:
    assert told(Adc, "rp2", probe=22, sda=None, battery=None) == {"f": "p: which probe"}
    line.devices.pop()
    assert told(Adc, "rp2", probe=22, sda=None, battery=None) == {"p": 100}


def test_a_probe_that_the_line_feeds_is_held_up(line: EmulatedWire, monkeypatch: pytest.MonkeyPatch) -> None:
    line.devices.pop()
    line.devices[0].is_parasite = True
    monkeypatch.setattr(Pin, "init", lambda self, mode, pull=None, value=None: line.pull_up(mode == Pin.OUT))
    assert told(Adc, "rp2", probe=22, sda=None, battery=None) == {"p": 100}


def test_a_board_that_nobody_knows_is_wired_like_a_pico() -> None:
    assert board_sensors.wiring("mimxrt", None) == board_sensors.PICO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "null",
        '{"dor": 5}',
        '{"door": 1.5}',
        '{"door": [5]}',
        '{"own_pull_up": 1}',
        '{"battery_ohm": [1, 0]}',
        '{"battery_ohm": null}',
        '{"probes": ["28ff641d8216035c"]}',
        '{"probes": {"p": "28FF641D8216035C"}}',
        '{"probes": {"q": "28ff641d8216035c"}}',
    ],
)
def test_a_wiring_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(NodeError, match=r"wiring\.json"):
        board_sensors.wiring("rp2", text)
