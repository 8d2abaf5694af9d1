"""The Sensirion SHT3x temperature and humidity sensor on I2C (datasheet version 6, sections 4.1 to 4.13)."""

import time

from tallystick_node.errors import SensorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class I2C(Protocol):
        """As machine.I2C; failures are OSError."""

        def writeto(self, address: int, data: bytes) -> int: ...
        def readfrom(self, address: int, count: int) -> bytes: ...


ADDRESS = 0x44
_MEASURE = b"\x24\x00"  # single shot, high repeatability, no clock stretching
_MEASURE_MS = 16
_ANSWER_BYTES = 6


class Sht3x:
    def __init__(self, bus: "I2C", address: int = ADDRESS) -> None:
        self._bus = bus
        self._address = address

    def measure(self) -> "tuple[int, int]":
        """(hundredths of a degree Celsius, percent relative humidity), rounded down; SensorError when it fails."""
        try:
            self._bus.writeto(self._address, _MEASURE)
            time.sleep(_MEASURE_MS / 1000)
            answer = self._bus.readfrom(self._address, _ANSWER_BYTES)
        except OSError as error:
            raise SensorError("SHT3x: %s" % error) from None
        return decode(answer)


def decode(answer: bytes) -> "tuple[int, int]":
    """The two words of an answer, each with its checksum, as (hundredths of a degree Celsius, percent)."""
    if len(answer) != _ANSWER_BYTES or _crc8(answer[0:2]) != answer[2] or _crc8(answer[3:5]) != answer[5]:
        raise SensorError("SHT3x: a checksum is wrong")
    temperature = int.from_bytes(answer[0:2], "big")
    humidity = int.from_bytes(answer[3:5], "big")
    return 17500 * temperature // 65535 - 4500, 100 * humidity // 65535


def _crc8(data: bytes) -> int:
    """Polynomial 0x31, start 0xFF."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x31 if crc & 0x80 else 0)) & 0xFF
    return crc
