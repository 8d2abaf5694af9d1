"""Measurement packs: SenML in CBOR (RFC 8428) in the node's own narrow form.

A pack is an array of records; the base name stands in the first record only; every record has a name of one or two
letters that occurs once, perhaps a unit, and one value. Numbers are integers or decimal fractions, never floats
(single-precision boards would break byte identity), and there is no time: all values belong to the reading's uptime.
"""

from tallystick_wire import cbor
from tallystick_wire.errors import CborError, SenmlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias, Union

    Value: TypeAlias = Union[int, bool, str, bytes, "Decimal"]

LABEL_BASE_NAME = -2
LABEL_NAME = 0
LABEL_UNIT = 1
LABEL_NUMBER = 2
LABEL_TEXT = 3
LABEL_BOOL = 4
LABEL_DATA = 8
_VALUE_LABELS = (LABEL_NUMBER, LABEL_TEXT, LABEL_BOOL, LABEL_DATA)
_KNOWN_LABELS = (LABEL_BASE_NAME, LABEL_NAME, LABEL_UNIT, LABEL_NUMBER, LABEL_TEXT, LABEL_BOOL, LABEL_DATA)

TAG_DECIMAL = 4
MAX_EXPONENT = 12  # either sign: from pico to tera, and 10^exponent stays a small number for whoever computes with it
MAX_NAME_LETTERS = 2

# The channels every node may have: name -> (unit, decimal exponent). Humidity is whole percent: no common sensor is
# better than 1.5 %, and with it a reading of t, h and b is exactly the 210 bytes that DESIGN allows at worst.
# o: the node's own case opened; p, pb, pc, pd: probes on a cable; rs: how strongly the node's radio hears its network;
# f: which channels have no value now, and why.
CHANNELS = {
    "t": ("Cel", -2),
    "h": ("%RH", 0),
    "b": ("V", -3),
    "d": (None, None),
    "o": (None, None),
    "p": ("Cel", -2),
    "pb": ("Cel", -2),
    "pc": ("Cel", -2),
    "pd": ("Cel", -2),
    "rs": ("dBW", 0),
    "f": (None, None),
}
RADIO = "rs"
DBM_OF_ZERO_DBW = 30  # what people and chips say in dBm: SenML's registry has dBW, dBm is a secondary unit (RFC 8798)

KID_BYTES = 8
_BASE_NAME_PREFIX = "urn:dev:os:"
_MAX_PEN_DIGITS = 10  # private enterprise numbers are 32 bits wide (RFC 9371)


class Decimal:
    """mantissa * 10^exponent, exactly. Two forms of one number are different: the form says how fine the sensor is."""

    __slots__ = ("exponent", "mantissa")

    def __init__(self, exponent: int, mantissa: int) -> None:
        self.exponent = exponent
        self.mantissa = mantissa

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decimal) and (self.exponent, self.mantissa) == (other.exponent, other.mantissa)

    def __hash__(self) -> int:
        return hash((self.exponent, self.mantissa))

    def __repr__(self) -> str:
        return "Decimal(%d, %d)" % (self.exponent, self.mantissa)


class Record:
    """One named value; `unit` is a SenML unit or None."""

    __slots__ = ("name", "unit", "value")

    def __init__(self, name: str, unit: "str | None", value: "Value") -> None:
        self.name = name
        self.unit = unit
        self.value = value

    def __eq__(self, other: object) -> bool:
        # bool is an int on CPython: True and 1 are different values.
        return (
            isinstance(other, Record)
            and (self.name, self.unit) == (other.name, other.unit)
            and type(self.value) is type(other.value)
            and self.value == other.value
        )

    def __repr__(self) -> str:
        return "Record(%r, %r, %r)" % (self.name, self.unit, self.value)


class Pack:
    """What one reading says: records about the thing that `base_name` names."""

    __slots__ = ("base_name", "records")

    def __init__(self, base_name: str, records: "list[Record]") -> None:
        self.base_name = base_name
        self.records = records

    def get(self, name: str) -> "Value | None":
        """The value of the record called `name`, or None."""
        for record in self.records:
            if record.name == name:
                return record.value
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pack) and self.base_name == other.base_name and self.records == other.records


def base_name(pen: int, kid: bytes) -> str:
    """The node's name (RFC 9039); never a MAC address."""
    return "%s%d-%s_" % (_BASE_NAME_PREFIX, pen, kid.hex())


def split_base_name(text: str) -> "tuple[int, bytes]":
    """(pen, kid) of a base name; SenmlError when base_name would not write it so."""
    body = text[len(_BASE_NAME_PREFIX) :]
    dash = body.find("-")
    digits, kid_hex = body[:dash], body[dash + 1 : -1]
    well_formed = 0 < dash <= _MAX_PEN_DIGITS and len(kid_hex) == 2 * KID_BYTES
    if well_formed and _only(digits, "0123456789") and _only(kid_hex, "0123456789abcdef"):
        pen, kid = int(digits), bytes.fromhex(kid_hex)
        if base_name(pen, kid) == text:
            return pen, kid
    raise SenmlError("the base name is not %s<PEN>-<kid>_" % _BASE_NAME_PREFIX)


def encode_pack(name: str, records: "list[Record]") -> bytes:
    """The pack's one encoding; SenmlError when decode_pack would refuse it."""
    _check(name, records)
    items: "list[cbor.Map]" = []
    for record in records:
        pairs: "list[tuple[int, object]]" = [] if items else [(LABEL_BASE_NAME, name)]
        pairs.append((LABEL_NAME, record.name))
        if record.unit is not None:
            pairs.append((LABEL_UNIT, record.unit))
        pairs.append(_value_pair(record.value))
        items.append(cbor.Map(pairs))
    return cbor.encode(items)


def decode_pack(data: bytes) -> Pack:
    """The pack whose one encoding is `data`; SenmlError when it is not of the node's own form."""
    try:
        items = cbor.decode(data)
    except CborError as error:
        raise SenmlError("pack: %s" % error) from None
    if not isinstance(items, list) or not items:
        raise SenmlError("a pack is an array that is not empty")
    records = [_record(item, first=index == 0) for index, item in enumerate(items)]
    name = items[0].get(LABEL_BASE_NAME)
    _check(name, records)
    return Pack(name, records)


def _record(item: object, first: bool) -> Record:
    if not isinstance(item, cbor.Map):
        raise SenmlError("a record must be a map")
    values = []
    for label, value in item.pairs:
        if isinstance(label, bool) or label not in _KNOWN_LABELS or (label == LABEL_BASE_NAME and not first):
            raise SenmlError("a record has a label that a node never writes")
        if label in _VALUE_LABELS:
            values.append(_value(label, value))
    if len(values) != 1:
        raise SenmlError("a record has exactly one value")
    if LABEL_UNIT in item and item[LABEL_UNIT] is None:
        raise SenmlError("a unit must be text")
    return Record(item.get(LABEL_NAME), item.get(LABEL_UNIT), values[0])


def _value(label: int, value: "Any") -> "Value":
    if label == LABEL_NUMBER and isinstance(value, cbor.Tag) and value.number == TAG_DECIMAL:
        parts = value.value
        if isinstance(parts, list) and len(parts) == 2 and _is_integer(parts[0]) and _is_integer(parts[1]):
            return Decimal(parts[0], parts[1])
    elif (
        (label == LABEL_NUMBER and _is_integer(value))
        or (label == LABEL_BOOL and isinstance(value, bool))
        or (label == LABEL_TEXT and isinstance(value, str))
        or (label == LABEL_DATA and isinstance(value, bytes))
    ):
        return value  # type: ignore[no-any-return]
    raise SenmlError("a value does not fit its label (a number is an integer or a decimal fraction)")


def _value_pair(value: "Any") -> "tuple[int, object]":
    if isinstance(value, bool):
        return LABEL_BOOL, value
    if isinstance(value, Decimal):
        return LABEL_NUMBER, cbor.Tag(TAG_DECIMAL, [value.exponent, value.mantissa])
    if isinstance(value, int):
        return LABEL_NUMBER, value
    if isinstance(value, str):
        return LABEL_TEXT, value
    if isinstance(value, bytes):
        return LABEL_DATA, value
    raise SenmlError("a value must be an integer, a Decimal, a bool, text or bytes")


def _check(name: object, records: "list[Record]") -> None:
    """The rules that hold for writer and reader alike."""
    if not isinstance(name, str) or not name:
        raise SenmlError("the first record has no base name")
    if not records:
        raise SenmlError("a pack is an array that is not empty")
    seen = set()
    for record in records:
        _check_name(record.name)
        if record.name in seen:
            raise SenmlError("the name %s occurs twice" % record.name)
        seen.add(record.name)
        if record.unit is not None and (not isinstance(record.unit, str) or not record.unit):
            raise SenmlError("a unit must be text")
        if isinstance(record.value, Decimal) and not -MAX_EXPONENT <= record.value.exponent <= MAX_EXPONENT:
            raise SenmlError("a decimal exponent is outside +-%d" % MAX_EXPONENT)


def _check_name(name: object) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_LETTERS or not _only(name, letters):
        raise SenmlError("a name is one or two letters")


def _only(text: str, alphabet: str) -> bool:
    return all(character in alphabet for character in text)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
