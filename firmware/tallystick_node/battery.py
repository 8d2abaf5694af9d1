"""The battery, or whatever feeds the board, by an ADC behind a voltage divider."""

from tallystick_node.sensor import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Adc(Protocol):
        """As machine.ADC."""

        def read_u16(self) -> int: ...


# Outside it is a broken divider, not a battery: the RP2040 stops at 1.8 V, the ESP32 at 2.3 V; USB gives up to 5.25 V.
LOWEST_MV, HIGHEST_MV = 1800, 5500
REFERENCE_MV = 3300  # of an ADC that does not calibrate itself: the board's own supply
FULL_SCALE = 65535
SAMPLES = 8  # a converter's noise of some 10 mV becomes less than the 5 mV that matter


class Battery:
    """`upper_ohm` lies between battery and pin, `lower_ohm` between pin and ground."""

    def __init__(self, adc: "Adc", upper_ohm: int, lower_ohm: int) -> None:
        self._adc = adc
        self._upper_ohm = upper_ohm
        self._lower_ohm = lower_ohm

    def channels(self) -> "list[Channel]":
        return [Channel("b", self._read, LOWEST_MV, HIGHEST_MV, low_priority=True)]

    def _read(self) -> int:
        pin_uv = sum([self._pin_uv() for _ in range(SAMPLES)]) // SAMPLES
        return pin_uv * (self._upper_ohm + self._lower_ohm) // self._lower_ohm // 1000

    def _pin_uv(self) -> int:
        read_uv = getattr(self._adc, "read_uv", None)  # ports that calibrate their converter have it
        if read_uv is not None:
            return int(read_uv())
        return self._adc.read_u16() * REFERENCE_MV * 1000 // FULL_SCALE
