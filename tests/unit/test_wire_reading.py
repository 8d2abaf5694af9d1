"""The reading: its size, its chain, its boot record, and what is refused."""

import hashlib

import pytest

from tallystick_wire import cbor, cose, reading, senml
from tallystick_wire.errors import ReadingError, SenmlError, WireError

KID = bytes.fromhex("0123456789abcdef")
NAME = senml.base_name(32473, KID)
PREVIOUS = bytes(range(16))
CHAIN = reading.Chain(1, 2, 3000, PREVIOUS, None)
PACK = senml.encode_pack(NAME, [senml.Record("t", "Cel", senml.Decimal(-2, 437))])


def sign(message: bytes) -> bytes:
    return hashlib.sha512(message).digest()


def channel(name: str, mantissa: int) -> senml.Record:
    unit, exponent = senml.CHANNELS[name]
    return senml.Record(name, unit, senml.Decimal(exponent, mantissa) if exponent else mantissa)


def header(**changes: object) -> bytes:
    """A reading with one protected value changed; values are not checked here."""
    values = {"alg": -8, "content": 112, "kid": KID, "chain": CHAIN.items(), **changes}
    labels = {"alg": 1, "content": 3, "kid": 4, "chain": -65537}
    return encoded([(labels.get(name, name), value) for name, value in values.items()])


def encoded(pairs: list[tuple[object, object]], payload: bytes = PACK) -> bytes:
    return cose.assemble(cbor.encode(cbor.Map(pairs)), payload, bytes(64))


def test_three_measurements_need_at_most_210_bytes() -> None:
    """The worst case: every number at its longest (boot in 16 bits, humidity to 100 %), a five-digit PEN."""
    chain = reading.Chain((1 << 16) - 1, reading.MAX_SEQ, reading.MAX_UPTIME_MS, PREVIOUS, None)
    extremes = [channel("t", -(1 << 15)), channel("h", 100), channel("b", (1 << 16) - 1)]
    data = reading.build(KID, chain, senml.encode_pack(senml.base_name(65535, KID), extremes), sign)
    assert len(data) <= 210


def test_parse_gives_what_build_took() -> None:
    chain = reading.Chain(7, 9, 1 << 40, PREVIOUS, (12, bytes(16), 5))
    data = reading.build(KID, chain, PACK, sign)
    parsed = reading.parse(data)
    assert (parsed.kid, parsed.chain, parsed.payload) == (KID, chain, PACK)
    assert parsed.pack == senml.Pack(NAME, [senml.Record("t", "Cel", senml.Decimal(-2, 437))])
    assert parsed.sign1.signature == sign(parsed.sign1.to_be_signed)
    assert parsed.data == data
    assert parsed.identity == hashlib.sha256(data).digest()
    assert parsed.link == parsed.identity[:16]
    assert parsed.boot_record is None


def test_an_unprotected_header_changes_nothing_but_itself() -> None:
    data = reading.build(KID, CHAIN, PACK, sign)
    parts = cose.split(data)
    receipt = cbor.Map([(394, [b"receipt"])])
    decorated = cbor.encode(cbor.Tag(18, [parts.protected, receipt, parts.payload, parts.signature]))
    assert reading.parse(decorated).data == data
    assert reading.parse(decorated).identity == reading.parse(data).identity


def test_the_newer_algorithm_number_is_accepted() -> None:
    assert reading.parse(header(alg=cose.ALG_ED25519)).chain == CHAIN


def test_boot_record() -> None:
    record = reading.BootRecord("watchdog", 41, 512, bytes(8), bytes(range(8)))
    records = [senml.Record("t", "Cel", 4), *record.records()]
    parsed = reading.parse(reading.build(KID, CHAIN, senml.encode_pack(NAME, records), sign)).boot_record
    assert parsed is not None
    assert parsed.records() == record.records()
    for missing in range(1, len(records)):
        payload = senml.encode_pack(NAME, records[:missing] + records[missing + 1 :])
        with pytest.raises(ReadingError):
            reading.parse(reading.build(KID, CHAIN, payload, sign))


def with_gap(seq: int, **values: "senml.Value") -> bytes:
    records = [senml.Record(name, None, value) for name, value in values.items()]
    payload = senml.encode_pack(NAME, [senml.Record("t", "Cel", 4), *records])
    return reading.build(KID, reading.Chain(1, seq, 3000, PREVIOUS, None), payload, sign)


def test_gap_record() -> None:
    records = [senml.Record("t", "Cel", 4), *reading.GapRecord(3, 22).records()]
    chain = reading.Chain(1, 23, 3000, PREVIOUS, None)
    assert reading.parse(reading.build(KID, chain, senml.encode_pack(NAME, records), sign)).gap == (3, 22)
    assert reading.parse(with_gap(2, gf=1, gl=1)).gap == (1, 1)
    assert reading.parse(reading.build(KID, chain, PACK, sign)).gap is None


def test_a_gap_has_both_ends_and_lies_before_its_reading() -> None:
    for seq, values in (
        (23, {"gf": 3}),
        (23, {"gl": 22}),
        (23, {"gf": 0, "gl": 22}),
        (23, {"gf": 4, "gl": 3}),
        (23, {"gf": 3, "gl": 23}),
        (1, {"gf": 1, "gl": 1}),
        (23, {"gf": True, "gl": 22}),
        (23, {"gf": 3, "gl": "22"}),
        (23, {"gf": senml.Decimal(0, 3), "gl": 22}),
        (23, {"gf": -3, "gl": 22}),
    ):
        with pytest.raises(ReadingError, match=r"g[fl] must be an integer"):
            reading.parse(with_gap(seq, **values))


def test_genesis_ties_log_and_key() -> None:
    key = bytes(32)
    expected = hashlib.sha256(b"tallystick/genesis/v1\0" + b"ledger.example/log" + key).digest()[:16]
    assert reading.genesis("ledger.example/log", key) == expected
    with pytest.raises(ReadingError):  # a fixed size: else origin and key could trade bytes
        reading.genesis("ledger.example/lo", b"g" + key)


@pytest.mark.parametrize(
    "data",
    [
        encoded([(1, -8), (3, 112), (4, KID)]),
        encoded([(1, -8), (3, 112), (4, KID), (5, 0), (-65537, CHAIN.items())]),
        encoded([(1, -8), (2, [3]), (4, KID), (-65537, CHAIN.items())]),
        header(alg=-7),
        header(alg="EdDSA"),
        header(content=110),
        header(content=True),
        header(kid=KID[:7]),
        header(kid="01234567"),
        header(kid=bytes(8)),  # not the kid of the base name
        header(chain=None),
        header(chain=[1, 2, 3000, PREVIOUS]),
        header(chain=[0, 2, 3000, PREVIOUS, None]),
        header(chain=[1 << 32, 2, 3000, PREVIOUS, None]),
        header(chain=[1, 0, 3000, PREVIOUS, None]),
        header(chain=[1, 1 << 32, 3000, PREVIOUS, None]),
        header(chain=[True, 2, 3000, PREVIOUS, None]),
        header(chain=[1, 2, -1, PREVIOUS, None]),
        header(chain=[1, 2, 3000.0, PREVIOUS, None]),
        header(chain=[1, 2, 3000, PREVIOUS[:15], None]),
        header(chain=[1, 2, 3000, None, None]),
        header(chain=[1, 2, 3000, PREVIOUS, []]),
        header(chain=[1, 2, 3000, PREVIOUS, [1, bytes(16)]]),
        header(chain=[1, 2, 3000, PREVIOUS, [-1, bytes(16), 0]]),
        header(chain=[1, 2, 3000, PREVIOUS, [1, bytes(15), 0]]),
        header(chain=[1, 2, 3000, PREVIOUS, [1, bytes(16), 3001]]),  # received after it was used
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(ReadingError):
        reading.parse(data)


@pytest.mark.parametrize(
    "name", ["", "x", "urn:dev:mac:0123456789abcdef_", NAME[:-1], NAME.upper(), NAME.replace("32473", "032473")]
)
def test_other_base_names_are_refused(name: str) -> None:
    payload = cbor.encode([{-2: name, 0: "t", 2: 1}])
    with pytest.raises(SenmlError):
        reading.parse(reading.build(KID, CHAIN, payload, sign))


def test_size_limit() -> None:
    long_text = senml.encode_pack(NAME, [senml.Record("x", None, "y" * reading.MAX_READING_BYTES)])
    with pytest.raises(ReadingError, match="1024 bytes"):
        reading.build(KID, CHAIN, long_text, sign)
    with pytest.raises(ReadingError, match="1024 bytes"):
        reading.parse(bytes(reading.MAX_READING_BYTES + 1))


def test_the_writer_refuses_what_the_reader_refuses() -> None:
    for chain in (
        reading.Chain(0, 1, 0, PREVIOUS, None),
        reading.Chain(1, 1, 1 << 64, PREVIOUS, None),
        reading.Chain(1, 1, 0, b"", None),
        reading.Chain(1, 1, 0, PREVIOUS, (1, bytes(16), 1)),
    ):
        with pytest.raises(ReadingError):
            reading.build(KID, chain, PACK, sign)
    with pytest.raises(ReadingError):
        reading.build(KID[:4], CHAIN, PACK, sign)


def test_every_refusal_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        reading.parse(b"")
