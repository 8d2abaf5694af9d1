"""Drives of Picos: found, filled once, and told how they ended."""

from pathlib import Path

import pytest
from interpreter_files import uf2_file

from tallystick_provisioning import bootsel_drives, uf2_image
from tallystick_provisioning.bootsel_drives import BACK_WITHIN_S, Drive, DriveReport, DriveWatch
from tallystick_provisioning.errors import FileError

PICO = uf2_image.parse("pico.uf2", uf2_file())


def drive(folder: Path, board_id: str = "RPI-RP2") -> Path:
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(f"UF2 Bootloader v3.0\r\nModel: x\r\nBoard-ID: {board_id}\r\n", "ascii")
    return folder


class Bench:
    """A watch with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.ended: list[DriveReport] = []
        self.watch = DriveWatch([folder], PICO, lambda name, percent: None, self.ended.append, 2, lambda: self.now)

    def settle(self, *boards: str) -> None:
        self.watch.look(set(boards))
        self.watch.close()  # what is copied is through


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


def test_a_drive_that_does_not_take_the_file_is_told(tmp_path: Path) -> None:
    found = drive(tmp_path / "RPI-RP2")
    (found / "firmware.uf2").mkdir()
    with pytest.raises(FileError, match="could not be copied: Is a directory"):
        bootsel_drives.fill(Drive(found, "RPI-RP2"), PICO, lambda done, total: None)


def test_that_the_drive_goes_away_meanwhile_is_no_failure(tmp_path: Path) -> None:
    found = Drive(tmp_path / "gone", "RPI-RP2")
    bootsel_drives.fill(found, PICO, lambda done, total: None)
