"""`tallystick node provision`: blank boards become working nodes, on the real commands, mpremote and MicroPython."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet import LONGEST_S, tallystick
from interpreter_files import esp_image, saved
from patience import PATIENCE_S, until

from tallystick_emulators.emulated_board import EmulatedBoard
from tallystick_emulators.esp_chip import ESP32, Chip
from tallystick_proof import keys, statement
from tallystick_proof.statement import Statement
from tallystick_provisioning.outbox import Outbox
from tallystick_tools.practice_site import ORIGIN, make_firmware, make_site

TURN_PATIENCE_S = 6 * PATIENCE_S  # until the turn of the board in the middle of forty comes
BROKEN_SENSOR = {"TALLYSTICK_FAULT": "silent,0,100000"}


class Bench:
    """A site, firmware, and a folder of links to boards as /dev/serial/by-id is one."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.site, self.firmware = make_site(folder), make_firmware(folder)
        self.links = folder / "by-id"
        self.links.mkdir()
        self.table = folder / "nodes.db"
        self.boards: dict[str, EmulatedBoard] = {}

    def board(self, serial: str, chip: Chip | None = None, **settings: str) -> EmulatedBoard:
        chosen = {"TALLYSTICK_INTERVAL_MS": "300", **settings}
        board = self._stack.enter_context(EmulatedBoard(serial, self.folder / serial, chosen, chip))
        board.plug(self.links)
        self.boards[serial] = board
        return board

    def unplug_while_it_is_filled(self, serial: str) -> None:
        board = self.boards[serial]
        _wait_for_files(board, 5, TURN_PATIENCE_S)
        board.close()
        assert not (board.files / "main.py").exists(), "it was through before it was unplugged"

    def words(self, *more: str) -> list[str]:
        fixed = ["--firmware", str(self.firmware), "--model", "TS-1", "--boards", str(self.links)]
        return ["node", "provision", str(self.site), *fixed, "--table", str(self.table), *more]

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.site / "authorities" / "outbox")

    def enrolments(self) -> list[Statement]:
        return [statement.parse(path.read_bytes()) for path in self.outbox.waiting()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_a_blank_board_becomes_a_working_node(bench: Bench) -> None:
    board = bench.board("SN-0001")
    certificate = bench.folder / "certificate.pdf"
    certificate.write_bytes(b"calibrated")
    plan = bench.folder / "nodes.csv"
    plan.write_text("serial,name,place,certificate,due\nSN-0001,冷库 3,A / 12,certificate.pdf,2027-06-30\n", "utf-8")
    report = json.loads(tallystick(*bench.words("--plan", str(plan), "--json")))
    (node,) = report["nodes"]
    assert (node["step"], node["name"], node["place"], node["reason"]) == ("done", "冷库 3", "A / 12", "")
    assert report["waiting"] == 1
    (enrolment,) = bench.enrolments()
    instrument = enrolment.body["instrument"]
    assert (enrolment.body["aud"], keys.thumbprint(enrolment.body["key"]).hex()) == (ORIGIN, node["thumbprint"])
    assert (instrument["model"], instrument["serial"]) == ("TS-1", "SN-0001")
    assert instrument["calibration"].hex() == node["certificate"]
    assert instrument["due_ms"] == 1814399999999
    assert enrolment.body["commitment"] is not None
    assert "冷库".encode() not in enrolment.data, "name and place stay private"
    assert (board.files / "main.py").is_file()


def test_repeating_it_finds_it_done(bench: Bench) -> None:
    board = bench.board("SN-0001")
    tallystick(*bench.words())
    written = {path: path.stat().st_mtime_ns for path in board.files.rglob("*.mpy")}
    first = json.loads(tallystick("node", "list", "--table", str(bench.table), "--json"))
    tallystick(*bench.words())
    assert {path: path.stat().st_mtime_ns for path in board.files.rglob("*.mpy")} == written
    assert json.loads(tallystick("node", "list", "--table", str(bench.table), "--json"))[0]["kid"] == first[0]["kid"]


def test_a_working_node_gets_no_other_enrolment(bench: Bench) -> None:
    """Its ledger would refuse that. Delivered or not, named in a plan or not: it is tested again, and that is all."""
    plan = bench.folder / "nodes.csv"
    plan.write_text("serial,name,place\nSN-0001,Cold room 3,A / 12\n", "utf-8")
    bench.board("SN-0001")
    tallystick(*bench.words("--plan", str(plan)))
    (enrolment,) = bench.enrolments()
    for delivered in (False, True):
        if delivered:
            bench.outbox.delivered(bench.outbox.waiting()[0])
        said = tallystick(*bench.words())
        assert "SN-0001: was enrolled already; tested again" in said
        assert [one.identity for one in bench.enrolments()] == ([] if delivered else [enrolment.identity])
        (node,) = json.loads(tallystick("node", "list", "--table", str(bench.table), "--json"))
        assert (node["enrolment"], node["step"]) == (enrolment.identity.hex(), "done")
        assert (node["name"], node["place"]) == ("Cold room 3", "A / 12"), "without a plan they stay"


def test_another_laptop_without_a_list_enrols_once_more(bench: Bench) -> None:
    """It cannot know that there is an enrolment; the ledger does, and keeps the first."""
    bench.board("SN-0001")
    tallystick(*bench.words())
    bench.outbox.delivered(bench.outbox.waiting()[0])
    bench.table.unlink()
    tallystick(*bench.words())
    assert len(bench.enrolments()) == 1


def test_a_dry_run_changes_nothing(bench: Bench) -> None:
    board = bench.board("SN-0001")
    said = tallystick(*bench.words("--dry-run"))
    assert "SN-0001" in said
    assert "blank" in said
    told = json.loads(tallystick(*bench.words("--dry-run", "--json")))
    assert [(one["serial"], one["state"]) for one in told["boards"]] == [("SN-0001", "blank")]
    assert not list(board.files.iterdir())
    assert not bench.table.exists()
    assert not bench.enrolments()


def test_a_board_whose_copying_stopped_is_filled_when_it_comes_again(bench: Bench) -> None:
    board = bench.board("SN-0001")
    with subprocess.Popen(
        [sys.executable, "-m", "tallystick_tools", *bench.words()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as work:
        _wait_for_files(board, 5)
        work.kill()
        work.wait()
    assert not (board.files / "main.py").exists(), "the last file comes last"
    tallystick(*bench.words())


def test_a_node_is_placed_identified_and_surveyed(bench: Bench) -> None:
    board = bench.board("SN-0001")
    tallystick(*bench.words())
    tallystick("node", "place", "SN-0001", "Rotterdam / 3", "--table", str(bench.table))
    tallystick("node", "identify", "SN-0001", "--boards", str(bench.links), "--table", str(bench.table))
    (node,) = json.loads(tallystick("node", "list", "--table", str(bench.table), "--json"))
    assert node["place"] == "Rotterdam / 3"
    until(lambda: board.counts().get("identify"), lambda: str(board.counts()))
    status = bench.folder / "status.json"
    heard = {"thumbprint": node["thumbprint"], "received_ms": time.time_ns() // 1_000_000, "gaps": [[3, 4]]}
    status.write_text(json.dumps({"nodes": [heard]}), "utf-8")
    said = json.loads(tallystick("node", "survey", str(status), "--table", str(bench.table), "--json"))
    assert [(one["heard"], one["missing"]) for one in said] == [(True, 2)]
    status.write_text(json.dumps({"nodes": []}), "utf-8")
    tallystick("node", "survey", str(status), "--table", str(bench.table), code=1)


@pytest.mark.alone
def test_forty_boards_four_at_a_time_one_fails_its_self_test_and_one_is_unplugged(bench: Bench) -> None:
    """The rest go on, and the report names both. Four have not even MicroPython."""
    calm = {"TALLYSTICK_INTERVAL_MS": "3000"}  # forty nodes that sign all the time keep both cores busy
    for number in range(40):
        chip = ESP32 if number in (3, 4, 5, 6) else None
        bench.board(f"SN-{number:04}", chip, **calm, **(BROKEN_SENSOR if number == 7 else {}))
    interpreter = saved(bench.folder, "micropython.bin", esp_image())
    with subprocess.Popen(
        [sys.executable, "-m", "tallystick_tools",
         *bench.words("--watch", "--count", "40", "--interpreter", str(interpreter), "--json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as work:
        bench.unplug_while_it_is_filled("SN-0021")
        out, said = work.communicate(timeout=2 * LONGEST_S)
    assert work.returncode == 1, said.decode()[-3000:]
    nodes = {node["serial"]: node for node in json.loads(out)["nodes"]}
    assert len(nodes) == 40
    failed = {serial: node["step"] for serial, node in nodes.items() if node["step"] != "done"}
    assert failed == {"SN-0007": "self-test", "SN-0021": "flash"}
    assert "sensor" in nodes["SN-0007"]["reason"]
    for serial in failed:
        assert serial in said.decode(), "the report names both"
    assert len({node["kid"] for node in nodes.values() if node["step"] == "done"}) == 38
    assert len(bench.enrolments()) == 39, "a node that fails its test has a key all the same"


def _wait_for_files(board: EmulatedBoard, count: int, patience_s: float = PATIENCE_S) -> None:
    until(lambda: len(list(board.files.rglob("*.mpy"))) >= count, "no files arrive", patience_s)
