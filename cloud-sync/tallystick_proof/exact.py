"""Exact decimal numbers of readings and rules: no float ever meets a limit."""

from tallystick_wire import cbor
from tallystick_wire.senml import MAX_EXPONENT, TAG_DECIMAL, Decimal

Number = tuple[int, int]  # exponent, mantissa: mantissa * 10^exponent


def decimal(value: object) -> Number | None:
    """A number of a reading or of the rules as (exponent, mantissa); None for anything that is not one."""
    if isinstance(value, Decimal):
        parts: object = [value.exponent, value.mantissa]
    elif isinstance(value, cbor.Tag) and value.number == TAG_DECIMAL:
        parts = value.value
    else:
        parts = [0, value]
    if not isinstance(parts, list) or len(parts) != 2 or any(type(part) is not int for part in parts):
        return None
    exponent, mantissa = parts
    # The bound keeps 10^exponent small.
    return (exponent, mantissa) if abs(exponent) <= MAX_EXPONENT else None


def scaled(number: Number) -> int:
    """The number in units of 10^-MAX_EXPONENT: exact, and comparable."""
    exponent, mantissa = number
    return int(mantissa * 10 ** (exponent + MAX_EXPONENT))
