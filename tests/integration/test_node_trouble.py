"""What goes wrong on a bench: boards unplugged at each step, twins, busy ports, foreign ones. The rest goes on."""

import io
import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from fleet import LONGEST_S, BenchClock, make_offer, running, tallystick
from interpreter_files import esp_image
from patience import until
from rich.console import Console
from update_support import whole_image

from tallystick_emulators.emulated_board import EmulatedBoard
from tallystick_emulators.esp_chip import ESP32
from tallystick_fleet import flash_board, interpreter, node_day
from tallystick_fleet.boards import TWINS, Board
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.node_day import Day
from tallystick_fleet.node_plan import PlannedNode, commitment
from tallystick_fleet.node_table import NodeTable
from tallystick_fleet.node_view import NodeView
from tallystick_fleet.provision_node import NodePlan, NodeReport, provision_board
from tallystick_proof import statement
from tallystick_provisioning.enrolments import NO_EXTRA
from tallystick_provisioning.errors import FileError
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.serial_port import SerialPort
from tallystick_tools import build_firmware


@pytest.fixture
def shared(site: Path, firmware: Path, tmp_path: Path, patience: BenchClock) -> NodePlan:
    plan = node_day.shared(site, firmware, "TS-1")
    return replace(plan, job=replace(plan.job, outbox=Outbox(tmp_path / "outbox"), monotonic=patience))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[EmulatedBoard]:
    with EmulatedBoard("SN-1", tmp_path / "board", {"TALLYSTICK_INTERVAL_MS": "300"}) as board:
        board.start()
        yield board


def provision(board: EmulatedBoard, shared: NodePlan) -> NodeReport:
    return provision_board(Board("SN-1", board.port), shared, NO_EXTRA, lambda serial, step, percent: None)


@pytest.mark.parametrize(
    ("step", "percent"), [("connect", 0), ("flash", 0), ("flash", 30), ("enrol", 0), ("self-test", 0)]
)
def test_unplugged_at_any_step_it_is_a_report_and_it_goes_on_when_it_comes_again(
    board: EmulatedBoard, shared: NodePlan, patience: BenchClock, step: str, percent: int
) -> None:
    pulled: list[str] = []

    def tell(serial: str, now: str, done: int) -> None:
        if not pulled and now == step and done >= percent:
            pulled.append(now)
            board.close()
            patience.ends()

    report = provision_board(Board("SN-1", board.port), shared, NO_EXTRA, tell)
    assert report.step == step
    assert report.reason
    assert report.next_action
    shared = replace(shared, job=replace(shared.job, monotonic=BenchClock()))
    with EmulatedBoard("SN-1", board.folder, board.settings) as again:
        again.start()
        assert provision(again, shared).done


def test_a_board_of_another_machine_code_is_told_and_nothing_is_written(
    board: EmulatedBoard, shared: NodePlan, tmp_path: Path
) -> None:
    build_firmware.compile_tree("armv6m", tmp_path / "pico", [*build_firmware.installed(), "main.py"])
    files = flash_board.tree_files(tmp_path / "pico")
    report = provision(board, replace(shared, files=files))
    assert report.step == "flash"
    assert "for another kind of board" in report.reason
    assert not list(board.files.iterdir())
    assert provision(board, shared).done, "with the right files it is still a blank board"


def test_a_board_that_comes_back_under_another_port_is_found(board: EmulatedBoard, shared: NodePlan) -> None:
    before = Board("SN-1", "/dev/ttyACM77")
    moved = replace(shared, port_of=lambda serial: {"SN-1": board.port}[serial])
    assert provision_board(before, moved, NO_EXTRA, lambda serial, step, percent: None).done


def test_a_port_that_another_program_holds_is_told(
    board: EmulatedBoard, shared: NodePlan, patience: BenchClock
) -> None:
    patience.ends()
    port = SerialPort(board.port)
    try:
        report = provision(board, shared)
    finally:
        port.close()
    assert report.step == "connect"
    assert "in use by another program" in report.reason


def test_a_node_of_another_ledger_is_refused(board: EmulatedBoard, shared: NodePlan) -> None:
    assert provision(board, shared).done
    trust = replace(shared.job.trust, origin="other.example/log")
    report = provision(board, replace(shared, job=replace(shared.job, trust=trust)))
    assert report.step == "enrol"
    assert "lives in the ledger ledger.example/log" in report.reason


def test_an_outbox_that_cannot_be_written_is_the_reason_and_no_node_works_unknown(
    board: EmulatedBoard, shared: NodePlan, tmp_path: Path
) -> None:
    (tmp_path / "outbox").write_text("a file where the folder should be", "utf-8")
    report = provision(board, shared)
    assert report.step == "enrol"
    assert "outbox" in report.reason
    (tmp_path / "outbox").unlink()
    assert provision(board, shared).done


class Bench:
    def __init__(self, folder: Path, site: Path, firmware: Path, stack: ExitStack) -> None:
        self.folder, self.site, self._stack = folder, site, stack
        self.links, self.table = folder / "by-id", folder / "nodes.db"
        self.links.mkdir()
        fixed = ["--firmware", str(firmware), "--model", "TS-1"]
        self.common = ["--boards", str(self.links), "--table", str(self.table)]
        self.boards: dict[str, EmulatedBoard] = {}
        self.words = ["node", "provision", str(site), *fixed, *self.common]

    def board(self, serial: str) -> EmulatedBoard:
        settings = {"TALLYSTICK_INTERVAL_MS": "300"}
        board = self._stack.enter_context(EmulatedBoard(serial, self.folder / serial, settings))
        board.plug(self.links)
        self.boards[serial] = board
        return board


@pytest.fixture
def bench(tmp_path: Path, site: Path, firmware: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, site, firmware, stack)


def test_ctrl_c_finishes_what_runs_and_reports_it(bench: Bench) -> None:
    bench.board("SN-1")
    with running(*bench.words, "--watch", "--json") as work:
        assert work.stderr
        for line in work.stderr:
            if "copy files" in line:
                break
        work.send_signal(signal.SIGINT)
        out, said = work.communicate(timeout=LONGEST_S)
    assert work.returncode == 0, said
    assert "ending" in said
    assert [(node["serial"], node["step"]) for node in json.loads(out)["nodes"]] == [("SN-1", "done")]


def test_a_list_that_cannot_be_used_is_said_before_a_board_is_touched(bench: Bench) -> None:
    board = bench.board("SN-1")
    bench.table.write_bytes(b"no database" * 100)
    tallystick(*bench.words, code=2)
    assert not list(board.files.iterdir())


def test_a_node_unplugged_in_mid_transfer_stops_the_roll_out_and_goes_on_at_the_next(bench: Bench) -> None:
    for serial in ("SN-1", "SN-2"):
        bench.board(serial)
    tallystick(*bench.words)
    offer = make_offer(bench.site, bench.folder / "new", "new", whole_image("\n# newer\n"))
    words = ["node", "update", "--offer", str(offer), "--site-key", str(bench.site / "site.key"), *bench.common]
    slots = bench.folder / "SN-1" / "slots"
    with running(*words, "--json") as work:
        until(lambda: _bytes_in(slots) >= 10_000, "no image arrives")
        bench.boards["SN-1"].close()
        out, said = work.communicate(timeout=LONGEST_S)
    assert work.returncode == 1, said
    first, second = json.loads(out)["results"]
    assert first["reason"]
    assert "left alone" in second["reason"]
    bench.board("SN-1")
    results = json.loads(tallystick(*words, "--json"))["results"]
    assert [result["reason"] for result in results] == ["", ""]


def test_two_boards_of_one_serial_number_are_told_and_left_alone(bench: Bench, shared: NodePlan) -> None:
    one, other = bench.board("SN-1"), bench.board("SN-2")
    found = [Board("TWIN", one.port), Board("TWIN", other.port)]
    with NodeTable(bench.table) as nodes, NodeView(Console(file=io.StringIO()), "en", None) as view:
        day = Day(lambda: found, {}, shared, nodes, view)
        assert day.run(2, 0) == {"TWIN"}
        (row,) = nodes.nodes()
    assert (row.step, row.reason) == ("connect", TWINS)
    assert not [*one.files.iterdir(), *other.files.iterdir()]


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.alone
def test_a_board_that_comes_back_with_another_number_on_its_usb_port_is_one_node(
    bench: Bench, shared: NodePlan
) -> None:
    """As an ESP32-S3 does, whose ROM shows another number than its MicroPython. The plan may know either."""
    chip = EmulatedBoard("ROM", bench.folder / "S3", {"TALLYSTICK_INTERVAL_MS": "300"}, chip=ESP32)
    found = interpreter.parse("micropython.bin", esp_image())
    assert isinstance(found, EspImage)
    with chip, NodeTable(bench.table) as nodes, NodeView(Console(file=io.StringIO()), "en", None) as view:
        chip.start()
        rom, python = Board("24:0A:C4:00:01:10", chip.port, "1-1.3"), Board("240AC4000110", chip.port, "1-1.3")
        planned = {rom.serial: PlannedNode(rom.serial, "Cold room 3", "A / 12")}
        plan = replace(shared, interpreter=found)
        day = Day(lambda: [python if is_written(chip) else rom], planned, plan, nodes, view)
        assert day.run(2, 0) >= {python.serial}
        (row,) = nodes.nodes()
    told = (row.serial, row.name, row.place, row.step, row.reason)
    assert told == (python.serial, "Cold room 3", "A / 12", "done", "")
    (enrolment,) = [statement.parse(path.read_bytes()) for path in shared.job.outbox.waiting()]
    assert enrolment.body["instrument"]["serial"] == python.serial
    assert enrolment.body["commitment"] == commitment(bytes.fromhex(row.salt), "Cold room 3", "A / 12")


def is_written(board: EmulatedBoard) -> bool:
    return bool(board.flash.image[ESP32.offset] == 0xE9)


def test_a_list_that_is_full_fails_each_board_and_stops_nothing(bench: Bench, shared: NodePlan) -> None:
    """What was done is found done when there is room again."""
    boards = [Board(serial, bench.board(serial).port) for serial in ("SN-1", "SN-2")]
    with NodeTable(bench.table) as nodes, NodeView(Console(file=io.StringIO()), "en", None) as view:
        connection = nodes._database.conn  # the limit is the connection's
        assert connection is not None
        connection.execute("PRAGMA max_page_count = 4")
        with pytest.raises(FileError, match="database or disk is full"):
            fill(nodes)
        day = Day(lambda: boards, {}, shared, nodes, view)
        assert day.run(2, 0) == {"SN-1", "SN-2"}
        assert {report.step for report in day.unlisted.values()} == {"list"}
        assert all("database or disk is full" in report.reason for report in day.unlisted.values())
        connection.execute("PRAGMA max_page_count = 10000")
        assert all(day.work(board) for board in boards)
        assert not day.unlisted
        assert [nodes.find(board.serial).step for board in boards] == ["done", "done"]


def fill(nodes: NodeTable) -> None:
    for number in range(1000):
        nodes.expect(PlannedNode(f"FILLER-{number}", "x" * 100), "TS-1", bytes(32), 1)


def test_a_row_that_is_taken_out_meanwhile_fails_its_board_only(bench: Bench, shared: NodePlan) -> None:
    board = Board("SN-1", bench.board("SN-1").port)

    class Eraser(NodeView):
        def tell(self, serial: str, step: str, percent: int) -> None:
            if step == "enrol":
                with closing(sqlite3.connect(bench.table, isolation_level=None)) as other:
                    other.execute("DELETE FROM node")

    with NodeTable(bench.table) as nodes, Eraser(Console(file=io.StringIO()), "en", None) as view:
        day = Day(lambda: [board], {}, shared, nodes, view)
        assert not day.work(board)
        assert "no nodes are called 'SN-1'" in day.unlisted["SN-1"].reason
    with NodeTable(bench.table) as nodes, NodeView(Console(file=io.StringIO()), "en", None) as plain:
        assert Day(lambda: [board], {}, shared, nodes, plain).work(board)
