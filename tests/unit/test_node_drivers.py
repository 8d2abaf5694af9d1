"""The real drivers on emulated buses: what each sensor says when it is well, and each way in which it can fail."""

import subprocess
from pathlib import Path

import pytest
import sensor_scenarios as scenarios

from tallystick_emulators import micropython
from tallystick_node import battery, ds18b20, sht3x
from tallystick_node.emulated_i2c import with_checksum
from tallystick_node.errors import SensorError

SCENARIOS = {
    # SHT3x
    "sht3x well": "t=412 h=70",
    "sht3x coldest and wettest": "t=-4000 h=100",
    "sht3x gone": "f=t: no answer; h: no answer",
    "sht3x comes back": "f=t: no answer; h: no answer | t=412 h=70",
    "sht3x one bad answer": "t=412 h=70",
    "sht3x bad temperature": "h=70 f=t: checksum",
    "sht3x bad humidity": "t=412 f=h: checksum",
    "sht3x two bad answers": "f=t: checksum; h: checksum",
    "sht3x heater left on": "t=412 h=70",
    "sht3x heater that stays on": "f=t: heater; h: heater",
    "sht3x power dip": "t=412 h=70",
    "sht3x other address": "t=412 h=70",
    "sht3x slow": "f=t: no answer; h: no answer",
    "sht3x humidity alone": "h=70",
    "sht3x measures once for both": "t=412 h=70 | 1",
    "sht3x stuck": "t=412 h=70 | 28 more | f=t: stuck | t=413 h=70",
    # DS18B20
    "probe well": "p=-1807",
    "probe coldest": "p=-5500",
    "probe hottest": "p=12500",
    "probe at 9 bits": "p=1250",
    "probe gone": "f=p: no answer",
    "probe comes back": "f=p: no answer | p=-1807",
    "probe one bad answer": "p=-1807",
    "probe two bad answers": "f=p: checksum",
    "probe power-on value": "f=p: power-on value",
    "probe line shorted": "f=p: short",
    "probe line shorted, fed by it": "f=p: short; pb: short | 0 burnt",
    "probe fed by the line": "p=-1807",
    "probe fed by the line, nobody holds it up": "f=p: no power",
    "probe busy for ever": "f=p: no answer",
    "three probes": "p=100 pb=200 pc=300 | 1 conversion each",
    "one of three gone": "p=100 pc=300 f=pb: no answer",
    "three probes nobody named": "f=p: which probe",
    "one probe among others": "p=-1807",
    # switch
    "door shut": "d=False",
    "door open": "d=True | d=True",
    "door opened between two readings": "d=True | d=False",
    "door bounced": "d=False",
    "door seen too late": "d=True | d=False",
    "door across the wrap of the clock": "d=True | d=False",
    # battery
    "battery well": "b=3600",
    "battery calibrated": "b=3600",
    "battery wire off": "f=b: out of range",
    "battery divider broken": "f=b: out of range",
    # radio, in dBW: 30 below dBm
    "radio well": "t=412 rs=-91",
    "radio that was never joined": "t=412",
    "radio off": "t=412 rs=-91 | t=412 rs=-100",
    "radio off over a deep sleep": "t=412 rs=-91",
    "radio of a port that does not tell": "t=412 | t=412 | t=412",
    "radio goes as it is asked": "t=412 rs=-91 | t=412 rs=-91",
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_sensor(name: str) -> None:
    assert scenarios.run(name) == SCENARIOS[name]


def test_a_door_opened_between_two_readings_is_told() -> None:
    assert scenarios.run("door opened between two readings") == "d=True | d=False"
    assert scenarios.run("door seen too late") == "d=True | d=False", "when in doubt it was open"


def test_the_power_on_value_is_no_temperature() -> None:
    assert scenarios.run("probe power-on value") == "f=p: power-on value"


def test_a_shorted_line_is_not_zero_degrees() -> None:
    assert scenarios.run("probe line shorted") == "f=p: short"
    with pytest.raises(SensorError, match="short"):
        ds18b20.centi_celsius(bytes(ds18b20.SCRATCHPAD_BYTES))


def test_probes_are_told_apart_by_their_ids() -> None:
    assert scenarios.run("three probes").startswith("p=100 pb=200 pc=300 |")
    assert scenarios.run("three probes nobody named") == "f=p: which probe"


def test_a_radio_that_rests_is_no_fault_and_what_it_heard_last_still_holds() -> None:
    assert scenarios.run("radio off") == "t=412 rs=-91 | t=412 rs=-100"
    assert scenarios.run("radio off over a deep sleep") == "t=412 rs=-91"
    assert scenarios.run("radio that was never joined") == "t=412"


def test_every_scenario_is_expected() -> None:
    assert set(SCENARIOS) == set(scenarios.SCENARIOS)


def test_the_same_on_micropython() -> None:
    interpreter = micropython.find()
    assert interpreter is not None
    environment = micropython.environment()
    environment["MICROPYPATH"] += f":{Path(scenarios.__file__).parent}"
    done = subprocess.run(
        [interpreter, scenarios.__file__], env=environment, capture_output=True, text=True, check=False
    )
    assert not done.stderr
    assert set(done.stdout.splitlines()) == {f"{name}: {result}" for name, result in SCENARIOS.items()}


# --- the data sheets' own numbers


def test_sht3x_decoding() -> None:
    assert sht3x.crc8(b"\xbe\xef") == 0x92, "the data sheet's example"
    assert (sht3x.centi_celsius(0), sht3x.centi_celsius(0x6666), sht3x.centi_celsius(0xFFFF)) == (-4500, 2500, 13000)
    assert (sht3x.percent(0), sht3x.percent(0x6666), sht3x.percent(0xFFFF)) == (0, 40, 100)


def test_every_flipped_bit_of_an_sht3x_answer_is_noticed() -> None:
    good = with_checksum(0x6666) + with_checksum(0x8000)
    for bit in range(8 * len(good)):
        answer = bytearray(good)
        answer[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SensorError, match="checksum"):
            sht3x.word(bytes(answer), bit // 24)
        assert not sht3x.is_whole(bytes(answer))


@pytest.mark.parametrize(
    ("raw", "centi_celsius"),
    [
        (0x07D0, 12500),
        (0x0191, 2506),
        (0x00A2, 1012),
        (0x0008, 50),
        (0x0000, 0),
        (0xFFF8, -50),
        (0xFF5E, -1013),
        (0xFE6F, -2507),
        (0xFC90, -5500),
    ],
)
def test_ds18b20_decoding(raw: int, centi_celsius: int) -> None:
    """Table 1 of the data sheet, rounded down to hundredths."""
    assert ds18b20.centi_celsius(scratchpad(raw)) == centi_celsius


def test_every_flipped_bit_of_a_scratchpad_is_noticed() -> None:
    for bit in range(8 * ds18b20.SCRATCHPAD_BYTES):
        answer = bytearray(scratchpad(0x0191))
        answer[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SensorError, match="checksum"):
            ds18b20.centi_celsius(bytes(answer))


def test_a_rom_id_of_the_data_sheet() -> None:
    """Application note 27: 02 1C B8 01 00 00 00 has A2."""
    assert ds18b20.crc8(bytes.fromhex("021cb801000000")) == 0xA2
    assert ds18b20.crc8(bytes.fromhex("021cb801000000a2")) == 0


def test_limits_hold_what_the_data_sheets_say() -> None:
    assert (sht3x.LOWEST_CENTI_CELSIUS, sht3x.HIGHEST_CENTI_CELSIUS) == (-4000, 12500)
    assert (ds18b20.LOWEST_CENTI_CELSIUS, ds18b20.HIGHEST_CENTI_CELSIUS) == (-5500, 12500)
    assert battery.LOWEST_MV < battery.HIGHEST_MV


def scratchpad(raw: int) -> bytes:
    body = bytes([raw & 0xFF, raw >> 8, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10])
    return body + bytes([ds18b20.crc8(body)])
