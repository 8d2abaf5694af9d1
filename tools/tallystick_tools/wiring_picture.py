"""Draws how sensors hang on a board, from the pins that the firmware uses: docs/pictures/wiring-*.svg.

python -m tallystick_tools.wiring_picture
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from tallystick_node import board_sensors

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
# What the pictures show beside the usual pins: the sensors that a board has only when its wiring.json says so.
BOARDS = {
    "esp32": ("ESP32", "GPIO", {"probe": 4, "door": 27, "case": 26, "battery": 34}),
    "rp2": ("Raspberry Pi Pico", "GP", {"probe": 22, "door": 15, "case": 14}),
}
WIDTH, ROW, TOP = 760, 34, 56
BOARD_LEFT, BOARD_WIDTH, SENSOR_LEFT, SENSOR_WIDTH = 40, 150, 430, 290
COLOURS = {"3V3": "#c0392b", "GND": "#222222"}
SIGNAL = "#1f6fb2"
SWITCH_PARTS = "1M to 3V3, 10n to GND"


class Wire(NamedTuple):
    """From a pin of the board to a terminal; `part`: what lies on the way."""

    pin: str
    terminal: str
    part: str = ""


class Thing(NamedTuple):
    name: str
    wires: list[Wire]


def things(platform: str) -> list[Thing]:
    """What hangs on this board, pin by pin."""
    _, prefix, extra = BOARDS[platform]
    wired: dict[str, Any] = board_sensors.WIRING[platform] | extra
    pin = {name: f"{prefix}{wired[name]}" for name in ("sda", "scl", "probe", "door", "case", "battery")}
    upper, lower = (f"{ohm // 1000}k" for ohm in wired["battery_ohm"])
    fed, grounded = [Wire("3V3", "VDD"), Wire("GND", "GND")], Wire("GND", "2")
    i2c = [Wire(pin["sda"], "SDA", "10k to 3V3"), Wire(pin["scl"], "SCL", "10k to 3V3")]
    found = [
        Thing("SHT3x (t, h)", [*fed, *i2c]),
        Thing("DS18B20 (p)", [*fed, Wire(pin["probe"], "DQ", "4.7k to 3V3")]),
        Thing("door switch (d)", [Wire(pin["door"], "1", SWITCH_PARTS), grounded]),
        Thing("case switch (o)", [Wire(pin["case"], "1", SWITCH_PARTS), grounded]),
    ]
    if "battery" in extra:
        found.append(
            Thing("battery (b)", [Wire(pin["battery"], "+", f"{upper} to +, {lower} to GND"), Wire("GND", "-")])
        )
    return found


def svg(platform: str) -> str:
    """The whole picture; it loads nothing."""
    title = BOARDS[platform][0]
    drawn = things(platform)
    rows = sum(len(thing.wires) for thing in drawn) + len(drawn)
    height = TOP + rows * ROW
    view = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view}>',
        f"<title>{escape(title)} with its sensors</title>",
        _box(0, 0, WIDTH, height, "#ffffff", "none"),
        _box(BOARD_LEFT, 40, BOARD_WIDTH, height - 60, "#e8f2ea", "#2d6a3e"),
        _text(BOARD_LEFT + BOARD_WIDTH // 2, 28, title, "middle", bold=True),
        *_things(drawn),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _things(drawn: list[Thing]) -> Iterator[str]:
    y = TOP + ROW // 2
    for thing in drawn:
        top, height = y - ROW // 2, len(thing.wires) * ROW
        yield _box(SENSOR_LEFT, top, SENSOR_WIDTH, height, "#f4f1e6", "#8a7430")
        yield _text(SENSOR_LEFT + 60, top + height // 2 + 5, thing.name, "start", bold=True)
        for wire in thing.wires:
            yield from _wire(wire, y)
            y += ROW
        y += ROW


def _wire(wire: Wire, y: int) -> Iterator[str]:
    colour = COLOURS.get(wire.pin, SIGNAL)
    right = BOARD_LEFT + BOARD_WIDTH
    yield f'<line x1="{right}" y1="{y}" x2="{SENSOR_LEFT}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
    yield _text(right - 8, y + 5, wire.pin, "end")
    yield _text(SENSOR_LEFT + 8, y + 5, wire.terminal, "start")
    if wire.part:
        yield _text((right + SENSOR_LEFT) // 2, y - 5, wire.part, "middle", size=11)


def _box(x: int, y: int, width: int, height: int, fill: str, stroke: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{stroke}"/>'


def _text(x: int, y: int, text: str, anchor: str, size: int = 14, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}"{weight}>{escape(text)}</text>'


def save() -> None:
    for platform in BOARDS:
        (PICTURES / f"wiring-{platform}.svg").write_text(svg(platform), "utf-8")


if __name__ == "__main__":
    save()
