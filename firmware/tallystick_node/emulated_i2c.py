"""An I2C bus without hardware, and an SHT3x on it that answers as its data sheet says, command by command.

For computers and tests: the driver does not know. Nothing of it is installed on a board.
"""

import errno

from tallystick_node import sht3x

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CLEAR_STATUS = b"\x30\x41"
HEATER_ON, HEATER_OFF = b"\x30\x6d", b"\x30\x66"
MEASURE_MS = 15  # typically 12.5, at most 15.5
RESET_MS = 1
STATUS_RESET_DETECTED, STATUS_COMMAND_FAILED = 1 << 4, 1 << 1
POWER_ON_STATUS = 1 << 15 | STATUS_RESET_DETECTED


class EmulatedI2c:
    """As machine.I2C. What no device acknowledges is an OSError."""

    def __init__(self, *devices: "EmulatedSht3x") -> None:
        self.devices = list(devices)

    def writeto(self, address: int, data: bytes) -> int:
        self._device(address).write(bytes(data))
        return len(data) + 1  # acknowledgements, the address's included

    def readfrom(self, address: int, count: int) -> bytes:
        return (self._device(address).read() + b"\xff" * count)[:count]  # nobody drives the line behind the end

    def _device(self, address: int) -> "EmulatedSht3x":
        for device in self.devices:
            if device.address == address and not device.is_silent:
                return device
        raise OSError(errno.ENODEV)


class EmulatedSht3x:
    """`feel()` gives (hundredths of a degree, percent) at the moment of a measurement.

    Faults: `is_silent`; `flips`: an answer's bits to flip, one list entry for each answer to come; `is_heating`.
    """

    def __init__(
        self, feel: "Callable[[], tuple[int, int]]", now_ms: "Callable[[], int]", address: int = sht3x.ADDRESS
    ) -> None:
        self.address = address
        self.is_silent = False
        self.flips: "list[int]" = []
        self._feel = feel
        self._now_ms = now_ms
        self.power_cycle()

    def power_cycle(self) -> None:
        self.is_heating = False
        self.status = POWER_ON_STATUS
        self.measurements = 0
        self._answer = b""
        self._busy_until_ms = 0

    def write(self, data: bytes) -> None:
        if self._now_ms() < self._busy_until_ms:
            raise OSError(errno.EIO)
        self._answer = b""
        self.status &= ~STATUS_COMMAND_FAILED
        if data == sht3x.MEASURE:
            self._measure()
        elif data == sht3x.READ_STATUS:
            status = self.status | (sht3x.HEATER_ON if self.is_heating else 0)
            self._answer = with_checksum(status)
        elif data == sht3x.SOFT_RESET:
            self.power_cycle()
            self._busy_until_ms = self._now_ms() + RESET_MS
        elif data == CLEAR_STATUS:
            self.status = 0
        elif data in (HEATER_ON, HEATER_OFF):
            self.is_heating = data == HEATER_ON
        else:
            self.status |= STATUS_COMMAND_FAILED
            raise OSError(errno.EIO)

    def read(self) -> bytes:
        """What the last command asked for, once. Not acknowledged while it measures, and when there is nothing."""
        if self._now_ms() < self._busy_until_ms or not self._answer:
            raise OSError(errno.EIO)
        answer, self._answer = self._answer, b""
        if len(answer) == sht3x.ANSWER_BYTES and self.flips:
            flip = self.flips.pop(0)
            return (int.from_bytes(answer, "big") ^ flip).to_bytes(len(answer), "big")
        return answer

    def _measure(self) -> None:
        self.measurements += 1
        centi_celsius, percent = self._feel()
        self._answer = with_checksum(_above((centi_celsius + 4500) * 65535, 17500))
        self._answer += with_checksum(_above(percent * 65535, 100))
        self._busy_until_ms = self._now_ms() + MEASURE_MS


def with_checksum(word: int) -> bytes:
    data = word.to_bytes(2, "big")
    return data + bytes([sht3x.crc8(data)])


def _above(numerator: int, denominator: int) -> int:
    """The smallest raw value that reads as at least this, as far as two bytes go."""
    return max(0, min(65535, -(-numerator // denominator)))
