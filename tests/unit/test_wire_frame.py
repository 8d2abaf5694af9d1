"""Frames: COBS and CRC-32, damage, and a stream in any pieces."""

import pytest

from tallystick_wire import frame
from tallystick_wire.errors import FrameError


def counters(decoder: frame.Decoder) -> tuple[int, int, int]:
    return decoder.junk, decoder.bad_crc, decoder.oversize


@pytest.mark.parametrize("size", [0, 1, 2, 248, 249, 250, 251, 252, 254, 255, 256, 504, 508, 1200])
@pytest.mark.parametrize("filling", [b"\0", b"\x01", b"\xff", b"ab\0"])
def test_there_and_back(size: int, filling: bytes) -> None:
    payload = (filling * size)[:size]
    data = frame.encode(payload)
    assert data.endswith(b"\0")
    assert b"\0" not in data[:-1]
    assert len(data) <= size + 4 + 5 + 1
    decoder = frame.Decoder()
    assert decoder.feed(data) == [payload]
    assert counters(decoder) == (0, 0, 0)


def test_cobs_of_the_book() -> None:
    """Cheshire and Baker's own cases: zeros, a full run at the end, a full run before more."""
    assert frame._stuff(b"") == b"\x01"
    assert frame._stuff(b"\0\0") == b"\x01\x01\x01"
    assert frame._stuff(b"\x11\x22\0\x33") == b"\x03\x11\x22\x02\x33"
    run = bytes(range(1, 255))
    assert frame._stuff(run) == b"\xff" + run
    assert frame._stuff(run + b"\xff") == b"\xff" + run + b"\x02\xff"
    assert frame._stuff(run + b"\0") == b"\xff" + run + b"\x01\x01"


def test_any_pieces() -> None:
    payloads = [b"one", b"", b"\0" * 9, bytes(range(256)) * 4]
    stream = b"".join(map(frame.encode, payloads))
    for size in (1, 2, 3, 7, 100, 5000):
        decoder = frame.Decoder()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [payload for piece in pieces for payload in decoder.feed(piece)] == payloads


def test_damage_costs_one_frame() -> None:
    good = frame.encode(b"good")
    damaged = bytearray(frame.encode(b"damaged"))
    damaged[3] ^= 1
    decoder = frame.Decoder()
    assert decoder.feed(bytes(damaged) + good) == [b"good"]
    assert counters(decoder) == (0, 1, 0)
    assert decoder.feed(b"\x09no such code\0" + b"\x7f\0" + b"\x02x\0" + good) == [b"good"]
    assert counters(decoder) == (3, 1, 0)


def test_zeros_between_frames_are_nothing() -> None:
    decoder = frame.Decoder()
    assert decoder.feed(b"\0\0" + frame.encode(b"x") + b"\0\0") == [b"x"]
    assert counters(decoder) == (0, 0, 0)


def test_limits() -> None:
    with pytest.raises(FrameError, match="1200"):
        frame.encode(bytes(frame.MAX_FRAME_PAYLOAD_BYTES + 1))
    decoder = frame.Decoder()
    for _ in range(100):
        assert decoder.feed(b"\x01" * 1000) == []
    assert len(decoder._buffer) <= frame._MAX_STUFFED_BYTES
    assert decoder.feed(b"\0" + frame.encode(b"after")) == [b"after"]
    assert counters(decoder) == (0, 0, 1)


def test_a_payload_just_above_the_limit_is_oversize() -> None:
    payload = bytes(frame.MAX_FRAME_PAYLOAD_BYTES + 1)
    data = frame._stuff(payload + frame._crc(payload)) + b"\0"
    decoder = frame.Decoder()
    assert decoder.feed(data) == []
    assert counters(decoder) == (0, 0, 1)


def test_every_flipped_bit_is_seen() -> None:
    data = frame.encode(b"tallystick")
    for position in range(len(data) - 1):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            assert b"tallystick" not in frame.Decoder().feed(bytes(damaged))
