"""Every decoder of the wire package against hostile bytes, and cbor2 as the oracle of our CBOR."""

import contextlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick_wire import cbor, cose, frame, image, manifest, message, reading, senml, transfer
from tallystick_wire.errors import CborError, WireError

KEY = bytes(32)
KID = bytes(8)
ORIGIN = "ledger.example/log"
PACK = senml.encode_pack(
    senml.base_name(32473, KID),
    [senml.Record("t", "Cel", senml.Decimal(-2, 437)), senml.Record("d", None, True), senml.Record("x", "V", 3)],
)
READING = reading.build(KID, reading.Chain(1, 2, 3, bytes(16), (4, bytes(16), 2)), PACK, lambda _: bytes(64))

UPDATES = json.loads((Path(__file__).parents[1] / "vectors/wire.json").read_text("utf-8"))["update"]
IMAGE_BOARD = "mpy6.3-armv6m"


class Sink:
    """Takes the files of an image; a path that leads elsewhere is the one thing that it must never see."""

    def open(self, path: str) -> None:
        image.check_path(path)

    def write(self, piece: bytes) -> None:
        assert piece

    def close(self) -> None:
        pass


def unpack(data: bytes) -> None:
    unpacker = image.Unpacker(Sink(), IMAGE_BOARD)
    unpacker.feed(data)
    unpacker.finish()


Opener = Callable[[bytes], object]
DECODERS: dict[str, tuple[Opener, bytes]] = {
    "cbor.decode": (cbor.decode, READING),
    "cbor.decode_sequence": (cbor.decode_sequence, READING + PACK),
    "cose.split": (cose.split, READING),
    "cose.identity": (cose.identity, READING),
    "senml.decode_pack": (senml.decode_pack, PACK),
    "reading.parse": (reading.parse, READING),
    "message.kind": (message.kind, READING),
    "open_ack": (lambda data: message.open_ack(KEY, data), message.build_ack(KEY, KID, 1, 9, [(2, 3), (5, 7)])),
    "open_anchor": (lambda data: message.open_anchor(KEY, data), message.build_anchor(KEY, 5, bytes(16))),
    "open_node": (message.open_node, message.build_node("enrolled", bytes(32), ORIGIN, KID)),
    "open_enrol": (message.open_enrol, message.build_enrol(ORIGIN, 32473, bytes(16))),
    "open_link": (message.open_link, message.build_link(KEY, ORIGIN, 32473)),
    "open_linked": (message.open_linked, message.build_linked(KID)),
    "open_refused": (message.open_refused, message.build_refused("reason")),
    "open_offer": (lambda data: transfer.open_offer(KEY, data), transfer.build_offer(KEY, 5, bytes(100))),
    "open_want": (transfer.open_want, transfer.build_want(bytes(16), -3)),
    "open_chunk": (transfer.open_chunk, transfer.build_chunk(bytes(16), 7, bytes(40))),
    "open_outcome": (transfer.open_outcome, transfer.build_outcome(bytes(16), "kept")),
    "manifest.parse (config)": (manifest.parse, bytes.fromhex(UPDATES["config"])),
    "manifest.parse (firmware)": (manifest.parse, bytes.fromhex(UPDATES["firmware"])),
    "image": (unpack, bytes.fromhex(UPDATES["image"])),
}

# Tag numbers that cbor2 gives no meaning of its own.
LOWEST_PLAIN_TAG = 60_000
plain_tags = st.integers(LOWEST_PLAIN_TAG, (1 << 64) - 1)
integers = st.one_of(st.integers(-(1 << 64), (1 << 64) - 1), st.integers(-300, 300))
simples = st.sampled_from([*range(20), 23, *range(32, 256)]).map(cbor.Simple)
keys = st.one_of(integers, st.text(max_size=8), st.binary(max_size=8), st.booleans(), st.none())
scalars = st.one_of(keys, st.floats(), st.floats(width=16), st.floats(width=32))


def unique_pairs(pairs: list[tuple[Any, Any]]) -> cbor.Map:
    return cbor.Map(list({cbor.encode(key): (key, value) for key, value in pairs}.values()))


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.tuples(keys, inner), max_size=4).map(unique_pairs),
        st.builds(cbor.Tag, plain_tags, inner),
        simples,
    ),
    max_leaves=12,
)


def depth(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, cbor.Map):
        return 1 + max((depth(item) for _, item in value.pairs), default=0)
    return 1 + depth(value.value) if isinstance(value, cbor.Tag) else 0


shallow_values = values.filter(lambda value: depth(value) <= cbor.MAX_NESTING)


def same(ours: Any, theirs: Any) -> bool:
    """Whether cbor2 understood what we wrote."""
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, cbor.Map):
        expected = {(type(key), key): value for key, value in ours.pairs}
        found = {(type(key), key): value for key, value in theirs.items()}
        return expected.keys() == found.keys() and all(same(value, found[key]) for key, value in expected.items())
    if isinstance(ours, cbor.Tag):
        return bool(ours.number == theirs.tag and same(ours.value, theirs.value))
    if isinstance(ours, cbor.Simple):
        return theirs is cbor2.undefined if ours.number == 23 else bool(theirs == cbor2.CBORSimpleValue(ours.number))
    if isinstance(ours, float):
        both_nan = ours != ours and theirs != theirs  # every NaN is written as one
        return type(theirs) is float and (both_nan or struct.pack(">d", ours) == struct.pack(">d", theirs))
    return type(ours) is type(theirs) and ours == theirs


@given(shallow_values)
@settings(deadline=None, max_examples=400)
def test_cbor2_reads_what_we_write(value: Any) -> None:
    data = cbor.encode(value)
    if cbor2_can_hold(value):
        assert same(value, cbor2.loads(data))
    assert cbor.encode(cbor.decode(data)) == data


def cbor2_can_hold(value: Any) -> bool:
    """cbor2 gives low tags a meaning, and a Python dict merges the keys 1, 1.0 and True and holds no lists as keys."""
    if isinstance(value, cbor.Map):
        names = [key for key, _ in value.pairs]
        plain = not any(isinstance(name, (list, cbor.Map, cbor.Tag, cbor.Simple, float)) for name in names)
        return plain and len(set(names)) == len(names) and all(cbor2_can_hold(item) for _, item in value.pairs)
    if isinstance(value, list):
        return all(map(cbor2_can_hold, value))
    return not isinstance(value, cbor.Tag) or (value.number >= LOWEST_PLAIN_TAG and cbor2_can_hold(value.value))


@given(st.one_of(st.binary(max_size=40), shallow_values.map(cbor.encode)), st.data())
@settings(deadline=None, max_examples=600)
def test_what_we_accept_has_one_encoding(data: bytes, source: st.DataObject) -> None:
    mutated = mutate(data, source)
    try:
        value = cbor.decode(mutated)
    except CborError:
        return
    assert cbor.encode(value) == mutated
    if cbor2_can_hold(value):
        assert same(value, cbor2.loads(mutated))


@given(scalars)
@settings(deadline=None, max_examples=300)
def test_other_widths_are_refused(value: Any) -> None:
    """cbor2 writes floats in eight bytes unless asked: whatever is not our form is refused, not repaired."""
    ours, theirs = cbor.encode(value), cbor2.dumps(value)
    if theirs != ours:
        with pytest.raises(CborError):
            cbor.decode(theirs)


@given(st.floats())
@settings(deadline=None, max_examples=500)
def test_floats_are_as_short_as_those_of_cbor2(value: float) -> None:
    assert cbor.encode(value) == cbor2.dumps(value, canonical=True)


@pytest.mark.parametrize("name", DECODERS)
@given(source=st.data())
@settings(deadline=None, max_examples=150)
def test_only_wire_errors_come_out(name: str, source: st.DataObject) -> None:
    decode, good = DECODERS[name]
    decode(good)
    base = source.draw(st.one_of(st.just(good), st.binary(max_size=64), shallow_values.map(cbor.encode)))
    with contextlib.suppress(WireError):
        decode(mutate(base, source))


def mutate(data: bytes, source: st.DataObject) -> bytes:
    """Flip, cut, insert or repeat: a few defects in bytes that were good."""
    mutated = bytearray(data)
    for _ in range(source.draw(st.integers(0, 3))):
        position = source.draw(st.integers(0, len(mutated)))
        match source.draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
            case "flip" if position < len(mutated):
                mutated[position] ^= 1 << source.draw(st.integers(0, 7))
            case "cut":
                del mutated[position : position + source.draw(st.integers(1, 8))]
            case "insert":
                mutated[position:position] = source.draw(st.binary(min_size=1, max_size=9))
            case _:
                mutated[position:position] = mutated[position : position + 8]
    return bytes(mutated)


@given(shallow_values, st.data())
@settings(deadline=None, max_examples=300)
def test_a_signed_value_cannot_break_a_reading(value: Any, source: st.DataObject) -> None:
    """A node with a good key may still sign nonsense: any value in any protected field or as payload."""
    fields: dict[Any, Any] = {1: -8, 3: 112, 4: KID, -65537: [1, 2, 3, bytes(16), None]}
    changed = source.draw(st.sampled_from([*fields, "payload", "record", "chain"]))
    payload = PACK
    if changed == "payload":
        payload = cbor.encode(value)
    elif changed == "record":
        payload = b"\x81" + cbor.encode(value)
    elif changed == "chain":
        chain: list[Any] = [1, 2, 3, bytes(16), None]
        chain[source.draw(st.integers(0, 4))] = value
        fields[-65537] = chain
    else:
        fields[changed] = value
    with contextlib.suppress(WireError):
        data = cose.assemble(cbor.encode(fields), payload, bytes(64))
        reading.parse(data)
        message.kind(data)


@given(st.lists(st.one_of(st.binary(max_size=300), st.binary(max_size=40).map(frame.encode)), max_size=8), st.data())
@settings(deadline=None, max_examples=300)
def test_a_frame_after_any_noise_arrives(noise: list[bytes], source: st.DataObject) -> None:
    decoder = frame.Decoder()
    stream = b"".join(noise) + b"\0" + frame.encode(b"after")
    received: list[bytes] = []
    while stream:
        size = source.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:size])
        stream = stream[size:]
    assert received[-1] == b"after"


@given(st.binary(max_size=1200))
@settings(deadline=None, max_examples=300)
def test_frames_there_and_back(payload: bytes) -> None:
    assert frame.Decoder().feed(frame.encode(payload)) == [payload]
