"""Strict deterministic CBOR (RFC 8949 section 4.2.1): one value, one encoding; everything else is refused.

Values: None, bool, int (-2^64 to 2^64-1), float, bytes, str, list (tuples encode too), Map (dicts encode too), Tag,
Simple. MicroPython's own checks are looser (dicts lose their order, UTF-8 may hold surrogates, half floats round
wrongly), so every rule is checked here, the same way on every interpreter.

On a board with single-precision floats a double that the board cannot hold exactly is refused, never rounded.
"""

import struct

from tallystick_wire.errors import CborError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_NESTING = 8  # arrays, maps and tags each count one: enough for every format here, and it bounds the stack of a node

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_FALSE, _TRUE, _NULL = 20, 21, 22
_FLOAT_BYTES = {25: 2, 26: 4, 27: 8}  # additional information -> width of the float
_FLOAT_FORMATS = {2: ">e", 4: ">f", 8: ">d"}
_NAN = b"\xf9\x7e\x00"
_TAG_POSITIVE_BIG, _TAG_NEGATIVE_BIG = 2, 3
_PLAIN_INTEGER_BYTES = 8  # a big number of at most this size is a plain integer


class Tag:
    """A tagged value. Equal when the encodings are."""

    __slots__ = ("number", "value")

    def __init__(self, number: int, value: "Any") -> None:
        self.number = number
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tag) and encode(self) == encode(other)

    def __repr__(self) -> str:
        return "Tag(%d, %r)" % (self.number, self.value)


class Simple:
    """A simple value other than false, true and null: `undefined` (23), or one without a meaning yet."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Simple) and self.number == other.number

    def __repr__(self) -> str:
        return "Simple(%d)" % self.number


class Map:
    """An ordered list of (key, value) pairs. Equal when the encodings are; 1, 1.0 and True are different keys."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: "list[tuple[Any, Any]]") -> None:
        self.pairs = pairs

    def get(self, key: "Any", default: "Any" = None) -> "Any":
        for other, value in self.pairs:
            if _same_key(other, key):
                return value
        return default

    def __getitem__(self, key: "Any") -> "Any":
        for other, value in self.pairs:
            if _same_key(other, key):
                return value
        raise KeyError(key)

    def __contains__(self, key: "Any") -> bool:
        return any(_same_key(other, key) for other, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Map) and encode(self) == encode(other)

    def __repr__(self) -> str:
        return "Map(%r)" % (self.pairs,)


def _same_key(left: "Any", right: "Any") -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, (int, str, bytes)):
        return bool(left == right)
    return encode(left) == encode(right)


def encode(value: "Any") -> bytes:
    """The one encoding of `value`; CborError when it has none."""
    out = bytearray()
    _write(out, value, 0)
    return bytes(out)


def decode(data: bytes) -> "Any":
    """The value whose one encoding is `data`; CborError when there is none."""
    reader = _Reader(data)
    value = reader.item(0)
    if reader.position != len(data):
        raise CborError("%d bytes after the end" % (len(data) - reader.position))
    return value


def decode_sequence(data: "bytes | memoryview") -> "list[Any]":
    """The items of a CBOR sequence (RFC 8742), each of them strict."""
    reader = _Reader(data)
    values = []
    while reader.position < len(data):
        values.append(reader.item(0))
    return values


def _write(out: bytearray, value: "Any", depth: int) -> None:
    if value is None or value is False or value is True:
        out.append(_SIMPLE << 5 | (_NULL if value is None else _TRUE if value else _FALSE))
    elif isinstance(value, int):
        _write_integer(out, value)
    elif isinstance(value, (bytes, bytearray)):
        _write_head(out, _BYTES, len(value))
        out += value
    elif isinstance(value, str):
        text = _text_bytes(value)
        _write_head(out, _TEXT, len(text))
        out += text
    elif isinstance(value, float):
        out += _float_bytes(value)
    elif isinstance(value, Simple):
        _write_head(out, _SIMPLE, _checked_simple(value.number))
    else:
        _write_container(out, value, _deeper(depth))


def _write_container(out: bytearray, value: "Any", depth: int) -> None:
    if isinstance(value, (list, tuple)):
        _write_head(out, _ARRAY, len(value))
        for item in value:
            _write(out, item, depth)
    elif isinstance(value, (Map, dict)):
        _write_map(out, list(value.items()) if isinstance(value, dict) else value.pairs, depth)
    elif isinstance(value, Tag):
        _check_tag(value.number, value.value)
        _write_head(out, _TAG, value.number)
        _write(out, value.value, depth)
    else:
        raise CborError("no encoding for a value of this type")


def _write_map(out: bytearray, pairs: "list[tuple[Any, Any]]", depth: int) -> None:
    encoded = []
    for key, value in pairs:
        key_bytes = bytearray()
        _write(key_bytes, key, depth)
        value_bytes = bytearray()
        _write(value_bytes, value, depth)
        encoded.append((bytes(key_bytes), value_bytes))
    encoded.sort(key=lambda pair: pair[0])
    _write_head(out, _MAP, len(encoded))
    previous = b""
    for encoded_key, encoded_value in encoded:
        if encoded_key == previous:
            raise CborError("a map key occurs twice")
        previous = encoded_key
        out += encoded_key
        out += encoded_value


def _write_integer(out: bytearray, value: int) -> None:
    if value >= 0:
        _write_head(out, _UNSIGNED, value)
    else:
        _write_head(out, _NEGATIVE, -1 - value)


def _write_head(out: bytearray, major: int, argument: int) -> None:
    """The shortest head; `argument` is not negative."""
    if argument < 24:
        out.append(major << 5 | argument)
        return
    for information, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument >> (8 * size) == 0:
            out.append(major << 5 | information)
            out += argument.to_bytes(size, "big")
            return
    raise CborError("an integer needs more than 64 bits")


def _deeper(depth: int) -> int:
    if depth >= MAX_NESTING:
        raise CborError("nested deeper than %d" % MAX_NESTING)
    return depth + 1


def _check_tag(number: int, value: "Any") -> None:
    """A big number must be needed, and as short as it can be: else one number would have two encodings."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise CborError("a tag number must be an unsigned integer")
    if number == _TAG_POSITIVE_BIG or number == _TAG_NEGATIVE_BIG:
        if not isinstance(value, bytes) or len(value) <= _PLAIN_INTEGER_BYTES or value[0] == 0:
            raise CborError("a big number is not in its shortest form")


def _checked_simple(number: int) -> int:
    """20 to 22 are Python's own values, 24 to 31 are heads (RFC 8949 section 3.3)."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 255 or 24 <= number < 32:
        raise CborError("no simple value has this number")
    if _FALSE <= number <= _NULL:
        raise CborError("false, true and null are values of their own")
    return number


def _text_bytes(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeError:
        raise CborError("text is not valid UTF-8") from None
    _check_utf8(data)
    return data


def _check_utf8(data: bytes) -> None:
    """UTF-8 as in RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF."""
    if not data or max(data) < 0x80:
        return
    position = 0
    while position < len(data):
        first = data[position]
        follow = 0 if first < 0x80 else 1 if 0xC2 <= first <= 0xDF else 2 if first >> 4 == 0xE else 3
        if (first >= 0x80 and not 0xC2 <= first <= 0xF4) or position + follow >= len(data):
            raise CborError("text is not valid UTF-8")
        # The second byte alone tells overlong forms, surrogates and too large values from good ones.
        low = {0xE0: 0xA0, 0xF0: 0x90}.get(first, 0x80)
        high = {0xED: 0x9F, 0xF4: 0x8F}.get(first, 0xBF)
        for byte in data[position + 1 : position + 1 + follow]:
            if not low <= byte <= high:
                raise CborError("text is not valid UTF-8")
            low, high = 0x80, 0xBF
        position += 1 + follow


def _float_bytes(value: float) -> bytes:
    """The shortest of half, single and double that keeps the value; one NaN."""
    if value != value:
        return _NAN
    double = struct.pack(">d", value)
    bits = int.from_bytes(double, "big")
    # By integer arithmetic: MicroPython's half floats round instead of failing.
    half = _narrow(bits, 5, 10)
    if half is not None:
        return b"\xf9" + half.to_bytes(2, "big")
    single = _narrow(bits, 8, 23)
    if single is not None:
        return b"\xfa" + single.to_bytes(4, "big")
    return b"\xfb" + double


def _narrow(bits: int, exponent_bits: int, fraction_bits: int) -> "int | None":
    """The bits of a double (not NaN) as a narrower IEEE 754 format, or None when it does not fit exactly."""
    fraction = bits & ((1 << 52) - 1)
    exponent = bits >> 52 & 0x7FF
    sign = bits >> 63 << (exponent_bits + fraction_bits)
    top = (1 << exponent_bits) - 1
    if fraction == 0 and (exponent == 0 or exponent == 0x7FF):  # zero and infinity
        return sign | (top << fraction_bits if exponent else 0)
    biased = exponent - 1023 + (top >> 1)
    if biased >= top:
        return None
    drop = 52 - fraction_bits
    if biased < 1:  # subnormal there: the leading one becomes a fraction bit
        fraction |= 1 << 52
        drop += 1 - biased
        biased = 0
    if drop > 52 or fraction & ((1 << drop) - 1):
        return None
    return sign | biased << fraction_bits | fraction >> drop


class _Reader:
    """A cursor over `data`. Sizes are checked against what is left before anything is allocated."""

    def __init__(self, data: "bytes | memoryview") -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> "bytes | memoryview":
        end = self.position + size
        if end > len(self.data):
            raise CborError("the data ends too early")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def item(self, depth: int) -> "Any":
        if self.position >= len(self.data):
            raise CborError("the data ends too early")
        initial = self.data[self.position]
        self.position += 1
        major, information = initial >> 5, initial & 31
        if major == _SIMPLE:
            return self.simple(information)
        argument = information if information < 24 else self.argument(information)
        if major == _UNSIGNED:
            return argument
        if major == _NEGATIVE:
            return -1 - argument
        if major == _BYTES:
            return bytes(self.take(argument))
        if major == _TEXT:
            text = bytes(self.take(argument))
            _check_utf8(text)
            return text.decode()
        if major == _ARRAY:
            return self.array(argument, _deeper(depth))
        if major == _MAP:
            return self.map(argument, _deeper(depth))
        value = self.item(_deeper(depth))
        _check_tag(argument, value)
        return Tag(argument, value)

    def argument(self, information: int) -> int:
        """What follows a head of 24 or more."""
        if information > 27:
            raise CborError("indefinite lengths and reserved heads are refused")
        size = 1 << (information - 24)
        argument = int.from_bytes(self.take(size), "big")
        if argument < 24 or (size > 1 and argument >> (4 * size) == 0):
            raise CborError("a head is not in its shortest form")
        return argument

    def simple(self, information: int) -> "Any":
        if information in _FLOAT_BYTES:
            return self.float(_FLOAT_BYTES[information])
        if information == _NULL:
            return None
        if information == _FALSE or information == _TRUE:
            return information == _TRUE
        if information > 24:
            raise CborError("reserved heads of major type 7 are refused")
        number = information if information < 24 else self.take(1)[0]
        if information == 24 and number < 32:
            raise CborError("a simple value is not in its shortest form")
        return Simple(number)

    def float(self, size: int) -> float:
        raw = bytes(self.take(size))
        value: float = struct.unpack(_FLOAT_FORMATS[size], raw)[0]
        # One check for non-shortest floats, for other NaNs and for doubles that this board cannot hold.
        if _float_bytes(value)[1:] != raw:
            raise CborError("a float is not in its shortest form, or this board cannot hold it")
        return value

    def array(self, count: int, depth: int) -> "list[Any]":
        if count > len(self.data) - self.position:
            raise CborError("the data ends too early")
        return [self.item(depth) for _ in range(count)]

    def map(self, count: int, depth: int) -> Map:
        if 2 * count > len(self.data) - self.position:
            raise CborError("the data ends too early")
        pairs = []
        previous = b""
        for _ in range(count):
            start = self.position
            key = self.item(depth)
            key_bytes = bytes(self.data[start : self.position])
            if key_bytes <= previous:
                raise CborError("map keys are not in order, or one occurs twice")
            previous = key_bytes
            pairs.append((key, self.item(depth)))
        return Map(pairs)
