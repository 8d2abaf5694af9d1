"""docs/node.md: its example is a sensor that works, its commands are real, its tables and pictures are the code's."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tallystick_node
from tallystick_emulators import micropython
from tallystick_node import board_sensors, room_sensors, sensor
from tallystick_tools import power_budget, wiring_picture

FIRMWARE = Path(tallystick_node.__file__).parents[1]
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "node.md").read_text("utf-8")
BESIDE = "found += Sht3x(i2c).channels()\n"

# A board with an SHT3x and the page's TMP117 (at 21.5 degrees) on its I2C bus, and a battery; main.py's part of it.
PROGRAM = """
import machine_of_the_test as machine
from tallystick_node import board_sensors, sensor
channels = board_sensors.channels(machine, board_sensors.wiring("rp2", None))
for record in sensor.measure(channels, 0).records:
    print(record.name, record.unit, getattr(record.value, "mantissa", record.value))
"""
MACHINE = """
from tallystick_node.emulated_i2c import EmulatedI2c, EmulatedSht3x
import time
class Pin:
    IN, PULL_UP = 0, 1
    def __init__(self, number, mode=None, pull=None):
        self.number = number
class I2C(EmulatedI2c):
    def __init__(self, number, sda, scl, freq):
        assert (number, sda.number, scl.number, freq) == (0, 4, 5, 100_000)
        super().__init__(EmulatedSht3x(lambda: (412, 70), lambda: time.ticks_ms()))
    def readfrom_mem(self, address, register, count):
        assert (address, register, count) == (0x48, 0, 2)
        return (2752).to_bytes(2, "big")
class ADC:
    def __init__(self, pin):
        assert pin.number == 29
    def read_u16(self):
        return 23831
"""


def code(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)


def test_adding_a_sensor_is_one_file_and_one_line(tmp_path: Path) -> None:
    """The page's own file and line, in a copy of the firmware, in the real MicroPython."""
    driver, line = code(PAGE, "python")
    copy = tmp_path / "firmware"
    shutil.copytree(FIRMWARE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tallystick_node" / "tmp117.py").write_text(driver)
    board = copy / "tallystick_node" / "board_sensors.py"
    text = board.read_text()
    assert text.count(BESIDE) == 1
    board.write_text("from tallystick_node.tmp117 import Tmp117\n" + text.replace(BESIDE, BESIDE + line))
    (tmp_path / "machine_of_the_test.py").write_text(MACHINE)
    interpreter = micropython.find()
    assert interpreter is not None
    environment = micropython.environment() | {"MICROPYPATH": f"{copy}:{tmp_path}:.frozen"}
    done = subprocess.run(
        [interpreter, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert not done.stderr
    assert done.stdout.splitlines() == ["t Cel 412", "h %RH 70", "pb Cel 2150", "b V 3600"]


# --- what the page says is what the code says


def test_the_tables_are_computed() -> None:
    for line in (*power_budget.loads(), *power_budget.table()):
        assert line in PAGE.splitlines()


def test_a_battery_lasts_longer_with_fewer_wakes_and_batches() -> None:
    at_once, minute, five, ten, awake = (power_budget.daily_mah(way, probe=False) for way in power_budget.WAYS)
    assert awake > at_once > minute > five > ten > 0
    assert all(power_budget.daily_mah(way, True) > power_budget.daily_mah(way, False) for way in power_budget.WAYS)
    # By hand: 288 wakes of 21 + 0.009 + 4 mA.s, 14.4 batches of 4.5 + 200 mA.s, and 0.032 mA all day.
    assert five == pytest.approx((288 * 25.009 + 14.4 * 204.5) / 3600 + 0.032 * 24)


def test_the_pictures_are_of_these_pins() -> None:
    for platform in wiring_picture.BOARDS:
        assert (DOCS / "pictures" / f"wiring-{platform}.svg").read_text("utf-8") == wiring_picture.svg(platform)
    for name in ("sda", "scl"):
        assert f"GPIO{board_sensors.ESP32[name]}" in PAGE
        assert f"GP{board_sensors.PICO[name]}" in PAGE


def test_every_fault_is_explained() -> None:
    explained = set(re.findall(r"^\| `([^`]+)` \|", PAGE, flags=re.MULTILINE))
    named = set()
    for path in (FIRMWARE / "tallystick_node").glob("*.py"):
        text = path.read_text("utf-8")
        named |= set(re.findall(r"SensorError\((?:sensor\.)?([A-Z_]+)\)", text))
        for constant in list(named):
            for value in re.findall(rf'^{constant} = "([^"]+)"', text, flags=re.MULTILINE):
                assert value in explained, value
    assert {"NO_ANSWER", "BAD_CHECKSUM", "JUMP", "STUCK", "SHORT", "POWER_ON_VALUE"} <= named
    assert {sensor.BROKEN_DRIVER, "heater", "no power"} <= explained


def test_the_settings_of_the_page_exist() -> None:
    for names in re.findall(r'TALLYSTICK_SENSORS="([^"]+)"', PAGE):
        assert set(names.split()) <= set(room_sensors.SENSORS)
    for kind in re.findall(r'TALLYSTICK_FAULT="([a-z-]+),', PAGE):
        assert kind in room_sensors.FAULTS


def test_the_wiring_of_the_page_is_understood() -> None:
    (text,) = code(PAGE, "json")
    wired = board_sensors.wiring("esp32", text)
    assert (wired["probe"], wired["own_pull_up"], wired["sda"]) == (4, False, 21)
    assert [len(bytes.fromhex(rom)) for rom in wired["probes"].values()] == [8, 8]


# --- flashing

FLASHING = [line for block in code(PAGE, "sh") for line in block.splitlines()]
PROGRAMS = {"esptool": "esptool", "mpremote": "mpremote"}


def helped(program: str, *words: str) -> str:
    module = [sys.executable, "-m", program, *words, "--help"]
    done = subprocess.run(module, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_flashing_takes_five_commands() -> None:
    (block,) = (one for one in code(PAGE, "sh") if "esptool" in one)
    assert len(block.splitlines()) == 5


@pytest.mark.parametrize("line", [line for line in FLASHING if line.split()[0] in PROGRAMS])
def test_the_flashing_commands_are_real(line: str) -> None:
    """The installed esptool and mpremote know each command and option."""
    program, command, *rest = shlex.split(line)
    assert re.search(rf"^\W*{command}\b", helped(program), flags=re.MULTILINE)
    told = helped(program, command)
    assert "deprecated" not in told.lower()
    assert all(re.search(rf"[ ,\[]{word}\b", told) for word in rest if word.startswith("-"))


def test_what_is_copied_is_what_is_built() -> None:
    (line,) = (line for line in FLASHING if line.startswith("mpremote cp"))
    sources = [Path(word).relative_to("build/firmware/xtensawin") for word in line.split()[3:-1]]
    assert all((FIRMWARE / source).exists() for source in sources)
    assert {source.name for source in sources} == {path.split("/")[0] for path in installed()}


def installed() -> list[str]:
    from tallystick_tools.build_firmware import installed as listed

    return listed()
