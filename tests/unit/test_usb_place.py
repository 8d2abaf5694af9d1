"""Where something hangs on the USB bus, read from a tree like Linux's /sys."""

import os
from pathlib import Path

import pytest

from tallystick_fleet import usb_place
from tallystick_fleet.boards import Board, find_again
from tallystick_fleet.usb_place import UsbPlace


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A hub on port 1 of bus 1; on its port 3 a Pico, as a drive and as a board."""
    device = tmp_path / "devices" / "pci0000:00" / "usb1" / "1-1" / "1-1.3"
    terminal = device / "1-1.3:1.0" / "tty" / "ttyACM0"
    disk = device / "1-1.3:1.1" / "host6" / "target6:0:0" / "6:0:0:0" / "block" / "sda" / "sda1"
    for folder in (terminal, disk):
        folder.mkdir(parents=True)
    for folder, number in ((device, "E0C9125B0D9B"), (device.parent, "HUB")):
        (folder / "idVendor").write_text("2e8a\n", "ascii")
        (folder / "serial").write_text(f"{number}\n", "ascii")
    drive = tmp_path.stat().st_dev
    for link, target in (
        (tmp_path / "class" / "tty" / "ttyACM0" / "device", device / "1-1.3:1.0"),
        (tmp_path / "dev" / "block" / f"{os.major(drive)}:{os.minor(drive)}", disk),
    ):
        link.parent.mkdir(parents=True)
        link.symlink_to(target)
    return tmp_path


def test_a_drive_and_the_board_that_it_becomes_are_on_one_usb_port(system: Path) -> None:
    assert usb_place.of_folder(system, system) == UsbPlace("1-1.3"), "the number of every RP2040 is no number"
    assert usb_place.of_terminal("/dev/ttyACM0", system) == UsbPlace("1-1.3")


def test_the_number_of_an_rp2350_is_one(system: Path) -> None:
    (system / "devices" / "pci0000:00" / "usb1" / "1-1" / "1-1.3" / "serial").write_text("E66130100F8C9A2B\n", "ascii")
    assert usb_place.of_folder(system, system) == UsbPlace("1-1.3", "E66130100F8C9A2B")


def test_what_is_no_usb_device_has_no_place(system: Path, tmp_path: Path) -> None:
    assert usb_place.of_terminal("/dev/pts/5", system) == usb_place.UNKNOWN
    assert usb_place.of_folder(tmp_path / "gone", system) == usb_place.UNKNOWN
    assert usb_place.of_folder(tmp_path, tmp_path / "no system") == usb_place.UNKNOWN


def test_a_board_is_found_by_its_number_and_then_by_its_usb_port() -> None:
    rom, python = Board("24:0A:C4:00:01:10", "/dev/a", "1-1.3"), Board("240ac4000110", "/dev/b", "1-1.3")
    other = Board("OTHER", "/dev/c", "1-1.4")
    assert find_again(rom, [other, rom]) == rom
    assert find_again(rom, [other, python]) == python
    assert find_again(rom, [other]) is None
    assert find_again(Board("A", "/dev/a"), [Board("B", "/dev/b")]) is None, "without a place nobody can say"
    assert find_again(rom, [python, Board("THIRD", "/dev/d", "1-1.3")]) is None, "nor when two say that they are there"
