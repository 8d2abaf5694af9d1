"""Drives of Picos: found, and filled when they are a boot loader's."""

import os
from pathlib import Path

import pytest
from interpreter_files import uf2_file

from tallystick_fleet import bootsel_drives, uf2_image
from tallystick_fleet.bootsel_drives import Drive
from tallystick_fleet.errors import InterpreterError
from tallystick_provisioning.errors import FileError

PICO = uf2_image.parse("pico.uf2", uf2_file())


def drive(folder: Path, board_id: str = "RPI-RP2") -> Path:
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(f"UF2 Bootloader v3.0\r\nModel: x\r\nBoard-ID: {board_id}\r\n", "ascii")
    return folder


def test_only_what_says_so_is_a_drive_of_a_boot_loader(tmp_path: Path) -> None:
    found = drive(tmp_path / "RPI-RP2")
    (tmp_path / "USB stick").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "INFO_UF2.TXT").write_bytes(b"\xff" * 100)
    assert bootsel_drives.connected([tmp_path, tmp_path / "missing"]) == [Drive(found, "RPI-RP2")]


def test_a_drive_of_another_family_is_refused_by_name_and_nothing_is_copied(tmp_path: Path) -> None:
    found = drive(tmp_path / "RP2350", "RP2350")
    with pytest.raises(InterpreterError, match=r"calls itself RP2350, pico.uf2 is for an RP2040 \(RPI-RP2\)"):
        bootsel_drives.fill(Drive(found, "RP2350"), PICO, lambda done, total: None)
    assert [path.name for path in found.iterdir()] == ["INFO_UF2.TXT"]


def test_a_stick_with_files_of_somebody_is_not_written_whatever_it_calls_itself(tmp_path: Path) -> None:
    """Somebody kept a copy of a boot loader's drive on it, say."""
    found = drive(tmp_path / "STICK")
    (found / "INDEX.HTM").write_text("<html>", "ascii")
    (found / "thesis.odt").write_bytes(b"years of work")
    with pytest.raises(InterpreterError, match=r"holds thesis\.odt, as no boot loader's drive does"):
        bootsel_drives.fill(Drive(found, "RPI-RP2"), PICO, lambda done, total: None)
    assert {path.name for path in found.iterdir()} == {"INFO_UF2.TXT", "INDEX.HTM", "thesis.odt"}


def test_no_file_is_written_over_not_even_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it appears between the look at the drive and the writing."""
    precious, found = tmp_path / "precious", drive(tmp_path / "RPI-RP2")
    precious.write_bytes(b"years of work")
    (found / "firmware.uf2").symlink_to(precious)
    monkeypatch.setattr(bootsel_drives, "check", lambda drive, image: None)
    with pytest.raises(FileError, match="could not be copied: File exists"):
        bootsel_drives.fill(Drive(found, "RPI-RP2"), PICO, lambda done, total: None)
    assert precious.read_bytes() == b"years of work"


def test_links_and_pipes_are_no_drives(tmp_path: Path) -> None:
    elsewhere = drive(tmp_path / "elsewhere")
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "RPI-RP2").symlink_to(elsewhere)
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "INFO_UF2.TXT")
    assert bootsel_drives.connected([folder]) == []


def test_what_a_drive_calls_itself_is_cut_and_printable(tmp_path: Path) -> None:
    found = drive(tmp_path / "RPI-RP2", "\x1b[31m" + "x" * 1000)
    (one,) = bootsel_drives.connected([tmp_path])
    assert one.board_id == "?[31m" + "x" * 59
    with pytest.raises(InterpreterError):
        bootsel_drives.check(Drive(found, one.board_id), PICO)


def test_a_user_without_a_name_is_asked_for_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    with pytest.raises(FileError, match="give --drives"):
        bootsel_drives.default_folders()


def test_that_the_drive_goes_away_meanwhile_is_no_failure(tmp_path: Path) -> None:
    found = Drive(tmp_path / "gone", "RPI-RP2")
    bootsel_drives.fill(found, PICO, lambda done, total: None)
