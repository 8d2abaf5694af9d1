"""What hangs on a board, and on which pins: a new sensor is its driver and one line in `channels`.

A board that is wired otherwise has a file wiring.json beside main.py, with the names below that differ; null for what
is not there.
"""

import json

from tallystick_node.battery import Battery
from tallystick_node.errors import NodeError
from tallystick_node.sensor import listed
from tallystick_node.sht3x import Sht3x
from tallystick_node.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick_node.sensor import Channel

    Wiring = dict[str, Any]

# Pin numbers. `probe`: the data line of DS18B20 probes; `probes`: which is which, {"p": ROM id in hex, "pb": ...}, when
# there are several; `door` and `case`: switches to ground, closed while closed, with `own_pull_up` of the pins (some 70
# microamperes while closed) or a resistor; `battery`: an analog pin behind a divider of `battery_ohm` [towards the
# battery, towards ground]; `light`: shows which board this is.
_NOTHING: "Wiring" = {"probe": None, "probes": None, "door": None, "case": None, "own_pull_up": True}
PICO: "Wiring" = dict(_NOTHING, sda=4, scl=5, battery=29, battery_ohm=[200_000, 100_000], light="LED")
ESP32: "Wiring" = dict(_NOTHING, sda=21, scl=22, battery=None, battery_ohm=[100_000, 100_000], light=2)
WIRING = {"rp2": PICO, "esp32": ESP32}

I2C_HZ = 100_000  # every sensor can, and a cable of a metre may hang between


def wiring(platform: str, text: "str | None") -> "Wiring":
    """Of this kind of board (sys.platform), with what the text of its wiring.json says otherwise."""
    usual: "Wiring" = WIRING.get(platform, PICO)
    try:
        other = json.loads(text) if text is not None else {}
    except ValueError:
        other = None
    if not isinstance(other, dict) or any(name not in usual for name in other):
        raise NodeError("wiring.json is not a JSON object with names of %s" % ", ".join(sorted(usual)))
    found = {name: other.get(name, usual[name]) for name in usual}
    for name in found:
        if not _is_wired(name, found[name]):
            raise NodeError("wiring.json: %s cannot be %s" % (name, json.dumps(found[name])))
    return found


def _is_wired(name: str, value: "Any") -> bool:
    if name == "own_pull_up":
        return isinstance(value, bool)
    if name == "battery_ohm":
        return isinstance(value, list) and len(value) == 2 and all(type(ohm) is int and ohm > 0 for ohm in value)
    if name == "probes" and value is not None:
        from tallystick_node.ds18b20 import NAMES

        return isinstance(value, dict) and all(one in NAMES and _is_rom(value[one]) for one in value)
    return value is None or isinstance(value, str) or type(value) is int


def _is_rom(text: object) -> bool:
    from tallystick_node.ds18b20 import ROM_BYTES

    return isinstance(text, str) and len(text) == 2 * ROM_BYTES and all(digit in "0123456789abcdef" for digit in text)


def channels(machine: "Any", wired: "Wiring") -> "list[Channel]":
    """Everything that is measured, in the order of a reading's records."""
    found: "list[Channel]" = []
    if wired["sda"] is not None:
        i2c = machine.I2C(0, sda=machine.Pin(wired["sda"]), scl=machine.Pin(wired["scl"]), freq=I2C_HZ)
        found += Sht3x(i2c).channels()
    if wired["probe"] is not None:
        found += _probes(machine, wired)
    if wired["battery"] is not None:
        found += Battery(_adc(machine, wired["battery"]), *wired["battery_ohm"]).channels()
    pull = machine.Pin.PULL_UP if wired["own_pull_up"] else None
    for name, wire in (("d", "door"), ("o", "case")):
        if wired[wire] is not None:
            found += Switch(name, machine.Pin(wired[wire], machine.Pin.IN, pull)).channels()
    return listed(found)


def _probes(machine: "Any", wired: "Wiring") -> "list[Channel]":
    import onewire  # type: ignore[import-not-found]  # of micropython-lib

    from tallystick_node.ds18b20 import Probes  # only where there is a probe: 3 KB

    pin = machine.Pin(wired["probe"])
    bus = onewire.OneWire(pin)

    def pull_up(on: bool) -> None:
        if on:
            pin.init(machine.Pin.OUT, value=1)
        else:
            pin.init(machine.Pin.OPEN_DRAIN, machine.Pin.PULL_UP)

    named = {name: bytes.fromhex(rom) for name, rom in (wired["probes"] or {}).items()}
    return Probes(bus, named, pull_up).channels()


def _adc(machine: "Any", pin: int) -> "Any":
    adc = machine.ADC(machine.Pin(pin))
    full_range = getattr(machine.ADC, "ATTN_11DB", None)  # an ESP32 sees no more than a volt without
    if full_range is not None:
        adc.atten(full_range)
    return adc
