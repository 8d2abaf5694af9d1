"""Strict deterministic CBOR: RFC 8949 appendix A, one defect a refusal, and the rules of Map and Tag."""

import math

import pytest

from tallystick_wire import cbor
from tallystick_wire.errors import CborError

# RFC 8949 appendix A, the examples that are in deterministic form: (encoding, value).
APPENDIX_A: list[tuple[str, object]] = [
    ("00", 0),
    ("01", 1),
    ("0a", 10),
    ("17", 23),
    ("1818", 24),
    ("1819", 25),
    ("1864", 100),
    ("1903e8", 1000),
    ("1a000f4240", 1000000),
    ("1b000000e8d4a51000", 1000000000000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("c249010000000000000000", cbor.Tag(2, bytes.fromhex("010000000000000000"))),
    ("3bffffffffffffffff", -18446744073709551616),
    ("c349010000000000000000", cbor.Tag(3, bytes.fromhex("010000000000000000"))),
    ("20", -1),
    ("29", -10),
    ("3863", -100),
    ("3903e7", -1000),
    ("f90000", 0.0),
    ("f98000", -0.0),
    ("f93c00", 1.0),
    ("fb3ff199999999999a", 1.1),
    ("f93e00", 1.5),
    ("f97bff", 65504.0),
    ("fa47c35000", 100000.0),
    ("fa7f7fffff", 3.4028234663852886e38),
    ("fb7e37e43c8800759c", 1.0e300),
    ("f90001", 5.960464477539063e-8),
    ("f90400", 0.00006103515625),
    ("f9c400", -4.0),
    ("fbc010666666666666", -4.1),
    ("f97c00", math.inf),
    ("f9fc00", -math.inf),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("f7", cbor.Simple(23)),
    ("f0", cbor.Simple(16)),
    ("f8ff", cbor.Simple(255)),
    ("c074323031332d30332d32315432303a30343a30305a", cbor.Tag(0, "2013-03-21T20:04:00Z")),
    ("c11a514b67b0", cbor.Tag(1, 1363896240)),
    ("c1fb41d452d9ec200000", cbor.Tag(1, 1363896240.5)),
    ("d74401020304", cbor.Tag(23, b"\x01\x02\x03\x04")),
    ("d818456449455446", cbor.Tag(24, b"dIETF")),
    ("40", b""),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("60", ""),
    ("6161", "a"),
    ("6449455446", "IETF"),
    ("62225c", '"\\'),
    ("62c3bc", "\u00fc"),
    ("63e6b0b4", "\u6c34"),
    ("64f0908591", "\U00010151"),
    ("80", []),
    ("83010203", [1, 2, 3]),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26))),
    ("a0", cbor.Map([])),
    ("a201020304", cbor.Map([(1, 2), (3, 4)])),
    ("a26161016162820203", cbor.Map([("a", 1), ("b", [2, 3])])),
    ("826161a161626163", ["a", cbor.Map([("b", "c")])]),
]
# Appendix A again: well formed there, not deterministic here.
APPENDIX_A_REFUSED = [
    "fa7f800000",
    "fa7fc00000",
    "faff800000",
    "fb7ff0000000000000",
    "fb7ff8000000000000",
    "fbfff0000000000000",
    "5f42010243030405ff",
    "7f657374726561646d696e67ff",
    "9fff",
    "9f018202039f0405ffff",
    "83018202039f0405ff",
    "bf61610161629f0203ffff",
    "bf6346756ef563416d7421ff",
]


@pytest.mark.parametrize(("encoding", "value"), APPENDIX_A)
def test_appendix_a(encoding: str, value: object) -> None:
    decoded = cbor.decode(bytes.fromhex(encoding))
    assert (type(decoded), decoded) == (type(value), value)
    assert cbor.encode(value).hex() == encoding


@pytest.mark.parametrize("encoding", APPENDIX_A_REFUSED)
def test_appendix_a_refused(encoding: str) -> None:
    with pytest.raises(CborError):
        cbor.decode(bytes.fromhex(encoding))


def test_nan_is_one() -> None:
    assert cbor.encode(math.nan).hex() == "f97e00"
    assert math.isnan(cbor.decode(bytes.fromhex("f97e00")))


@pytest.mark.parametrize(
    "value", [1 << 64, -(1 << 64) - 1, {1, 2}, object(), cbor.Tag(-1, 0), cbor.Tag(True, 0), "\ud800"]
)
def test_no_encoding(value: object) -> None:
    with pytest.raises(CborError):
        cbor.encode(value)


def test_map_keys_sort_by_bytes_and_occur_once() -> None:
    assert cbor.encode({"aa": 1, -1: 2, 10: 3, 100: 4}).hex() == "a40a03186404200262616101"
    with pytest.raises(CborError, match="twice"):
        cbor.encode(cbor.Map([(1, 2), (1, 3)]))


def test_map_lookup_compares_type_and_value() -> None:
    pairs = cbor.Map([(1, "int"), (True, "bool"), (1.0, "float"), (b"1", "bytes"), ([1], "list")])
    assert [pairs[key] for key in (1, True, 1.0, b"1", [1])] == ["int", "bool", "float", "bytes", "list"]
    assert [True] not in pairs
    assert 1 in pairs
    assert len(pairs) == 5
    assert pairs.get(2) is None
    assert pairs.get(2, 3) == 3
    with pytest.raises(KeyError):
        pairs[2]


def test_maps_and_tags_are_equal_when_their_bytes_are() -> None:
    assert cbor.Map([(1, 2), (3, 4)]) == cbor.Map([(3, 4), (1, 2)])
    assert cbor.Map([(1, 2)]) != cbor.Map([(1, True)])
    assert cbor.Tag(1, [1]) == cbor.Tag(1, (1,))
    assert cbor.Tag(1, 1) != cbor.Tag(1, True)


def test_nesting_counts_arrays_maps_and_tags() -> None:
    value: object = 0
    for depth in range(cbor.MAX_NESTING):
        value = [[value], cbor.Map([(0, value)]), cbor.Tag(100, value)][depth % 3]
    assert cbor.decode(cbor.encode(value)) == value
    for deeper in ([value], cbor.Map([(0, value)]), cbor.Map([(value, 0)]), cbor.Tag(100, value)):
        with pytest.raises(CborError, match="deeper than 8"):
            cbor.encode(deeper)
    for head in ("81", "a100", "d864"):
        with pytest.raises(CborError, match="deeper than 8"):
            cbor.decode(bytes.fromhex(head) + cbor.encode(value))


def test_a_cycle_ends() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(CborError, match="deeper"):
        cbor.encode(cycle)


def test_every_utf8_boundary() -> None:
    good = ["\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
    for text in good:
        assert cbor.decode(cbor.encode(text + "x")) == text + "x"
    bad = "80 bf c0af c1bf c2 c27f e09fbf eda080 edbfbf e282 e28228 f08fbfbf f4908080 f5808080 f09080 ff"
    for data in map(bytes.fromhex, bad.split()):
        with pytest.raises(CborError, match="UTF-8"):
            cbor.decode(bytes([0x60 | len(data)]) + data)


def test_sequence() -> None:
    assert cbor.decode_sequence(bytes.fromhex("018102f6")) == [1, [2], None]
    assert cbor.decode_sequence(b"") == []
    with pytest.raises(CborError):
        cbor.decode_sequence(bytes.fromhex("011817"))


@pytest.mark.parametrize("head", ["5b", "7b", "9b", "bb"])
def test_a_declared_length_costs_nothing(head: str) -> None:
    """A length far beyond the data is refused before anything of that size is made."""
    with pytest.raises(CborError, match="too early"):
        cbor.decode(bytes.fromhex(head + "7fffffffffffffff"))
