"""How long a battery carries a node: an estimate from data sheets, for docs/node.md. Nothing here was measured.

python -m tallystick_tools.power_budget
"""

from collections.abc import Iterator
from dataclasses import dataclass

DAY_S = 86_400
MAS_PER_MAH = 3_600
BATTERY_MAH = 2_400  # three alkaline AA cells at 4 degrees, about four fifths of what their label says


@dataclass(frozen=True, slots=True)
class Load:
    """`current_ma` for `duration_s`, once a reading or once a batch; `basis`: where the numbers come from."""

    name: str
    current_ma: float
    duration_s: float
    once_a: str
    basis: str


@dataclass(frozen=True, slots=True)
class Way:
    """One way of living: how often it measures, how many readings share a batch, and whether it sleeps between."""

    name: str
    interval_s: int
    batch_readings: int
    sleeps: bool = True


READING, BATCH = "reading", "batch"
LOADS = (
    Load("wake, import, measure", 35, 0.6, READING, "ESP32 data sheet, modem sleep at 160 MHz; duration estimated"),
    Load("SHT3x measures", 0.6, 0.015, READING, "data sheet, table 4"),
    Load("DS18B20 converts", 1.0, 0.75, READING, "data sheet, active current; the board is awake and waits"),
    Load("board waits for the DS18B20", 35, 0.75, READING, "as waking"),
    Load("signature", 40, 0.1, READING, "about 5 M instructions, 60 to 110 ms; estimated"),
    Load("flash erases and writes a block", 45, 0.1, BATCH, "typical SPI flash: 45 ms to erase 4 KB; estimated"),
    Load("Wi-Fi joins, sends, hears the acks", 100, 2.0, BATCH, "100 to 300 mA.s; estimated"),
)
# Without a break, whatever the node does.
STANDING_MA = {
    "ESP32 in deep sleep, RTC memory on": 0.010,
    "battery divider, 200 k + 100 k at 4 V": 0.013,
    "door switch, closed, 1 M instead of the pin's own pull-up": 0.003,
    "SHT3x and DS18B20 idle": 0.001,
    "regulator, idle (a good one)": 0.005,
}
AWAKE_MA = 35  # instead of the first of them, when it never sleeps

WAYS = (
    Way("a reading a minute, each sent at once", 60, 1),
    Way("a reading a minute, batches of 20", 60, 20),
    Way("a reading in 5 minutes, batches of 20", 300, 20),
    Way("a reading in 10 minutes, batches of 20", 600, 20),
    Way("a reading a minute, batches of 20, never asleep", 60, 20, sleeps=False),
)
PROBE = ("DS18B20 converts", "board waits for the DS18B20")


def daily_mah(way: Way, probe: bool) -> float:
    """What a node of this way takes from its battery in a day."""
    per_day = {READING: DAY_S / way.interval_s, BATCH: DAY_S / way.interval_s / way.batch_readings}
    busy = sum(
        load.current_ma * load.duration_s * per_day[load.once_a] for load in LOADS if probe or load.name not in PROBE
    )
    standing_ma = sum(STANDING_MA.values()) + (0 if way.sleeps else AWAKE_MA)
    return busy / MAS_PER_MAH + standing_ma * DAY_S / MAS_PER_MAH


def table() -> Iterator[str]:
    """Lines of Markdown: each way of living, without and with a probe."""
    yield "| way of living | mAh a day | days on 2,400 mAh | with a DS18B20: mAh a day | days |"
    yield "|---|---|---|---|---|"
    for way in WAYS:
        plain, probed = daily_mah(way, False), daily_mah(way, True)
        yield f"| {way.name} | {plain:.1f} | {BATTERY_MAH / plain:.0f} | {probed:.1f} | {BATTERY_MAH / probed:.0f} |"


def loads() -> Iterator[str]:
    """Lines of Markdown: what each thing takes."""
    yield "| what | mA | seconds | mA.s | once a | from |"
    yield "|---|---|---|---|---|---|"
    for load in LOADS:
        current_ma, duration_s = load.current_ma, load.duration_s
        amount = f"{current_ma:g} | {duration_s:g} | {current_ma * duration_s:.3g}"
        yield f"| {load.name} | {amount} | {load.once_a} | {load.basis} |"
    for name, current_ma in STANDING_MA.items():
        yield f"| {name} | {current_ma:.3f} | all day | {current_ma * DAY_S:.0f} | day | data sheets |"


def main() -> None:
    print("\n".join([*loads(), "", *table()]))


if __name__ == "__main__":
    main()
