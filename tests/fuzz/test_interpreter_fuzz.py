"""Files of MicroPython, damaged: only InterpreterError comes out. And the emulated loader takes any bytes."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter_files import esp_image, uf2_file

from tallystick_emulators.esp_chip import ESP32, ESP32_S3
from tallystick_emulators.esp_rom import SECTOR_BYTES, Loader
from tallystick_emulators.flash_disk import FlashDisk
from tallystick_fleet import interpreter
from tallystick_fleet.errors import InterpreterError

EXAMPLES = 300
WHOLE = {
    "esp32": esp_image(ESP32, 3000),
    "esp32-s3": esp_image(ESP32_S3, 3000),
    "rp2040": uf2_file(blocks=5),
    "rp2350": uf2_file(0xE48BFF59, blocks=5, workaround=True),
}
CHANGES = st.lists(st.tuples(st.integers(0, 2**17), st.binary(min_size=1, max_size=4)), max_size=4)


@settings(max_examples=EXAMPLES)
@given(kind=st.sampled_from(sorted(WHOLE)), changes=CHANGES, near_start=st.booleans(), cut=st.integers(0, 2**17))
def test_a_damaged_file_is_refused_and_nothing_else(
    kind: str, changes: list[tuple[int, bytes]], near_start: bool, cut: int
) -> None:
    data = bytearray(WHOLE[kind])
    for at, new in changes:
        at %= 64 if near_start else len(data)
        data[at : at + len(new)] = new
    with contextlib.suppress(InterpreterError):
        interpreter.parse("x", bytes(data[:cut] if cut % 2 else data))


@settings(max_examples=EXAMPLES)
@given(data=st.binary(max_size=2000), start=st.sampled_from([b"", b"\xe9", b"UF2\nWQ]\x9e"]))
def test_any_bytes_are_refused_and_nothing_else(data: bytes, start: bytes) -> None:
    with contextlib.suppress(InterpreterError):
        interpreter.parse("x", start + data)


@settings(max_examples=EXAMPLES)
@given(
    frames=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=80)), max_size=6),
    uploaded=st.booleans(),
    noise=st.binary(max_size=40),
)
def test_the_emulated_loader_answers_anything(frames: list[tuple[int, bytes]], uploaded: bool, noise: bytes) -> None:
    loader = Loader(ESP32, FlashDisk(SECTOR_BYTES, 4))
    loader.is_uploaded = uploaded
    loader.take(noise)
    for number, body in frames:
        loader.take(b"\xc0\0" + bytes([number]) + len(body).to_bytes(2, "little") + bytes(4) + body + b"\xc0")
