"""Commands made by chance: no emulated tag ever fails, each answer is one that the chip can give, and each state can be
saved and is found again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tag_client import Ev2

from tallystick_emulators.errors import BadEeprom
from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_isodep import Blocks
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_ntag21x_memory import MODELS
from tallystick_emulators.tag_ntag424 import ANSWER_TO_SELECT, Ntag424
from tallystick_emulators.tag_udp import Radio
from tallystick_wire import cbor

UID = bytes.fromhex("04A1B2C3D4E5F6")
SHARED = settings(deadline=None, max_examples=300)
NATIVE = {0x00, 0x90, 0x1C, 0x1E, 0x40, 0x7E, 0x9D, 0x9E, 0xAE, 0xAF, 0xBE, 0xCA, 0xF0}
ISO = {0x6700, 0x6982, 0x6985, 0x6A82, 0x6A86, 0x6A87, 0x6D00, 0x6E00, 0x9000}
CODES = [0x71, 0x77, 0xAF, 0x5F, 0xC4, 0x51, 0xF6, 0xF5, 0x64, 0x60, 0xAD, 0x3C, 0x5C, 0x8D, 0xF7, 0xA4, 0xB0, 0xD6]


def frame(cla: int, code: int, parameters: bytes, data: bytes, expected: bytes) -> bytes:
    return bytes([cla, code]) + parameters + (bytes([len(data)]) + data if data else b"") + expected


APDUS = st.one_of(
    st.binary(max_size=40),
    st.builds(
        frame,
        st.sampled_from([0x90, 0x00, 0x90, 0x00, 0x80]),
        st.one_of(st.sampled_from(CODES), st.integers(0, 255)),
        st.sampled_from([b"\0\0", b"\0\x0c", b"\x04\0", b"\x84\0", b"\0\x10", b"\xff\xff"]),
        st.one_of(
            st.binary(max_size=64),
            st.sampled_from(
                [bytes.fromhex(one) for one in ("D2760000850101", "E104", "E103", "0000", "02", "0502", "3F00")]
            ),
            st.builds(lambda head, tail: head + tail, st.binary(min_size=1, max_size=1), st.just(b"\0\0\0\x10\0\0")),
        ),
        st.sampled_from([b"", b"\0", b"\x10"]),
    ),
)
PAGES = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda code, rest: bytes([code]) + rest,
        st.sampled_from([0x60, 0x30, 0x3A, 0xA2, 0xA0, 0x39, 0x1B, 0x3C]),
        st.binary(max_size=5),
    ),
    st.builds(lambda page, data: bytes([0xA2, page]) + data, st.integers(0, 255), st.binary(min_size=4, max_size=4)),
)


def check_status(answer: bytes | None) -> None:
    assert answer is not None
    assert len(answer) <= 258
    status = int.from_bytes(answer[-2:])
    assert status in ISO or (status >> 8 == 0x91 and status & 255 in NATIVE), answer.hex()


@SHARED
@given(st.booleans(), st.lists(APDUS, max_size=30), st.booleans())
def test_a_424_answers_everything_with_a_status_of_its_own(tamper: bool, commands: list[bytes], torn: bool) -> None:
    tag = Ntag424(UID, tamper)
    tag.activate()
    for command in commands:
        check_status(tag.answer(command))
    if torn and commands:
        tag.answer_torn(commands[-1])
    assert Ntag424.from_bytes(tag.to_bytes()).to_bytes() == tag.to_bytes()


@SHARED
@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from(CODES[3:-3]),
            st.binary(max_size=8),
            st.one_of(st.binary(max_size=40), st.just(bytes.fromhex("4000E0C1F1E0040000140000"))),
            st.sampled_from([0, 1, 3]),
        ),
        max_size=12,
    ),
)
def test_an_authenticated_424_answers_everything_with_a_status_of_its_own(
    tamper: bool, commands: list[tuple[int, bytes, bytes, int]]
) -> None:
    tag = Ntag424(UID, tamper)
    for code, header, data, mode in commands:
        tag.activate()
        tag.answer(bytes.fromhex("00A4040C07D276000085010100"))
        session = Ev2(tag)
        if session.status != "9100":  # it has LRP now, or another key
            break
        check_status(tag.answer(session.apdu(code, header, data, mode)))
    assert Ntag424.from_bytes(tag.to_bytes()).to_bytes() == tag.to_bytes()


@SHARED
@given(st.sampled_from(sorted(MODELS)), st.lists(st.tuples(PAGES, st.booleans()), max_size=30))
def test_a_21x_answers_everything_and_keeps_its_uid(model: str, commands: list[tuple[bytes, bool]]) -> None:
    tag = Ntag21x(model, UID)
    tag.activate()
    size = MODELS[model].pages * 4
    for command, torn in commands:
        if torn:
            tag.answer_torn(command)
        else:
            answer = tag.answer(command)
            assert answer is None or 1 <= len(answer) <= size
            if answer is not None and len(answer) == 1:
                assert answer in (b"\x0a", b"\x00", b"\x04")
        if torn or answer is None or answer in (b"\x00", b"\x04"):
            tag.activate()
    assert tag.uid == UID
    assert Ntag21x.from_bytes(tag.to_bytes()).to_bytes() == tag.to_bytes()


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**64), 2**64 - 1), st.binary(max_size=16), st.just("NTAG 424")),
    lambda inner: st.one_of(st.lists(inner, max_size=11), st.dictionaries(st.integers(0, 7), inner, max_size=7)),
    max_leaves=30,
)


@SHARED
@given(st.one_of(st.binary(max_size=300), VALUES.map(cbor.encode)))
def test_no_bytes_are_an_eeprom_by_chance(data: bytes) -> None:
    for load in (Ntag424.from_bytes, Ntag21x.from_bytes):
        with pytest.raises(BadEeprom):
            load(data)


@SHARED
@given(st.integers(0, 6), st.integers(0, 10), VALUES)
def test_an_eeprom_with_one_other_value_is_none_or_a_whole_tag(at: int, inside: int, value: object) -> None:
    saved = cbor.decode(Ntag424(UID).to_bytes())
    if isinstance(saved[at], list):
        saved[at][inside % len(saved[at])] = value
    else:
        saved[at] = value
    data = cbor.encode(saved)
    try:
        tag = Ntag424.from_bytes(data)
    except BadEeprom:
        return
    assert tag.to_bytes() == data
    tag.activate()
    check_status(tag.answer(bytes.fromhex("00A4040C07D276000085010100")))


@SHARED
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"106A 26", b"RFOFF", b"106A 9320"])), max_size=20))
def test_the_radio_survives_any_datagram(datagrams: list[bytes]) -> None:
    radio = Radio(Field(Ntag424(UID)))
    for one in datagrams:
        radio.datagram(one)
    assert radio.datagram(b"106A 26") == bytes.fromhex("4403")


@SHARED
@given(st.lists(st.binary(max_size=20), max_size=20))
def test_blocks_survive_any_frame(frames: list[bytes]) -> None:
    tag = Ntag424(UID)
    tag.activate()
    made = Blocks(ANSWER_TO_SELECT, tag.answer)
    made.frame(b"\xe0\x80")
    for one in frames:
        made.frame(one)
