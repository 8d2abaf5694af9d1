"""MicroPython onto blank boards: the real esptool against an emulated chip's loader, and a Pico's drive."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fleet import LONGEST_S, BenchClock, running, tallystick
from interpreter_files import PROGRAM_ADDRESS, esp_image, saved, uf2_file
from patience import until

from tallystick_emulators import emulated_pico
from tallystick_emulators.emulated_board import EmulatedBoard
from tallystick_emulators.emulated_pico import EmulatedPico
from tallystick_emulators.esp_chip import ESP32, ESP32_S3, FLASH_BYTES, Chip
from tallystick_emulators.esp_rom import SECTOR_BYTES
from tallystick_emulators.flash_disk import FlashDisk, PowerCut
from tallystick_fleet import esp_loader, flash_board, interpreter, node_day
from tallystick_fleet.boards import Board
from tallystick_fleet.errors import BoardLost, InterpreterError, LoaderSilent
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.esp_tool import Line, Speeds
from tallystick_fleet.provision_node import NodePlan, NodeReport, provision_board
from tallystick_provisioning.enrolments import NO_EXTRA
from tallystick_provisioning.outbox import Outbox

SETTINGS = {"TALLYSTICK_INTERVAL_MS": "300"}


@pytest.fixture
def shared(site: Path, firmware: Path, tmp_path: Path, patience: BenchClock) -> NodePlan:
    plan = replace(node_day.shared(site, firmware, "TS-1"), interpreter=image())
    job = replace(plan.job, outbox=Outbox(tmp_path / "outbox"), monotonic=patience)
    return replace(plan, job=job)


def image(chip: Chip = ESP32, seed: int = 1) -> EspImage:
    found = interpreter.parse(f"{chip.name}.bin", esp_image(chip, seed=seed))
    assert isinstance(found, EspImage)
    return found


def install(board: EmulatedBoard, wanted: EspImage) -> None:
    esp_loader.install(Line(board.port, "SN-1", Speeds()), wanted)


def provision(board: EmulatedBoard, shared: NodePlan) -> tuple[NodeReport, list[str]]:
    """The report, and each step that was told."""
    told: list[str] = []
    report = provision_board(Board("SN-1", board.port), shared, NO_EXTRA, lambda _, step, percent: told.append(step))
    return report, list(dict.fromkeys(told))


def wait(condition: Callable[[], bool]) -> None:
    until(condition, "it never came", LONGEST_S)


class Bench:
    """The command, a folder of ports and one of drives."""

    def __init__(self, folder: Path, site: Path, firmware: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.links, self.drives, self.table = folder / "by-id", folder / "drives", folder / "nodes.db"
        self.links.mkdir()
        self.drives.mkdir()
        fixed = ["--firmware", str(firmware), "--model", "TS-1", "--boards", str(self.links)]
        self.words = ["node", "provision", str(site), *fixed, "--table", str(self.table)]

    def board(self, serial: str, chip: Chip | None = ESP32, cut_at: int = 0) -> EmulatedBoard:
        board = EmulatedBoard(serial, self.folder / serial, SETTINGS, chip=chip, cut_at=cut_at)
        self._stack.enter_context(board).plug(self.links)
        return board

    def pico(self, serial: str, chip_rom: tuple[int, str, str] = emulated_pico.RP2040) -> EmulatedPico:
        pico = self._stack.enter_context(EmulatedPico(serial, self.folder / serial, SETTINGS, chip_rom))
        pico.hold_bootsel(self.drives, self.links)
        return pico

    def works(self) -> set[str]:
        """Serial numbers in the list that work."""
        if not self.table.exists():
            return set()
        listed = json.loads(tallystick("node", "list", "--table", str(self.table), "--json"))
        return {node["serial"] for node in listed if node["step"] == "done"}


@pytest.fixture
def bench(tmp_path: Path, site: Path, firmware: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, site, firmware, stack)


def test_a_wholly_blank_board_becomes_a_working_node(bench: Bench) -> None:
    board, wanted = bench.board("SN-1"), image()
    file = saved(bench.folder, "micropython.bin", wanted.data)
    done = subprocess.run(
        [sys.executable, "-m", "tallystick_tools", *bench.words, "--interpreter", str(file), "--json"],
        capture_output=True, text=True, timeout=LONGEST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(node["serial"], node["step"], node["reason"]) for node in report["nodes"]] == [("SN-1", "done", "")]
    assert report["drives"] == []
    assert board.flash.image[wanted.offset : wanted.offset + len(wanted.data)] == wanted.data
    steps = [line.removeprefix("SN-1: ") for line in done.stderr.splitlines()]
    told = ["connect", "MicroPython", "copy files", "enrol", "first reading", "works"]
    assert steps == told, "and nothing of what esptool says"


def test_another_chip_with_another_place_for_its_boot_loader(tmp_path: Path) -> None:
    wanted = image(ESP32_S3)
    assert (wanted.chip, wanted.offset) == ("ESP32-S3", 0)
    with EmulatedBoard("SN-1", tmp_path, SETTINGS, chip=ESP32_S3) as board:
        board.start()
        install(board, wanted)
        wait(lambda: flash_board.is_blank(board.port))


@pytest.mark.alone
def test_four_at_a_time_some_blank_and_one_unplugged_in_mid_write_is_done_again(bench: Bench) -> None:
    file = saved(bench.folder, "micropython.bin", image().data)
    pulled_out = bench.board("SN-0", cut_at=40)
    bench.board("SN-1", chip=None)
    bench.board("SN-2")
    with running(*bench.words, "--interpreter", file, "--watch", "--json") as work:
        assert work.stderr
        failed = next(line for line in work.stderr if "FAILED" in line)
        assert failed.startswith("SN-0: FAILED"), failed
        assert "plug it in again: the writing begins anew" in failed
        wait(lambda: not os.path.lexists(pulled_out.port))
        bench.board("SN-3", chip=None)
        assert any(line.startswith("SN-3") for line in work.stderr), "who sees this one saw that the other one was gone"
        bench.board("SN-0")
        wait(lambda: bench.works() == {"SN-0", "SN-1", "SN-2", "SN-3"})
        work.send_signal(signal.SIGINT)
        out, said = work.communicate(timeout=LONGEST_S)
    assert work.returncode == 0, said
    assert [node["step"] for node in json.loads(out)["nodes"]] == ["done"] * 4


class FadingFlash(FlashDisk):
    """Its power fails while the host waits for the answer: then esptool would open the port again."""

    def writeblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        try:
            super().writeblocks(block, buffer, offset)
        except PowerCut:
            time.sleep(0.3)
            raise


def test_a_board_that_takes_the_port_of_one_that_was_pulled_out_is_not_written(tmp_path: Path) -> None:
    wanted, kept = image(), tmp_path / "other" / "chip.flash"
    kept.parent.mkdir()
    kept.write_bytes((b"\xff" * ESP32.offset + image(seed=7).data).ljust(FLASH_BYTES, b"\xff"))
    board = EmulatedBoard("SN-1", tmp_path / "board", SETTINGS, chip=ESP32)
    board.flash = FadingFlash(SECTOR_BYTES, FLASH_BYTES // SECTOR_BYTES, cut_at=41)
    board.start()
    port = tmp_path / "ttyUSB0"
    port.symlink_to(board.port)
    with ThreadPoolExecutor(1) as pool, board:
        work = pool.submit(esp_loader.install, Line(str(port), "SN-1", Speeds()), wanted)
        wait(lambda: board.flash.is_dead)
        with EmulatedBoard("SN-2", kept.parent, SETTINGS, chip=ESP32, holds_boot=True) as other:
            other.start()
            port.unlink()
            port.symlink_to(other.port)
            with pytest.raises(BoardLost):
                work.result(LONGEST_S)
            assert other.flash.steps == 0


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many erases and writes a whole installation has."""
    with EmulatedBoard("SN-1", tmp_path_factory.mktemp("whole"), SETTINGS, chip=ESP32) as board:
        board.start()
        install(board, image())
        return board.flash.steps


@pytest.mark.parametrize("cut", ["first erase", "middle", "last sector erased", "last sector half written"])
def test_an_esp32_that_lost_power_while_it_was_written_is_blank_and_done_again(
    tmp_path: Path, steps: int, cut: str
) -> None:
    wanted = image()
    places = {"first erase": 1, "middle": steps // 2}
    cut_at = (places | {"last sector erased": steps - 15, "last sector half written": steps - 7})[cut]
    with EmulatedBoard("SN-1", tmp_path / "cut", SETTINGS, chip=ESP32, cut_at=cut_at) as board:
        board.start()
        with pytest.raises(BoardLost):
            install(board, wanted)
    with EmulatedBoard("SN-1", tmp_path / "cut", SETTINGS, chip=ESP32) as board:
        board.start()
        assert not flash_board.is_blank(board.port), "half of a MicroPython is none"
        install(board, wanted)
        assert board.flash.image[wanted.offset :][: len(wanted.data)] == wanted.data
        wait(lambda: flash_board.is_blank(board.port))


def test_an_image_for_another_chip_is_refused_with_both_names_and_nothing_is_written(
    tmp_path: Path, shared: NodePlan
) -> None:
    with EmulatedBoard("SN-1", tmp_path / "board", SETTINGS, chip=ESP32) as board:
        board.start()
        report, _ = provision(board, replace(shared, interpreter=image(ESP32_S3)))
        assert report.step == "interpreter"
        assert "this board is an ESP32, ESP32-S3.bin is for an ESP32-S3" in report.reason
        assert report.next_action
        assert board.flash.steps == 0


@pytest.mark.alone
def test_a_board_with_a_node_or_any_other_program_is_never_written_over(tmp_path: Path, shared: NodePlan) -> None:
    """Also not when it sleeps, or hangs, and its loader is all that answers."""
    with EmulatedBoard("SN-1", tmp_path / "board", SETTINGS, chip=ESP32) as board:
        board.start()
        report, steps = provision(board, shared)
        assert report.done, report.reason
        assert "interpreter" in steps
        written = board.flash.steps
        again, steps = provision(board, shared)
        assert (again.done, "interpreter" in steps) == (True, False), "it runs: its loader is not even asked"
        assert board.flash.steps == written
    with EmulatedBoard("SN-1", tmp_path / "board", SETTINGS, chip=ESP32, holds_boot=True) as board:
        board.start()
        asleep, steps = provision(board, shared)
        assert (asleep.done, "interpreter" in steps) == (True, True), asleep.reason
        assert asleep.public_key == report.public_key, "it only needed its reset"
        assert board.flash.steps == 0
    with EmulatedBoard("SN-1", tmp_path / "board", SETTINGS, chip=ESP32, holds_boot=True) as board:
        board.start()
        with pytest.raises(InterpreterError, match="the flash of this ESP32 is not blank"):
            install(board, image(seed=7))
        assert board.flash.steps == 0
    with EmulatedBoard("SN-1", tmp_path / "board", SETTINGS, chip=ESP32, holds_boot=True) as board:
        board.start()
        other, _ = provision(board, replace(shared, interpreter=image(seed=7)))
        assert (other.done, other.public_key) == (True, report.public_key), "a newer MicroPython lies on the laptop"
        assert board.flash.steps == 0


class ForgetfulFlash(FlashDisk):
    """Writing its first sector costs another one a bit, as cells do that are worn out or badly driven."""

    def writeblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        super().writeblocks(block, buffer, offset)
        if block == ESP32.offset // SECTOR_BYTES:
            self.image[PROGRAM_ADDRESS + 5000] &= 0xFE


class StuckFlash(FlashDisk):
    """One of its cells cannot be written any more."""

    def writeblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        super().writeblocks(block, buffer, offset)
        self.image[PROGRAM_ADDRESS + 5000] = 0xFF


@pytest.mark.parametrize("flash", [ForgetfulFlash, StuckFlash])
def test_what_does_not_read_back_as_it_was_written_is_told(tmp_path: Path, flash: type[FlashDisk]) -> None:
    wanted = image()
    place = PROGRAM_ADDRESS + 5000 - wanted.offset
    data = wanted.data[:place] + b"\x55" + wanted.data[place + 1 :]  # the image's own hash is not what is tested here
    with EmulatedBoard("SN-1", tmp_path, SETTINGS, chip=ESP32) as board:
        board.flash = flash(SECTOR_BYTES, FLASH_BYTES // SECTOR_BYTES)
        board.start()
        with pytest.raises(BoardLost, match=r"MD5|Verification failed"):
            install(board, replace(wanted, data=data))


def test_a_port_behind_which_no_loader_answers(tmp_path: Path, shared: NodePlan, patience: BenchClock) -> None:
    class Dead(EmulatedBoard):
        def start(self) -> None:
            """It takes power, and does nothing."""

    with Dead("SN-1", tmp_path / "board") as board:
        with pytest.raises(LoaderSilent):
            install(board, image())
        patience.ends()
        report, _ = provision(board, shared)
        assert report.step == "interpreter"
        assert "neither a node, nor MicroPython, nor a blank board answers" in report.reason


def test_a_pico_gets_its_file_through_its_drive_and_becomes_a_working_node(bench: Bench) -> None:
    file = saved(bench.folder, "pico.uf2", uf2_file())
    nobody = tallystick(*bench.words, "--interpreter", str(file), "--drives", str(bench.drives), "--dry-run")
    assert f"no drive of a Pico in {bench.drives}: hold BOOTSEL" in nobody
    bench.pico("E660583883400001")
    bench.pico("OTHER", emulated_pico.RP2350)
    words = [*bench.words, "--interpreter", str(file), "--drives", str(bench.drives), "--json"]
    told = json.loads(tallystick(*words, "--dry-run"))
    assert {Path(one["drive"]).name for one in told["drives"]} == {"RPI-RP2", "RP2350"}
    assert told["interpreter"] == f"{file}: for RP2040, {len(uf2_file())} bytes"
    assert (bench.drives / "RPI-RP2").exists(), "a dry run copies nothing"
    report = json.loads(tallystick(*words, code=1))
    assert [(node["serial"], node["step"]) for node in report["nodes"]] == [("E660583883400001", "done")]
    reasons = {one["board_id"]: one["reason"] for one in report["drives"]}
    assert reasons["RPI-RP2"] == ""
    assert "calls itself RP2350" in reasons["RP2350"]
    assert "is for an RP2040" in reasons["RP2350"]
    assert {path.name for path in (bench.drives / "RP2350").iterdir()} == {"INFO_UF2.TXT"}


def test_a_file_that_is_no_interpreter_is_said_before_a_board_is_touched(bench: Bench) -> None:
    board = bench.board("SN-1")
    half = saved(bench.folder, "half.bin", image().data[:70_000])
    tallystick(*bench.words, "--interpreter", str(half), code=1)
    good = saved(bench.folder, "good.bin", image().data)
    said = tallystick(*bench.words, "--interpreter", str(good), "--dry-run")
    assert "for ESP32" in said
    assert "needs MicroPython" in said
    assert board.flash.steps == 0
    assert not list(board.files.iterdir())
