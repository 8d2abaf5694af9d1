"""Boards that come with another program: erased when a person agrees, never when a node may be on them. Bad cables."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fleet import LONGEST_S, BenchClock, tallystick
from interpreter_files import esp_image, saved
from patience import until

from tallystick_emulators import emulated_board, micropython
from tallystick_emulators.emulated_board import EmulatedBoard
from tallystick_emulators.esp_chip import ESP32, FLASH_BYTES
from tallystick_emulators.esp_rom import SECTOR_BYTES
from tallystick_emulators.flash_disk import FlashDisk
from tallystick_fleet import esp_erase, esp_loader, flash_board, interpreter, node_day
from tallystick_fleet.boards import Board
from tallystick_fleet.erasing import Erasing, all_agreed
from tallystick_fleet.errors import BoardLost, FlashNotBlank, NotErased
from tallystick_fleet.esp_erase import Eraser, Found
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.esp_tool import BAUD, SLOW_BAUD, Line, Speeds
from tallystick_fleet.provision_node import NodePlan, NodeReport, provision_board
from tallystick_provisioning.enrolments import NO_EXTRA
from tallystick_provisioning.outbox import Outbox

SETTINGS = {"TALLYSTICK_INTERVAL_MS": "300"}
DEMO = "hello_world"
FILES_AT = 0x200000  # of the file system, as the partition table of the images says
MAKE_FILES = """
import os, sys
class Disk:
    def __init__(self): self.data = bytearray(b"\\xff" * 262144)
    def readblocks(self, block, buffer, offset=0): buffer[:] = self.data[block * 4096 + offset :][: len(buffer)]
    def writeblocks(self, block, buffer, offset=0): self.data[block * 4096 + offset :][: len(buffer)]; \
        start = block * 4096 + offset; self.data[start : start + len(buffer)] = buffer
    def ioctl(self, request, argument):
        if request == 6: self.data[argument * 4096 : argument * 4096 + 4096] = b"\\xff" * 4096
        return {4: 64, 5: 4096}.get(request, 0)
disk = Disk()
os.VfsLfs2.mkfs(disk)
os.mount(os.VfsLfs2(disk), "/disk")
for path in sys.argv[2:]:
    folder = path.rpartition("/")[0]
    if folder: os.mkdir("/disk/" + folder)
    with open("/disk/" + path, "w") as file: file.write("x")
with open(sys.argv[1], "wb") as file: file.write(disk.data)
"""


def image(seed: int = 1, project: str = "") -> EspImage:
    found = interpreter.parse("micropython.bin", esp_image(seed=seed, project=project))
    assert isinstance(found, EspImage)
    return found


def file_system(folder: Path, *paths: str) -> bytes:
    """A real LittleFS with these files, made by MicroPython."""
    program = micropython.find()
    assert program
    (folder / "make.py").write_text(MAKE_FILES, "utf-8")
    subprocess.run([program, str(folder / "make.py"), str(folder / "disk"), *paths], check=True, timeout=60)
    return (folder / "disk").read_bytes()


def flash_of(program: EspImage, files: bytes = b"") -> bytes:
    data = (b"\xff" * program.offset + program.data).ljust(FILES_AT, b"\xff") + files
    return data.ljust(FLASH_BYTES, b"\xff")


def demo_board(folder: Path, files: bytes = b"", **more: object) -> EmulatedBoard:
    """As it comes from its maker."""
    folder.mkdir(exist_ok=True)
    (folder / "chip.flash").write_bytes(flash_of(image(7, DEMO), files))
    return EmulatedBoard(folder.name, folder, SETTINGS, chip=ESP32, **more)  # type: ignore[arg-type]


def line(board: EmulatedBoard, speeds: Speeds | None = None) -> Line:
    return Line(board.port, "SN-1", speeds or Speeds())


def agreed(found: Found) -> None:
    """Whatever it is."""


def wait(condition: Callable[[], bool]) -> None:
    until(condition, "it never came")


@pytest.fixture
def shared(site: Path, firmware: Path, tmp_path: Path, patience: BenchClock) -> NodePlan:
    plan = replace(node_day.shared(site, firmware, "TS-1"), interpreter=image())
    return replace(plan, job=replace(plan.job, outbox=Outbox(tmp_path / "outbox"), monotonic=patience))


def provision(board: EmulatedBoard, shared: NodePlan, erasing: Erasing | None) -> NodeReport:
    plan = replace(shared, erasing=erasing)
    return provision_board(Board(board.serial, board.port), plan, NO_EXTRA, lambda serial, step, percent: None)


class Bench:
    def __init__(self, folder: Path, site: Path, firmware: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.links = folder / "by-id"
        self.links.mkdir()
        file = saved(folder, "micropython.bin", esp_image())
        fixed = ["--firmware", str(firmware), "--model", "TS-1", "--boards", str(self.links)]
        fixed += ["--table", str(folder / "nodes.db"), "--interpreter", str(file), "--erase"]
        self.words = ["node", "provision", str(site), *fixed]

    def plug(self, board: EmulatedBoard) -> EmulatedBoard:
        self._stack.enter_context(board).plug(self.links)
        return board


@pytest.fixture
def bench(tmp_path: Path, site: Path, firmware: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, site, firmware, stack)


@pytest.mark.alone
def test_a_board_with_its_makers_demo_is_erased_when_a_person_says_so_and_becomes_a_node(bench: Bench) -> None:
    board = bench.plug(demo_board(bench.folder / "SN-1", file_system(bench.folder, "www/index.html")))
    told = json.loads(tallystick(*bench.words, "--dry-run", "--json"))
    assert told["boards"][0]["state"] == "would be ERASED: ESP32, hello_world v1.2 of Jul 12 2023"
    assert board.flash.steps == 0
    command = [sys.executable, "-m", "tallystick_tools", *bench.words, "--json"]
    for answer, code, step in (("\n", 1, "erase"), ("y\n", 0, "done")):
        done = subprocess.run(command, input=answer, capture_output=True, text=True, timeout=LONGEST_S, check=False)
        assert done.returncode == code, done.stderr
        assert [node["step"] for node in json.loads(done.stdout)["nodes"]] == [step], done.stderr
        asked = "SN-1 holds ESP32, hello_world v1.2 of Jul 12 2023. Erase ALL of it for good?"
        assert done.stderr.count(asked) == 1, done.stderr
        assert ("SN-1: erase" in done.stderr) == (code == 0) or board.flash.steps == 0
    assert b"index.html" not in board.flash.image, "nothing of before is left"


@pytest.mark.alone
def test_a_board_that_is_a_node_is_never_erased_by_erase_alone(
    bench: Bench, shared: NodePlan, patience: BenchClock, tmp_path: Path
) -> None:
    """Neither one that answers, nor one whose flash holds one: whether it sleeps, hangs, or lost its program."""
    everything = Erasing(all_agreed)
    with EmulatedBoard("SN-1", tmp_path / "SN-1", SETTINGS, chip=ESP32) as board:
        board.start()
        report = provision(board, shared, None)
        assert report.done, report.reason
        before = bytes(board.flash.image)
        assert provision(board, shared, everything).public_key == report.public_key
        assert board.flash.image == before
    node_files = file_system(tmp_path, "tallystick/key.0")
    patience.ends()  # nothing answers there
    with demo_board(tmp_path / "SN-2", node_files) as board:
        board.start()
        report = provision(board, shared, everything)
        assert report.step == "erase"
        assert "a Tallystick node is in its flash" in report.reason
        assert "--erase-node SN-2" in report.reason
        assert board.flash.steps == 0
    bench.plug(demo_board(bench.folder / "SN-3", node_files))
    said = tallystick(*bench.words, "--yes", "--dry-run")
    assert "SN-3 on" in said
    assert "a Tallystick node is in its flash, and --erase takes none" in said


@pytest.mark.alone
def test_a_node_that_was_named_is_erased_once_and_becomes_a_new_one(shared: NodePlan, tmp_path: Path) -> None:
    erasing = Erasing(all_agreed, frozenset({"SN-1"}))
    with EmulatedBoard("SN-1", tmp_path / "SN-1", SETTINGS, chip=ESP32, holds_boot=True) as board:
        board.flash.image[:] = flash_of(image(7), file_system(tmp_path, "tallystick/key.0"))
        board.start()
        assert provision(board, shared, erasing).done
        assert b"key.0" not in board.flash.image
        steps = board.flash.steps
        assert provision(board, shared, erasing).done
        assert board.flash.steps == steps, "named once, erased once"


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many steps erasing has."""
    with demo_board(tmp_path_factory.mktemp("whole"), b"\0" * 20_000) as board:
        board.start()
        esp_loader.install(line(board), image(), Eraser(agreed))
        return sum(board.flash.erases) - _sectors(image())


def _sectors(written: EspImage) -> int:
    return -(-len(written.data) // SECTOR_BYTES)


@pytest.mark.parametrize("cut", ["first", "middle", "before the last", "last"])
def test_power_lost_while_erasing_leaves_a_board_that_the_next_run_takes(tmp_path: Path, steps: int, cut: str) -> None:
    """And that no run without --erase takes for blank: what it held would come to life again."""
    cut_at = {"first": 1, "middle": steps // 2, "before the last": steps - 1, "last": steps}[cut]
    folder = tmp_path / "SN-1"
    with demo_board(folder, b"\0" * 20_000, cut_at=cut_at) as board:
        board.start()
        with pytest.raises(BoardLost):
            esp_loader.install(line(board), image(), Eraser(agreed))
    with EmulatedBoard("SN-1", folder, SETTINGS, chip=ESP32, holds_boot=True) as board:
        board.start()
        if cut != "last":
            with pytest.raises(FlashNotBlank):
                esp_loader.install(line(board), image())
            board.stop()
            board.start()
        assert board.flash.steps == 0
        esp_loader.install(line(board), image(), Eraser(agreed))
        wait(lambda: flash_board.is_blank(board.port))
        assert b"\0" * 5000 not in board.flash.image[FILES_AT:]


class SlowErase(FlashDisk):
    """A worn cell: after erasing, it still holds a bit."""

    def ioctl(self, request: int, argument: int) -> object:
        answer = super().ioctl(request, argument)
        self.image[FILES_AT] = 0xFE
        return answer


def test_a_flash_that_does_not_read_back_blank_is_told(tmp_path: Path) -> None:
    with demo_board(tmp_path / "SN-1", b"\0" * 5000) as board:
        board.flash = SlowErase(SECTOR_BYTES, FLASH_BYTES // SECTOR_BYTES, bytes(board.flash.image))
        board.start()
        with pytest.raises(BoardLost, match="does not read back blank at 0x200000"):
            esp_loader.install(line(board), image(), Eraser(agreed))


@pytest.mark.parametrize("cable", [emulated_board.short_of_breath, emulated_board.deaf_when_fast])
def test_a_cable_that_fails_at_the_high_speed_is_used_at_the_low_one_and_told_of_once(
    tmp_path: Path, cable: emulated_board.Cable
) -> None:
    told: list[str] = []
    speeds = Speeds(lambda board, text: told.append(f"{board}: {text}"))
    with EmulatedBoard("SN-1", tmp_path / "SN-1", SETTINGS, chip=ESP32, cable=cable) as board:
        board.start()
        esp_loader.install(line(board, speeds), image())
        wait(lambda: flash_board.is_blank(board.port))
        assert board.flash.image[ESP32.offset :][: len(image().data)] == image().data
    with demo_board(tmp_path / "SN-1", cable=cable) as board:
        board.start()
        assert esp_erase.look(line(board, speeds)).program.startswith(DEMO)
    (said,) = told
    assert said.startswith(f"SN-1: at {BAUD} baud the cable fails (")
    assert f"from now on {SLOW_BAUD}" in said


def test_a_refusal_is_no_bad_cable(tmp_path: Path) -> None:
    told: list[str] = []

    def never(found: Found) -> None:
        raise NotErased("no")

    with demo_board(tmp_path / "SN-1") as board:
        board.start()
        with pytest.raises(NotErased):
            esp_loader.install(line(board, Speeds(lambda board, text: told.append(text))), image(), Eraser(never))
        assert (told, board.flash.steps) == ([], 0)


def test_what_does_not_go_together_is_said_at_once(bench: Bench) -> None:
    without = [word for word in bench.words if word != "--erase"]
    tallystick(*without, "--yes", code=2)
    tallystick(*without, "--erase-node", "SN-1", code=2)
    plain = bench.words[: bench.words.index("--interpreter")]
    tallystick(*plain, "--erase", code=2)
