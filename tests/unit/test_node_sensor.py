"""Channels: a value that can be believed, or a fault that says why not. Never silence, never an exception."""

from collections.abc import Callable, Iterable

import pytest

from tallystick_node import sensor
from tallystick_node.errors import NodeError, SensorError
from tallystick_node.sensor import BELIEVE_AFTER, Channel, Taken, measure
from tallystick_wire.senml import CHANNELS, Decimal

MINUTE_MS = 60_000


def says(*values: object) -> Callable[[], object]:
    """A driver that says these, one after the other, and the last one for ever."""
    left = list(values)

    def read() -> object:
        value = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(value, BaseException):
            raise value
        return value

    return read


def air(*values: object, stuck_after: int | None = None) -> Channel:
    return Channel("t", says(*values), -4000, 12500, noise=50, per_minute=1500, stuck_after=stuck_after)


def series(channel: Channel, count: int, step_ms: int = 1000) -> list[int | str]:
    """What it says `count` times: values and faults."""
    taken = (channel.take(index * step_ms) for index in range(count))
    return [fault if value is None else value for value, fault in taken]


def shown(taken: Taken) -> list[tuple[str, str | None, object]]:
    return [(one.name, one.unit, one.value) for one in taken.records]


# --- records


def test_what_a_measurement_says() -> None:
    channels = [
        Channel("t", says(-512), -4000, 12500),
        Channel("h", says(70), 0, 100, low_priority=True),
        Channel("b", says(3600), 0, 65535, low_priority=True),
        Channel("d", says(True)),
    ]
    assert shown(measure(channels, 0)) == [
        ("t", "Cel", Decimal(-2, -512)),
        ("h", "%RH", 70),
        ("b", "V", Decimal(-3, 3600)),
        ("d", None, True),
    ]
    assert [name for name, _, _ in shown(measure(channels, 0, essentials_only=True))] == ["t", "d"]


def test_a_failing_channel_is_a_fault_and_the_others_are_measured() -> None:
    channels = [air(SensorError("checksum")), Channel("h", says(OSError()), 0, 100), Channel("b", says(3600), 0, 9000)]
    assert shown(measure(channels, 0)) == [
        ("b", "V", Decimal(-3, 3600)),
        ("f", None, "t: checksum; h: no answer"),
    ]


@pytest.mark.parametrize("wrong", [ZeroDivisionError(), MemoryError(), KeyError("x"), AttributeError("y")], ids=repr)
def test_whatever_a_driver_raises_is_a_fault(wrong: Exception) -> None:
    assert series(air(wrong), 1) == [sensor.BROKEN_DRIVER]


@pytest.mark.parametrize("wrong", [4.5, None, "4", b""], ids=repr)
def test_what_is_no_number_is_a_fault(wrong: object) -> None:
    assert series(Channel("t", lambda: wrong, -4000, 12500), 1) == [sensor.BROKEN_DRIVER]


def test_a_reading_is_never_empty() -> None:
    assert shown(measure([], 0)) == [("f", None, sensor.NOTHING_MEASURED)]
    only_humidity = [Channel("h", says(70), 0, 100, low_priority=True)]
    assert shown(measure(only_humidity, 0, essentials_only=True)) == [("f", None, sensor.NOTHING_MEASURED)]


def test_many_faults_fit_their_text() -> None:
    channels = [Channel(name, says(SensorError("x" * 99)), 0, 1) for name in CHANNELS if name != "f"]
    text = shown(measure(channels, 0))[0][2]
    assert text == "t: {0}; h: {0}; b: {0}; +7".format("x" * sensor.MAX_FAULT_CHARACTERS)
    for count in range(1, 10):
        assert len(sensor.told(["pb: " + "x" * sensor.MAX_FAULT_CHARACTERS] * count)) <= sensor.MAX_FAULTS_CHARACTERS


def test_a_letter_without_a_meaning_is_refused() -> None:
    with pytest.raises(NodeError, match="CHANNELS"):
        Channel("zz", says(1))


def test_two_channels_of_one_name_are_refused() -> None:
    with pytest.raises(NodeError, match="two channels are called t"):
        sensor.listed([air(400), Channel("h", says(70)), air(400)])
    assert sensor.listed([]) == []


# --- plausibility


@pytest.mark.parametrize("value", [-4001, 12501, 10**9])
def test_out_of_range_is_a_fault(value: int) -> None:
    assert series(air(value), 1) == ["out of range"]


def test_the_limits_are_measurements() -> None:
    assert series(air(-4000), 1) == [-4000]
    assert series(air(12500), 1) == [12500]


def test_a_jump_is_a_fault_and_a_spike_poisons_nothing() -> None:
    assert series(air(400, 2000, 410, 420), 4) == [400, "jump", 410, 420]


def test_a_jump_that_stays_is_believed_after_three() -> None:
    found = series(air(400, 2400, 2410, 2420, 2430), 5)
    assert found == [400, *["jump"] * (BELIEVE_AFTER - 1), 2420, 2430]


def test_a_spike_at_power_on_is_not_believed_for_long() -> None:
    assert series(air(8500, 400, 410, 420, 430), 5) == [8500, "jump", "jump", 420, 430]


def test_noise_that_agrees_with_nothing_is_never_believed() -> None:
    wild = [400, 3000, -2000, 6000, -2500, 9000, 400]
    assert series(air(*wild), 7) == [400, "jump", "jump", "jump", "jump", "jump", 400]


def test_what_two_times_cannot_tell_apart_is_no_jump() -> None:
    """The longer ago, the more may have changed."""
    assert series(air(400, 3400), 2, step_ms=2 * MINUTE_MS) == [400, 3400]
    assert series(air(400, 3451), 2, step_ms=2 * MINUTE_MS) == [400, "jump"]


def test_a_stuck_sensor_is_a_fault() -> None:
    assert series(air(400, 401, 401, 401, 401, 402, stuck_after=3), 6) == [400, 401, 401, "stuck", "stuck", 402]


def test_a_switch_is_never_stuck() -> None:
    assert series(Channel("d", says(False)), 100) == [False] * 100


def test_what_is_out_of_range_moves_no_level() -> None:
    assert series(air(400, 20000, 20000, 20000, 410), 5) == [400, *["out of range"] * 3, 410]


# --- calibration


def test_the_offset_is_added_to_what_is_told_and_not_to_what_is_checked() -> None:
    channel = air(-4000, -3990)
    channel.offset = -25
    assert series(channel, 2) == [-4025, -4015]


# --- what is urgent


def news(channel: Channel, count: int) -> list[bool]:
    return [measure([channel], index * MINUTE_MS).urgent for index in range(count)]


def test_a_door_is_news_when_it_moves() -> None:
    assert news(Channel("d", says(False, True, True, False)), 5) == [False, True, False, True, False]


def test_a_fault_is_news_when_it_begins_and_when_it_is_over() -> None:
    fault = SensorError("no answer")
    assert news(air(400, fault, fault, 400), 7) == [False, True, False, False, False, True, False]


def test_a_loose_wire_is_one_fault() -> None:
    fault = SensorError("no answer")
    assert news(air(*[400, fault] * 10), 19).count(True) == 1


def test_an_alarm_is_news_when_it_begins_and_when_it_is_over() -> None:
    channel = air(700, 810, 790, 810, 900, 749, 700)
    channel.alarm_high = 800
    assert news(channel, 7) == [False, True, False, False, False, True, False], "it ends half a degree inside"
    frost = air(300, 190, 210, 260)
    frost.alarm_low = 200
    assert news(frost, 4) == [False, True, False, True]


def test_all_channels_are_asked_whatever_is_news() -> None:
    channels = [Channel("d", says(False, True)), Channel("o", says(False, True, True))]
    assert [measure(channels, index).urgent for index in range(3)] == [False, True, False]


# --- across deep sleep


def slept(values: Iterable[int], keep: bool) -> list[int | str]:
    found: list[int | str] = []
    saved = sensor.Belief().save()
    for index, value in enumerate(values):
        channel = air(value)
        if keep:
            channel.belief.restore(saved)
        found += [channel.take(index * MINUTE_MS)[0] or "fault"]
        saved = channel.belief.save()
    return found


def test_what_is_believed_outlives_deep_sleep() -> None:
    assert slept([400, 3000, 410], keep=True) == [400, "fault", 410]
    assert slept([400, 3000, 410], keep=False) == [400, 3000, 410], "the control"
