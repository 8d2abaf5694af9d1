"""The Sensirion SHT3x temperature and humidity sensor on I2C (data sheet "SHT3x-DIS", sections 2 and 4)."""

import time

from tallystick_node import sensor
from tallystick_node.errors import SensorError
from tallystick_node.sensor import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class I2C(Protocol):
        """As machine.I2C; a device that does not acknowledge is an OSError."""

        def writeto(self, address: int, data: bytes) -> int: ...
        def readfrom(self, address: int, count: int) -> bytes: ...


ADDRESS, OTHER_ADDRESS = 0x44, 0x45  # pin ADDR low, high
MEASURE = b"\x24\x00"  # single shot, high repeatability, no clock stretching
SOFT_RESET = b"\x30\xa2"
READ_STATUS = b"\xf3\x2d"
MEASURE_MS = 16  # table 4: at most 15.5
RESET_MS = 2  # table 4: at most 1.5
HEATER_ON = 1 << 13  # of the status register, table 18
ANSWER_BYTES = 6  # two words, each with its checksum
STATUS_BYTES = 3

HEATER = "heater"  # the fault: it warms itself

# Table 2: what it measures at all. Repeatability is 0.04 degrees and 0.08 %: for the same number thirty times in a row,
# not even its noise may move.
LOWEST_CENTI_CELSIUS, HIGHEST_CENTI_CELSIUS = -4000, 12500
LOWEST_PERCENT, HIGHEST_PERCENT = 0, 100
STUCK_AFTER = 30
# In a housing, air reaches the sensor with a time constant of several minutes: carried from a yard (30 degrees) into a
# freezer (-20), it falls by less than 15 in the first one. Bare in a wind it may be faster: two say "jump", and the
# third is believed. Humidity jumps with every breath of warm air: it has no such limit.
CENTI_CELSIUS_PER_MINUTE = 1500
NOISE_CENTI_CELSIUS = 50


class Sht3x:
    """The driver. `pause_ms` waits."""

    def __init__(self, bus: "I2C", address: int = ADDRESS, pause_ms: "Callable[[int], None] | None" = None) -> None:
        self._bus = bus
        self._address = address
        self._pause_ms = pause_ms or _sleep_ms
        self._answer: "bytes | None" = None  # measured with t and not yet taken by h; b"" when it failed
        self._fault = ""  # why it failed

    def channels(self) -> "list[Channel]":
        t = Channel("t", self._temperature, LOWEST_CENTI_CELSIUS, HIGHEST_CENTI_CELSIUS)
        t.noise, t.per_minute, t.stuck_after = NOISE_CENTI_CELSIUS, CENTI_CELSIUS_PER_MINUTE, STUCK_AFTER
        return [t, Channel("h", self._humidity, LOWEST_PERCENT, HIGHEST_PERCENT, low_priority=True)]

    def _temperature(self) -> int:
        self._answer = b""
        try:
            self._answer = self._measure()
        except SensorError as error:
            self._fault = str(error)
            raise
        return centi_celsius(word(self._answer, 0))

    def _humidity(self) -> int:
        answer = self._measure() if self._answer is None else self._answer
        self._answer = None
        if not answer:
            raise SensorError(self._fault)
        return percent(word(answer, 1))

    def _measure(self) -> bytes:
        """One measurement; when it fails, a reset and a second try. What comes then is the answer, good or bad."""
        try:
            answer = self._ask()
            if is_whole(answer):
                return answer
        except (OSError, SensorError):
            pass  # the second try says what is wrong
        try:
            self._send(SOFT_RESET, RESET_MS)
            return self._ask()
        except OSError:
            raise SensorError(sensor.NO_ANSWER) from None

    def _ask(self) -> bytes:
        self._send(MEASURE, MEASURE_MS)
        answer = self._bus.readfrom(self._address, ANSWER_BYTES)
        self._send(READ_STATUS, 0)
        if word(self._bus.readfrom(self._address, STATUS_BYTES), 0) & HEATER_ON:
            raise SensorError(HEATER)
        return answer

    def _send(self, command: bytes, then_ms: int) -> None:
        self._bus.writeto(self._address, command)
        self._pause_ms(then_ms)


def word(answer: bytes, index: int) -> int:
    """The word at `index`, if its checksum fits; SensorError otherwise."""
    part = answer[3 * index : 3 * index + 3]
    if len(part) < 3 or crc8(part[:2]) != part[2]:
        raise SensorError(sensor.BAD_CHECKSUM)
    return int.from_bytes(part[:2], "big")


def is_whole(answer: bytes) -> bool:
    return len(answer) == ANSWER_BYTES and all(crc8(answer[at : at + 2]) == answer[at + 2] for at in (0, 3))


def centi_celsius(raw: int) -> int:
    """Section 4.13, rounded down."""
    return 17500 * raw // 65535 - 4500


def percent(raw: int) -> int:
    return 100 * raw // 65535


def crc8(data: bytes) -> int:
    """Polynomial 0x31, start 0xFF (table 20; BEEF has 92)."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x31 if crc & 0x80 else 0)) & 0xFF
    return crc


def _sleep_ms(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)
