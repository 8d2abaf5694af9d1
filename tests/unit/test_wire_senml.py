"""Measurement packs: the node's own narrow form, both ways."""

import pytest

from tallystick_wire import cbor, senml
from tallystick_wire.errors import SenmlError

KID = bytes.fromhex("0123456789abcdef")
NAME = "urn:dev:os:32473-0123456789abcdef_"
VALUES = [0, -7, 1 << 63, senml.Decimal(-2, 2150), senml.Decimal(3, -5), True, False, "text", "", b"\0\xff", b""]


def pack(*records: object) -> bytes:
    return cbor.encode(list(records))


def test_base_name_both_ways() -> None:
    assert senml.base_name(32473, KID) == NAME
    assert senml.split_base_name(NAME) == (32473, KID)
    assert senml.split_base_name(senml.base_name(0, KID)) == (0, KID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "urn:dev:os:",
        "urn:dev:os:-0123456789abcdef_",
        "urn:dev:os:+32473-0123456789abcdef_",
        "urn:dev:os:032473-0123456789abcdef_",
        "urn:dev:os:12345678901-0123456789abcdef_",
        "urn:dev:os:32473-0123456789ABCDEF_",
        "urn:dev:os:32473-0123456789abcde_",
        "urn:dev:os:32473-0123456789abcdef",
        "urn:dev:ow:32473-0123456789abcdef_",
        "urn:dev:os:٣-0123456789abcdef_",
    ],
)
def test_other_base_names(text: str) -> None:
    with pytest.raises(SenmlError):
        senml.split_base_name(text)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("unit", [None, "Cel"])
def test_each_value_comes_back_as_it_was(value: "senml.Value", unit: str | None) -> None:
    records = [senml.Record("a", unit, value), senml.Record("b", unit, value)]
    decoded = senml.decode_pack(senml.encode_pack(NAME, records))
    assert decoded == senml.Pack(NAME, records)
    assert type(decoded.get("b")) is type(value)
    assert decoded.get("c") is None


def test_the_bytes_are_those_of_rfc_8428() -> None:
    records = [senml.Record("t", "Cel", senml.Decimal(-1, 215)), senml.Record("d", None, True)]
    data = senml.encode_pack("urn:x:", records)
    assert data == pack({-2: "urn:x:", 0: "t", 1: "Cel", 2: cbor.Tag(4, [-1, 215])}, {0: "d", 4: True})


def test_true_is_not_one() -> None:
    assert senml.Record("a", None, True) != senml.Record("a", None, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack(),
        cbor.encode({-2: NAME, 0: "t", 2: 1}),
        pack(1),
        pack({0: "t", 2: 1}),
        pack({-2: "", 0: "t", 2: 1}),
        pack({-2: NAME, 2: 1}),
        pack({-2: NAME, 0: "", 2: 1}),
        pack({-2: NAME, 0: "abc", 2: 1}),
        pack({-2: NAME, 0: "t1", 2: 1}),
        pack({-2: NAME, 0: "ß", 2: 1}),
        pack({-2: NAME, 0: 1, 2: 1}),
        pack({-2: NAME, 0: "t"}),
        pack({-2: NAME, 0: "t", 2: 1, 4: True}),
        pack({-2: NAME, 0: "t", 2: 1.5}),
        pack({-2: NAME, 0: "t", 2: True}),
        pack({-2: NAME, 0: "t", 2: "1"}),
        pack({-2: NAME, 0: "t", 2: None}),
        pack({-2: NAME, 0: "t", 3: b"1"}),
        pack({-2: NAME, 0: "t", 4: 1}),
        pack({-2: NAME, 0: "t", 8: "1"}),
        pack({-2: NAME, 0: "t", 2: cbor.Tag(5, [1, 1])}),
        pack({-2: NAME, 0: "t", 2: cbor.Tag(4, [1, 1, 1])}),
        pack({-2: NAME, 0: "t", 2: cbor.Tag(4, [True, 1])}),
        pack({-2: NAME, 0: "t", 2: cbor.Tag(4, [-1, 1.0])}),
        pack({-2: NAME, 0: "t", 2: cbor.Tag(4, [-13, 1])}),
        pack({-2: NAME, 0: "t", 2: cbor.Tag(4, [13, 1])}),
        pack({-2: NAME, 0: "t", 1: None, 2: 1}),
        pack({-2: NAME, 0: "t", 1: "", 2: 1}),
        pack({-2: NAME, 0: "t", 1: 5, 2: 1}),
        pack({-2: NAME, 0: "t", 2: 1, 6: 0}),  # time
        pack({-2: NAME, -3: 1, 0: "t", 2: 1}),  # base time
        pack({-2: NAME, 0: "t", 2: 1, 5: 1}),  # sum
        pack({-2: NAME, 0: "t", 2: 1, "x": 1}),
        pack({-2: NAME, 0: "t", 2: 1}, {-2: NAME, 0: "h", 2: 1}),
        pack({-2: NAME, 0: "t", 2: 1}, {0: "t", 2: 2}),
        bytes.fromhex("81a3006174020121617800"),  # not deterministic
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(SenmlError):
        senml.decode_pack(data)


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("", [senml.Record("t", None, 1)]),
        (NAME, []),
        (NAME, [senml.Record("abc", None, 1)]),
        (NAME, [senml.Record("t", "", 1)]),
        (NAME, [senml.Record("t", None, 1), senml.Record("t", None, 2)]),
        (NAME, [senml.Record("t", None, senml.Decimal(13, 1))]),
        (NAME, [senml.Record("t", None, 1.5)]),  # type: ignore[arg-type]
    ],
)
def test_the_writer_refuses_what_the_reader_refuses(name: str, records: list[senml.Record]) -> None:
    with pytest.raises(SenmlError):
        senml.encode_pack(name, records)
