"""Drives of Picos: found, filled once, and told how they ended."""

import os
from pathlib import Path

import pytest
from interpreter_files import uf2_file

from tallystick_fleet import bootsel_drives, uf2_image
from tallystick_fleet.bootsel_drives import BACK_WITHIN_S, Drive, DriveReport, DriveWatch
from tallystick_fleet.errors import InterpreterError
from tallystick_provisioning.errors import FileError

PICO = uf2_image.parse("pico.uf2", uf2_file())


def drive(folder: Path, board_id: str = "RPI-RP2") -> Path:
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(f"UF2 Bootloader v3.0\r\nModel: x\r\nBoard-ID: {board_id}\r\n", "ascii")
    return folder


def pull(folder: Path) -> None:
    """The drive is gone, as it is once its board starts."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


class Bench:
    """A watch with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.ended: list[DriveReport] = []
        self.watch = DriveWatch([folder], PICO, lambda name, percent: None, self.ended.append, 2, lambda: self.now)

    def settle(self, *boards: str) -> None:
        self.watch.look(set(boards))
        self.watch.wait()


def test_only_what_says_so_is_a_drive_of_a_boot_loader(tmp_path: Path) -> None:
    found = drive(tmp_path / "RPI-RP2")
    (tmp_path / "USB stick").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "INFO_UF2.TXT").write_bytes(b"\xff" * 100)
    assert bootsel_drives.connected([tmp_path, tmp_path / "missing"]) == [Drive(found, "RPI-RP2")]


def test_a_drive_is_filled_once_and_done_when_its_board_is_back(tmp_path: Path) -> None:
    bench, found = Bench(tmp_path), drive(tmp_path / "RPI-RP2")
    bench.settle("A")
    (file,) = found.glob("*.uf2")
    assert file.read_bytes() == PICO.data
    assert not bench.watch.is_idle, "its board is awaited"
    file.unlink()
    bench.watch.look({"A"})
    assert not list(found.glob("*.uf2")), "not a second time"
    pull(found)
    bench.watch.look({"A", "B"})
    assert bench.ended == [DriveReport(str(found), "RPI-RP2")]
    assert bench.watch.is_idle


def test_a_board_that_does_not_come_back_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    drive(tmp_path / "RPI-RP2")
    bench.settle()
    bench.now += BACK_WITHIN_S + 1
    bench.watch.look(set())
    assert "no board came back within 30 s" in bench.ended[0].reason
    assert bench.watch.is_idle


def test_a_drive_of_another_family_is_refused_by_name_and_nothing_is_copied(tmp_path: Path) -> None:
    bench, found = Bench(tmp_path), drive(tmp_path / "RP2350", "RP2350")
    bench.settle()
    assert "calls itself RP2350, pico.uf2 is for an RP2040 (RPI-RP2)" in bench.ended[0].reason
    assert [path.name for path in found.iterdir()] == ["INFO_UF2.TXT"]
    assert bench.watch.is_idle


def test_another_board_that_is_plugged_in_meanwhile_is_not_taken_for_the_pico(tmp_path: Path) -> None:
    """While its drive is there it is no board; and one that came and went is not remembered."""
    bench, found = Bench(tmp_path), drive(tmp_path / "RPI-RP2")
    bench.settle()
    for boards in ({"OTHER"}, {"OTHER"}, set()):
        bench.watch.look(boards)
    pull(found)
    bench.watch.look(set())
    assert not bench.watch.is_idle, "its board is awaited"
    bench.watch.look({"PICO"})
    assert bench.ended == [DriveReport(str(found), "RPI-RP2")]


def test_a_board_that_is_there_before_its_drive_was_unmounted_is_counted(tmp_path: Path) -> None:
    bench, found = Bench(tmp_path), drive(tmp_path / "RPI-RP2")
    bench.settle()
    bench.watch.look({"PICO"})
    assert not bench.ended
    pull(found)
    bench.watch.look({"PICO"})
    assert bench.ended == [DriveReport(str(found), "RPI-RP2")]


def test_a_board_that_is_awaited_when_the_work_ends_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    drive(tmp_path / "RPI-RP2")
    bench.settle()
    bench.watch.close()
    assert "its board was not back yet when the work ended" in bench.ended[0].reason


def test_a_stick_with_files_of_somebody_is_not_written_whatever_it_calls_itself(tmp_path: Path) -> None:
    """Somebody kept a copy of a boot loader's drive on it, say."""
    bench, found = Bench(tmp_path), drive(tmp_path / "STICK")
    (found / "INDEX.HTM").write_text("<html>", "ascii")
    (found / "thesis.odt").write_bytes(b"years of work")
    bench.settle()
    assert "holds thesis.odt, as no boot loader's drive does" in bench.ended[0].reason
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
