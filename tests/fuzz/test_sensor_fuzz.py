"""Sensors that say anything: a driver raises a fault or nothing, and a reading is always one that can be encoded."""

import contextlib
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick_node import board_sensors, ds18b20, sensor, sht3x
from tallystick_node.battery import HIGHEST_MV, LOWEST_MV, Battery
from tallystick_node.emulated_i2c import EmulatedI2c, EmulatedSht3x
from tallystick_node.errors import NodeError, SensorError
from tallystick_node.sensor import Channel
from tallystick_wire import senml

NAME = senml.base_name(32473, bytes(8))
MINUTE_MS = 60_000


def check(channels: list[Channel], uptime_ms: int = 0) -> list[senml.Record]:
    """One reading; whatever the sensors say, it is told and fits the wire."""
    records = sensor.measure(channels, uptime_ms).records
    assert senml.decode_pack(senml.encode_pack(NAME, records)).records == records
    told = {record.name for record in records}
    faults = next((str(record.value) for record in records if record.name == sensor.FAULTS), "")
    assert len(faults) <= sensor.MAX_FAULTS_CHARACTERS
    named = {entry.split(":")[0] for entry in faults.split("; ") if entry}
    assert not told & named
    assert {channel.name for channel in channels} <= told | named
    return records


# --- decoders


@given(data=st.binary(max_size=12), index=st.integers(0, 1))
def test_any_answer_of_an_sht3x(data: bytes, index: int) -> None:
    with contextlib.suppress(SensorError):
        word = sht3x.word(data, index)
        assert -4500 <= sht3x.centi_celsius(word) <= 13000
        assert 0 <= sht3x.percent(word) <= 100
    sht3x.is_whole(data)


def with_checksum(data: bytes) -> bytes:
    return data[:8] + bytes([ds18b20.crc8(data[:8])])


@given(data=st.one_of(st.binary(max_size=12), st.binary(min_size=8, max_size=8).map(with_checksum)))
def test_any_scratchpad(data: bytes) -> None:
    with contextlib.suppress(SensorError):
        assert -(1 << 15) * 25 // 4 <= ds18b20.centi_celsius(data) <= (1 << 15) * 25 // 4


@given(text=st.one_of(st.text(max_size=60), st.dictionaries(st.text(max_size=9), st.integers(), max_size=3).map(str)))
def test_any_wiring(text: str) -> None:
    with contextlib.suppress(NodeError):
        assert set(board_sensors.wiring("esp32", text)) == set(board_sensors.ESP32)


# --- buses


class WildI2c:
    """Answers with these, one after the other; None is no answer."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self._answers = list(answers)

    def writeto(self, address: int, data: bytes) -> int:
        return len(data)

    def readfrom(self, address: int, count: int) -> bytes:
        answer = self._answers.pop(0) if self._answers else None
        if answer is None:
            raise OSError(5)
        return answer


@given(answers=st.lists(st.one_of(st.none(), st.binary(max_size=9)), max_size=12))
def test_an_i2c_bus_that_answers_anything(answers: list[bytes | None]) -> None:
    channels = sht3x.Sht3x(WildI2c(answers), pause_ms=lambda _: None).channels()
    for minute in range(3):
        check(channels, minute * MINUTE_MS)


class WildWire:
    """A line with any bits on it."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def reset(self) -> bool:
        return bool(self.readbit())

    def readbit(self) -> int:
        self._bits = self._bits >> 1 | (self._bits & 1) << 4095
        return self._bits & 1

    def readbyte(self) -> int:
        return sum(self.readbit() << place for place in range(8))

    def writebit(self, value: int) -> None:
        """Nobody listens."""

    def writebyte(self, value: int) -> None:
        """Nobody listens."""


@given(bits=st.one_of(st.integers(0, (1 << 4096) - 1), st.sampled_from([0, (1 << 4096) - 1, (1 << 4096) // 3])))
@settings(deadline=None)
def test_a_line_with_any_bits(bits: int) -> None:
    named = ds18b20.Probes(WildWire(bits), {"p": bytes(8), "pb": bytes(range(8))}, pause_ms=lambda _: None)
    nameless = ds18b20.Probes(WildWire(bits), None, lambda _: None, pause_ms=lambda _: None)
    check(named.channels())
    check(nameless.channels())


class WildAdc:
    def __init__(self, level: int) -> None:
        self._level = level

    def read_u16(self) -> int:
        return self._level


@given(level=st.integers(0, 65535), upper=st.integers(1, 10**7), lower=st.integers(1, 10**7))
def test_any_level_of_a_battery(level: int, upper: int, lower: int) -> None:
    (record,) = check(Battery(WildAdc(level), upper, lower).channels())
    if isinstance(record.value, senml.Decimal):
        assert LOWEST_MV <= record.value.mantissa <= HIGHEST_MV


@given(flips=st.lists(st.integers(0, (1 << 48) - 1), max_size=6), centi_celsius=st.integers(-4000, 12500))
def test_flipped_bits_are_noticed_or_corrected(flips: list[int], centi_celsius: int) -> None:
    """A checksum of 8 bits misses one damage in 256; up to three flipped bits in a word it never misses."""
    chip = EmulatedSht3x(lambda: (centi_celsius, 50), lambda: 0)
    chip.flips = [flip & -flip for flip in flips]  # one bit of each
    chip._now_ms = iter(range(0, 1 << 30, 100)).__next__
    records = check(sht3x.Sht3x(EmulatedI2c(chip), pause_ms=lambda _: None).channels())
    values = [record.value for record in records if record.name == "t"]
    assert values in ([], [senml.Decimal(-2, centi_celsius)])


# --- plausibility


@given(
    said=st.lists(
        st.one_of(st.integers(-5000, 13000), st.sampled_from([400, 410, 420, 2400, 2410]), st.none()), max_size=40
    ),
    step_ms=st.sampled_from([100, 1000, MINUTE_MS]),
)
def test_what_is_told_never_jumps_without_two_warnings(said: list[int | None], step_ms: int) -> None:
    """Whatever a sensor says: two values told in a row are near each other, or at least two faults stand between."""
    left = iter(said)

    def read() -> int:
        value = next(left)
        if value is None:
            raise SensorError("no answer")
        return value

    channel = Channel("t", read, -4000, 12500, noise=50, per_minute=1500)
    told: list[tuple[int, int]] = []
    for index in range(len(said)):
        value, _ = channel.take(index * step_ms)
        if value is not None:
            told.append((index, value))
    for (before, first), (after, second) in pairwise(told):
        allowed = 50 + 1500 * (after - before) * step_ms // MINUTE_MS
        assert abs(second - first) <= allowed or after - before >= sensor.BELIEVE_AFTER
