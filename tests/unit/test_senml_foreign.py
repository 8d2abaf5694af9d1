"""SenML of others (RFC 8428): resolved as section 4.6 says, whatever CBOR it came in."""

import json
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick_edge import senml_foreign
from tallystick_wire.errors import SenmlError

# The measurement of RFC 8428 section 6 (its own example is not deterministic CBOR): six currents and a voltage.
RFC_EXAMPLE = bytes.fromhex(
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c"
    "7461676501615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302"
    "fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a300676375"
    "7272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333"
)


def decode(*records: object, now_s: float | None = None) -> list[dict[str, Any]]:
    return senml_foreign.decode(cbor2.dumps(list(records)), now_s)


def test_the_example_of_the_rfc() -> None:
    records = senml_foreign.decode(RFC_EXAMPLE)
    name = "urn:dev:ow:10e2073a0108006:"
    currents = [(-5, 1.2), (-4, 1.3), (-3, 1.4), (-2, 1.5), (-1, 1.6), (0, 1.7)]
    expected = [
        {"bver": 5, "n": name + "current", "u": "A", "t": 1276020076.001 + offset, "v": value}
        for offset, value in currents
    ]
    expected.insert(5, {"bver": 5, "n": name + "voltage", "u": "V", "t": 1276020076.001, "v": 120.1})
    assert records == expected


def test_base_values_hold_until_they_change() -> None:
    records = decode(
        {-2: "a:", -4: "Cel", -5: 20, 0: "x", 2: 1},
        {0: "y", 2: 2, 1: "K"},
        {-2: "b:", -5: 0, 0: "x", 2: 3},
        {0: "z"},
    )
    assert records == [
        {"n": "a:x", "u": "Cel", "v": 21},
        {"n": "a:y", "u": "K", "v": 22},
        {"n": "b:x", "u": "Cel", "v": 3},
        {"n": "b:z", "u": "Cel", "v": 0},
    ]


def test_a_record_of_base_fields_alone_is_no_measurement() -> None:
    """The actuator of RFC 8428 section 5.1.7."""
    records = decode(
        {-2: "urn:dev:ow:10e2073a01080063:"},
        {0: "temp", 1: "Cel", 2: 23.1},
        {0: "heat", 1: "/", 2: 1},
        {-4: "/", -3: 1320078429},
        {0: "fan", 2: 0},
    )
    name = "urn:dev:ow:10e2073a01080063:"
    assert records == [
        {"n": name + "temp", "u": "Cel", "v": 23.1},
        {"n": name + "heat", "u": "/", "v": 1},
        {"n": name + "fan", "u": "/", "t": 1320078429, "v": 0},
    ]
    assert decode({-2: "a"}) == []
    for nothing in ({}, {"note": 1}):
        with pytest.raises(SenmlError, match="neither"):
            decode({-2: "a"}, nothing)


def test_every_kind_of_value() -> None:
    values: list[dict[int, object]] = [{3: "text"}, {4: True}, {8: b"\0"}, {5: 7, 7: 60}, {-6: 2, 5: 1}]
    records = decode(*({0: "a", **value} for value in values))
    assert [{key: record[key] for key in record if key != "n"} for record in records] == [
        {"vs": "text"},
        {"vb": True},
        {"vd": b"\0"},
        {"s": 7, "ut": 60},
        {"s": 3},
    ]


def test_decimal_fractions_stay_exact() -> None:
    (record,) = decode({-5: Decimal("0.10"), 0: "x", 2: Decimal("0.20")})
    assert str(record["v"]) == "0.30"
    (record,) = decode({-5: 0.1, 0: "x", 2: Decimal("0.20")})
    assert str(record["v"]) == "0.30"
    (record,) = decode({-5: Decimal("1e300"), 0: "x", 2: Decimal("1e-300")})
    assert str(record["v"]) == "1" + 300 * "0" + "." + 299 * "0" + "1"


def test_times() -> None:
    absolute, relative = {0: "a", 2: 1, 6: 1 << 28}, {0: "b", 2: 1, 6: -5}
    assert [record["t"] for record in decode(absolute, relative)] == [-5, 1 << 28]
    assert [record["t"] for record in decode(absolute, relative, {0: "c", 2: 1}, now_s=2_000_000_000)] == [
        1 << 28,
        1_999_999_995,
        2_000_000_000,
    ]
    assert "t" not in decode({0: "a", 2: 1})[0]
    assert decode({-3: 2_000_000_000, 0: "a", 2: 1})[0]["t"] == 2_000_000_000


def test_chronological_and_otherwise_in_the_order_sent() -> None:
    records = decode({0: "late", 2: 1, 6: 9}, {0: "first", 2: 1, 6: 3}, {0: "second", 2: 1, 6: 3})
    assert [record["n"] for record in records] == ["first", "second", "late"]


def test_unknown_labels_are_left_out_unless_they_must_be_understood() -> None:
    assert decode({0: "a", 2: 1, "note": "x", 77: 1}) == [{"n": "a", "v": 1}]
    with pytest.raises(SenmlError, match="must be understood"):
        decode({0: "a", 2: 1, "note_": "x"})


def test_any_valid_cbor_will_do() -> None:
    """Indefinite lengths, long heads, keys out of order."""
    data = bytes.fromhex("9f bf 02 190001 00 6178 ff ff")
    assert senml_foreign.decode(data) == [{"n": "x", "v": 1}]


@pytest.mark.parametrize(
    "pack",
    [
        [],
        {},
        [1],
        [{2: 1}],
        [{0: "-a", 2: 1}],
        [{0: "a b", 2: 1}],
        [{0: "a"}],
        [{0: "a", 2: 1, 3: "x"}],
        [{0: "a", 2: "1"}],
        [{0: "a", 2: True}],
        [{0: "a", 2: None}],
        [{0: "a", 2: float("nan")}],
        [{0: "a", 2: float("inf")}],
        [{0: "a", 2: 1 << 65}],
        [{-5: 1.7e308, 0: "a", 2: 1.7e308}],
        [{-3: 1.7e308, 0: "a", 2: 1, 6: 1.7e308}],
        [{0: "a", 2: Decimal("1e401")}],
        [{0: "a", 2: Decimal("NaN")}],
        [{0: "a", 4: 1}],
        [{0: "a", 8: "x"}],
        [{0: 1, 2: 1}],
        [{0: "a", 2: 1, 6: "x"}],
        [{-1: 11, 0: "a", 2: 1}],
        [{-1: 0, 0: "a", 2: 1}],
        [{-1: 9, 0: "a", 2: 1}, {-1: 10, 0: "b", 2: 1}],
    ],
)
def test_refused(pack: object) -> None:
    with pytest.raises(SenmlError):
        senml_foreign.decode(cbor2.dumps(pack))


def test_bytes_that_are_not_one_pack() -> None:
    good = cbor2.dumps([{0: "a", 2: 1}])
    twice = bytes.fromhex("81 a2 00 6161 00 6162")
    for data in (b"", good[:-1], good + b"\0", twice, b"\x81" * 100_000, b"\x81" * 2_000 + b"\0"):
        with pytest.raises(SenmlError):
            senml_foreign.decode(data)


# Tags to which cbor2 gives a meaning, and so code that may fail in its own way.
HOSTILE_TAGS = st.sampled_from(
    [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799]
)
hostile = st.recursive(
    st.one_of(st.none(), st.integers(-300, 1 << 70), st.floats(), st.text(max_size=5), st.binary(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.integers(-6, 9), inner, max_size=3),
        st.builds(cbor2.CBORTag, HOSTILE_TAGS, inner),
    ),
    max_leaves=8,
)


@given(st.one_of(hostile, st.lists(st.dictionaries(st.integers(-6, 8), hostile, max_size=5), min_size=1, max_size=4)))
@settings(deadline=None, max_examples=600)
def test_only_senml_errors_come_out(pack: object) -> None:
    try:
        data = cbor2.dumps(pack)
    except cbor2.CBOREncodeError:
        return
    check_hostile(data)


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=600)
def test_only_senml_errors_come_out_of_any_bytes(data: bytes) -> None:
    check_hostile(b"\x81" + data)
    check_hostile(b"\x81\xa2\x00\x61a\x02" + data)


def check_hostile(data: bytes) -> None:
    try:
        records = senml_foreign.decode(data)
    except SenmlError:
        return
    json.dumps(records, default=str)


@pytest.mark.parametrize(
    "data",
    [
        "81 a2 00 6161 02 c4 82 1a3b9aca00 01",
        "81 a2 00 6161 02 c5 82 1a3b9aca00 01",
        "81 a2 00 6161 02 c5 82 1b7fffffffffffffff 01",
        "81 c1 1b7fffffffffffffff",
    ],
)
def test_huge_exponents_cost_nothing(data: str) -> None:
    with pytest.raises(SenmlError):
        senml_foreign.decode(bytes.fromhex(data))
