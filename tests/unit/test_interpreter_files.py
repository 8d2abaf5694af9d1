"""Files of MicroPython for blank boards: what is taken, and what is refused with its reason."""

import struct
from pathlib import Path

import pytest
from interpreter_files import PROGRAM_ADDRESS, esp_image, program, uf2_block, uf2_file

from tallystick_emulators import esp_chip
from tallystick_emulators.esp_chip import ESP32, ESP32_S3, Chip
from tallystick_fleet import esp_loader, esp_tool, interpreter, uf2_image
from tallystick_fleet.errors import InterpreterError
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.uf2_image import RP2040, RP2350, Uf2Image
from tallystick_provisioning.errors import FileError

WHOLE = esp_image()
TABLE = 0x8000 - ESP32.offset
START = PROGRAM_ADDRESS - ESP32.offset
PICO = uf2_file()


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize("chip", [ESP32, ESP32_S3], ids=lambda chip: chip.name)
def test_an_esp_image_names_its_chip_and_its_place(chip: Chip) -> None:
    found = interpreter.parse("x.bin", esp_image(chip))
    assert isinstance(found, EspImage)
    assert (found.chip, found.chip_id, found.offset) == (chip.name, chip.number, chip.offset)
    assert esp_chip.boots(chip, (b"\xff" * chip.offset + found.data).ljust(esp_chip.FLASH_BYTES, b"\xff"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither an ESP32's .bin"),
        (b"\x7fELF" * 100, "neither an ESP32's .bin"),
        (WHOLE[:10], "no ESP image at byte 0x0"),
        (changed(WHOLE, 1, b"\0"), "0 segments at byte 0x0; 1 to 16"),
        (changed(WHOLE, 1, b"\x11"), "17 segments"),
        (changed(WHOLE, 12, b"\x34\x12"), "for chip number 4660, which esptool does not know"),
        (changed(WHOLE, 200, b"\0\1\2\3"), "wrong checksum of the image at byte 0x0"),
        (changed(WHOLE, 8, b"\1"), "wrong SHA-256 of the image at byte 0x0"),
        (changed(WHOLE, TABLE, b"\0" * 96), "not a whole image"),
        (changed(changed(WHOLE, TABLE + 36, struct.pack("<I", 0xFF6)), len(WHOLE) - 10, b"\xe9"), "not a whole image"),
        (program(ESP32, 20_000, 1), "Take the .bin of MicroPython's download page, not its .app-bin"),
        (WHOLE[: START + 100], "cut off after"),
        (WHOLE[:-1], "cut off after"),
        (changed(WHOLE, START + 300, b"\0\1\2\3"), "wrong checksum of the image at byte 0xf000"),
        (changed(WHOLE, START, program(ESP32_S3, 9000, 1)), "is for chip 9, the first for 0"),
        (b"\xe9" * (interpreter.MAX_FILE_BYTES + 1), "more than 8388608 bytes"),
    ],
)
def test_what_is_no_whole_esp_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InterpreterError) as refused:
        interpreter.parse("x.bin", data)
    assert "x.bin: " in str(refused.value)
    assert reason in str(refused.value)


def test_an_image_may_ask_for_a_newer_chip() -> None:
    found = interpreter.parse("x.bin", WHOLE)
    assert isinstance(found, EspImage)
    assert found.runs_on_revision(0)
    newer = EspImage("x", b"", "ESP32", 0, 0, 300, 399)
    assert [newer.runs_on_revision(revision) for revision in (299, 300, 399, 400)] == [False, True, True, False]
    assert EspImage("x", b"", "ESP32", 0, 0, 100, 0).runs_on_revision(500), "no newest one is told"


def test_flash_that_only_needs_bits_cleared_could_become_the_image() -> None:
    assert esp_loader.could_become(b"\xff\xff\xff", b"\xe9\x01\x00"), "erased"
    assert esp_loader.could_become(b"\xe9\xff\xff", b"\xe9\x01\x00"), "half written"
    assert not esp_loader.could_become(b"\xe9\x00\xff", b"\xe9\x01\x00"), "another program"
    assert not esp_loader.could_become(b"\xff\xff", b"\xe9\x01\x00"), "half an answer"


def test_every_chip_that_esptool_knows_has_a_name_and_a_place() -> None:
    found = [esp_tool.chip(number) for number in range(64)]
    known = {one.name: one.offset for one in found if one is not None}
    assert known["ESP32"] == known["ESP32-S2"] == 0x1000
    assert known["ESP32-S3"] == known["ESP32-C3"] == known["ESP32-C6"] == 0


@pytest.mark.parametrize(
    ("data", "family"),
    [(PICO, RP2040), (uf2_file(RP2350.number), RP2350), (uf2_file(RP2350.number, workaround=True), RP2350)],
)
def test_a_uf2_file_names_its_family(data: bytes, family: uf2_image.Family) -> None:
    found = interpreter.parse("x.uf2", data)
    assert isinstance(found, Uf2Image)
    assert found.family == family


def blocks(*parts: tuple[int, int, int, int]) -> bytes:
    """(address, number, total, family) each."""
    return b"".join(uf2_block(address, bytes(256), number, total, family) for address, number, total, family in parts)


PAGE = uf2_image.FLASH_START


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (PICO[:-1], "whole blocks of 512"),
        (PICO[:-512], "calls itself block 0 of 40"),
        (PICO[512:], "calls itself block 1 of 40"),
        (changed(PICO, 512, b"XXXX"), "block 1 is no UF2 block"),
        (changed(PICO, 1020, b"XXXX"), "block 1 is no UF2 block"),
        (changed(PICO, 8, struct.pack("<I", 0x2001)), "block 0: flags 0x2001"),
        (changed(PICO, 8, struct.pack("<I", 0)), "block 0: flags 0x0"),
        (changed(PICO, 16, struct.pack("<I", 476)), "block 0 holds 476 bytes; must be 256"),
        (changed(PICO, 28, struct.pack("<I", 0x1C5F21B0)), "must be RP2040 (0xe48bff56) or RP2350"),
        (changed(PICO, 512 + 28, struct.pack("<I", RP2350.number)), "block 1 is for another family"),
        (changed(PICO, 12, struct.pack("<I", 0x2000_0000)), "block 0 is for 0x20000000: no page of the flash"),
        (changed(PICO, 12, struct.pack("<I", PAGE + 1)), "no page of the flash"),
        (blocks((PAGE, 0, 2, RP2040.number), (PAGE, 1, 2, RP2040.number)), "two blocks for one address"),
        (uf2_file(RP2350.number, blocks=0, workaround=True), "no block of a program"),
    ],
)
def test_what_is_no_whole_uf2_file_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InterpreterError) as refused:
        interpreter.parse("x.uf2", data)
    assert "x.uf2: " in str(refused.value)
    assert reason in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.bin: No such file"):
        interpreter.load(tmp_path / "missing.bin")
