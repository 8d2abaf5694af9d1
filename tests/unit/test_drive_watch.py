"""Which board a Pico's drive became: told by a key, or one at a time, or left to a person. Never guessed in silence."""

from collections.abc import Sequence
from pathlib import Path

from interpreter_files import uf2_file

from tallystick_fleet import uf2_image
from tallystick_fleet.boards import Board
from tallystick_fleet.bootsel_drives import Drive
from tallystick_fleet.drive_watch import ALONE_FOR_S, BACK_WITHIN_S, DriveReport, DriveWatch
from tallystick_fleet.usb_place import UNKNOWN, UsbPlace

PICO = uf2_image.parse("pico.uf2", uf2_file())
HERE, THERE = UsbPlace("1-1.3"), UsbPlace("1-1.4")


class Bench:
    """Drives that are plugged in and pulled, and a watch with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 0.0
        self.drives: list[Drive] = []
        self.ended: list[DriveReport] = []
        self.notes: list[str] = []
        self.watch = DriveWatch(
            [folder], PICO, lambda name, percent: None, self.ended.append, 2, lambda: self.now,
            lambda name, text: self.notes.append(text), self.find,
        )  # fmt: skip

    def find(self, folders: Sequence[Path]) -> list[Drive]:
        return list(self.drives)

    def plug(self, name: str = "RPI-RP2", place: UsbPlace = UNKNOWN, board_id: str = "RPI-RP2") -> Drive:
        found = Drive(self.folder / name, board_id, place)
        found.path.mkdir()
        self.drives.append(found)
        return found

    def pull(self, found: Drive) -> None:
        """The drive is gone, as it is once its board starts."""
        self.drives.remove(found)

    def look(self, *boards: Board, after_s: float = 0.0) -> None:
        self.now += after_s
        self.watch.look(boards)
        self.watch.wait()


def board(serial: str, place: UsbPlace = UNKNOWN) -> Board:
    return Board(serial, f"/dev/{serial}", place.location)


def test_a_drive_is_filled_once_and_done_when_a_board_appears_on_its_usb_port(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    found = bench.plug(place=HERE)
    bench.look(board("A"))
    (file,) = found.path.glob("*.uf2")
    assert file.read_bytes() == PICO.data
    assert not bench.watch.is_idle, "its board is awaited"
    file.unlink()
    bench.look(board("A"))
    assert not list(found.path.glob("*.uf2")), "not a second time"
    bench.pull(found)
    bench.look(board("A"), board("PICO", HERE))
    assert bench.ended == [DriveReport(found.name, "RPI-RP2", board="PICO")]
    assert bench.watch.is_idle


def test_another_board_that_is_plugged_in_meanwhile_is_not_taken_for_the_pico(tmp_path: Path) -> None:
    """Neither while its drive is there, nor in the moment between the drive and the board."""
    bench = Bench(tmp_path)
    found = bench.plug(place=HERE)
    bench.look()
    bench.look(board("EARLY", THERE))
    bench.pull(found)
    bench.look(board("EARLY", THERE), board("OTHER", THERE), after_s=1)
    bench.look(board("EARLY", THERE), board("OTHER", THERE), after_s=ALONE_FOR_S)
    assert not bench.ended, "its board is awaited"
    bench.look(board("PICO", HERE), board("OTHER", THERE))
    assert bench.ended == [DriveReport(found.name, "RPI-RP2", board="PICO")]
    assert not bench.notes


def test_several_picos_at_a_time_are_told_apart_by_their_usb_ports(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    one, other = bench.plug("RPI-RP2", HERE), bench.plug("RPI-RP21", THERE)
    bench.look()
    bench.pull(one)
    bench.pull(other)
    bench.look(board("A", THERE), board("B", HERE))
    assert {(report.drive, report.board) for report in bench.ended} == {(one.name, "B"), (other.name, "A")}


def test_an_rp2350_is_known_by_its_number(tmp_path: Path) -> None:
    """Its boot loader and its MicroPython show the same; an RP2040's boot loader shows none of its own."""
    bench = Bench(tmp_path)
    found = bench.plug(place=UsbPlace("", "e66130100f8c9a2b"))
    bench.look()
    bench.pull(found)
    bench.look(board("OTHER"), after_s=1)
    bench.look(board("OTHER"), board("E66130100F8C9A2B"))
    assert bench.ended == [DriveReport(found.name, "RPI-RP2", board="E66130100F8C9A2B")]


def test_without_a_key_one_pico_is_done_at_a_time_and_that_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    one, other = bench.plug("RPI-RP2"), bench.plug("RPI-RP21")
    bench.look()
    bench.look()
    assert [len(list(found.path.glob("*.uf2"))) for found in (one, other)] == [1, 0]
    (said,) = bench.notes
    assert "one at a time" in said
    bench.pull(one)
    bench.look(board("A"))
    bench.look(board("A"), after_s=ALONE_FOR_S)
    assert bench.ended == [DriveReport(one.name, "RPI-RP2", board="A", is_guess=True)]
    assert "the only board that appeared" in bench.notes[-1]
    assert not bench.watch.is_idle, "the other one has its turn now"
    bench.look(board("A"))
    assert list(other.path.glob("*.uf2"))


def test_two_boards_that_appear_where_nothing_tells_them_apart_are_named_and_left_for_a_person(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    found = bench.plug()
    bench.look()
    bench.pull(found)
    bench.look(board("OTHER"))
    bench.look(board("OTHER"), board("PICO"), after_s=1)
    (report,) = bench.ended
    assert "nobody can tell which of OTHER, PICO it became" in report.reason
    assert report.board == ""


def test_a_board_that_does_not_come_back_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.plug()
    bench.look()
    bench.look(after_s=BACK_WITHIN_S + 1)
    assert "no board came back within 30 s" in bench.ended[0].reason
    assert bench.watch.is_idle


def test_a_board_that_came_and_went_is_not_remembered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    found = bench.plug()
    bench.look()
    for boards in ([board("OTHER")], []):
        bench.look(*boards)
    bench.pull(found)
    bench.look()
    bench.look(board("PICO"))
    bench.look(board("PICO"), after_s=ALONE_FOR_S)
    assert [report.board for report in bench.ended] == ["PICO"]


def test_a_board_that_is_there_before_its_drive_was_unmounted_is_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    found = bench.plug(place=HERE)
    bench.look()
    bench.look(board("PICO", HERE))
    assert not bench.ended
    bench.pull(found)
    bench.look(board("PICO", HERE))
    assert [report.board for report in bench.ended] == ["PICO"]


def test_a_board_that_is_awaited_when_the_work_ends_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.plug()
    bench.look()
    bench.watch.close()
    assert "its board was not back yet when the work ended" in bench.ended[0].reason


def test_a_drive_of_another_family_is_told_and_the_next_one_has_its_turn(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.plug("RP2350", board_id="RP2350")
    found = bench.plug("RPI-RP2")
    bench.look()
    bench.look()
    assert "calls itself RP2350" in bench.ended[0].reason
    assert list(found.path.glob("*.uf2"))
