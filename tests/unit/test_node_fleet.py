"""Plan, self-test, watch and list of many nodes, without a board."""

import io
import json
import sqlite3
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from update_support import config, order

from tallystick_fleet import (
    boards,
    flash_board,
    node_label,
    node_plan,
    node_rollout,
    node_self_test,
    node_survey,
    rollout_candidates,
)
from tallystick_fleet.boards import Board
from tallystick_fleet.errors import PlanError
from tallystick_fleet.node_rollout import Candidate
from tallystick_fleet.node_table import KnownNode, NodeTable
from tallystick_fleet.node_view import NodeView
from tallystick_fleet.node_watch import Watch
from tallystick_fleet.provision_node import NodeReport
from tallystick_fleet.update_node import Asked
from tallystick_proof import keys, statement
from tallystick_provisioning import label_pdf
from tallystick_provisioning.errors import FileError
from tallystick_provisioning.screen_words import Language
from tallystick_wire import reading, senml
from tallystick_wire.reading import BootRecord, Chain

ORIGIN, PEN, FIRMWARE = "ledger.example/log", 32473, bytes(8)
SIGNER = keys.Signer(keys.NODE, bytes(range(32)))
GOOD = [senml.Record("t", "Cel", senml.Decimal(-2, 412)), senml.Record("b", "V", senml.Decimal(-3, 3300))]


def first(
    records: list[senml.Record] = GOOD, *, signer: keys.Signer = SIGNER, pen: int = PEN, firmware: bytes = FIRMWARE
) -> reading.Reading:
    """A node's first reading."""
    boot = BootRecord("power-on", 0, 0, firmware, bytes(8)).records()
    chain = Chain(1, 1, 40, reading.genesis(ORIGIN, SIGNER.public_key), None)
    payload = senml.encode_pack(senml.base_name(pen, SIGNER.kid), [*records, *boot])
    return reading.parse(statement.build_reading(signer, chain, payload))


def judged(*taken: reading.Reading) -> str:
    return "; ".join(node_self_test.complaints(taken, SIGNER.public_key, ORIGIN, PEN, FIRMWARE))


def test_a_good_first_reading_is_no_complaint() -> None:
    assert judged(first()) == ""


@pytest.mark.parametrize(
    ("taken", "complaint"),
    [
        (first([senml.Record("f", None, "t: no answer")]), "the sensor says t: no answer"),
        (first([GOOD[1]]), "no temperature"),
        (first([senml.Record("t", "Cel", senml.Decimal(-2, 8500)), GOOD[1]]), "85.00 degrees"),
        (first([GOOD[0], senml.Record("b", "V", senml.Decimal(-3, 1900))]), "the battery has 1.90 V"),
        (first(pen=1), "another ledger's number"),
        (first(firmware=b"another!"), "not the one that answered"),
    ],
)
def test_what_is_wrong_with_a_first_reading_is_named(taken: reading.Reading, complaint: str) -> None:
    assert complaint in judged(taken)


def test_what_waited_for_its_ack_is_no_complaint() -> None:
    """The same reading again, and those of the next boot: a board that is plugged in again sends both."""
    begun = first()
    boot = BootRecord("power-on", 1, 1, FIRMWARE, bytes(8)).records()
    payload = senml.encode_pack(senml.base_name(PEN, SIGNER.kid), [*GOOD, *boot])
    again = reading.parse(statement.build_reading(SIGNER, Chain(3, 2, 40, begun.link, None), payload))
    assert judged(begun, begun, again) == ""


def test_a_first_reading_signed_by_somebody_else_is_refused() -> None:
    good = first()
    forged = bytearray(good.data)
    forged[-1] ^= 1
    assert "the signature is wrong" in judged(reading.parse(bytes(forged)))


def test_a_chain_of_another_ledger_is_refused() -> None:
    wrong = node_self_test.complaints([first()], SIGNER.public_key, "other.example/log", PEN, FIRMWARE)
    assert any("chain of this ledger" in one for one in wrong)


def test_every_row_of_a_plan_is_checked_at_once(tmp_path: Path) -> None:
    path = tmp_path / "nodes.csv"
    path.write_text(
        "serial,name,place,certificate,due\nA,one,x,missing.pdf,2027-06-31\n,two,,,\nA,three,,,\nB,\x07,,,\n", "utf-8"
    )
    with pytest.raises(PlanError) as caught:
        node_plan.read(path)
    said = str(caught.value)
    for expected in (
        "row 2, column certificate",
        "row 2, column due: '2027-06-31' is no date",
        "row 3, column serial: is empty",
        "row 4, column serial: A occurs twice",
        "row 5, column name",
    ):
        assert expected in said


def test_a_plan_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nodes.csv"
    path.write_text("serial,nmae\nA,one\n", "utf-8")
    with pytest.raises(PlanError, match="column 'nmae' is unknown"):
        node_plan.read(path)


def test_a_plan_of_any_spreadsheet_is_read_and_nothing_in_it_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "nodes.csv"
    path.write_text('\ufeffserial;name ;place\r\nA;Cold room, north;"x\ny"\r\n', "utf-8")
    with pytest.raises(PlanError, match="row 2, column place"):
        node_plan.read(path)
    path.write_text("serial;name\nA;Cold room, north\n", "utf-8")
    assert node_plan.read(path)["A"].name == "Cold room, north"
    for text, complaint in (
        ("serial,name\nA,Cold room, north\n", "row 2: more cells than columns"),
        ("serial,name,name\nA,one,two\n", "column 'name' is there twice"),
        ("serial,name\nA,a\0b\n", "nodes.csv: "),
        ("name\nA\n", "`serial` among them"),
        ("", "`serial` among them"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(PlanError, match=complaint):
            node_plan.read(path)


def test_the_commitment_binds_name_and_place_and_hides_them() -> None:
    salt = bytes(32)
    made = node_plan.commitment(salt, "Cold room", "A12")
    assert made == node_plan.commitment(salt, "Cold room", "A12")
    assert made != node_plan.commitment(salt, "Cold roomA", "12")
    assert made != node_plan.commitment(bytes(31) + b"\1", "Cold room", "A12")


def test_no_more_boards_at_a_time_than_asked_and_none_twice() -> None:
    lock, now, most, worked = threading.Lock(), set[str](), [0], list[str]()

    def work(board: Board) -> bool:
        with lock:
            now.add(board.serial)
            worked.append(board.serial)
            most[0] = max(most[0], len(now))
        threading.Event().wait(0.02)
        with lock:
            now.discard(board.serial)
        return board.serial != "7"

    watch = Watch(lambda: [Board(str(number), "p") for number in range(12)], work, parallel=3)
    watch.run(lambda watch: len(watch.handled) == 12)
    assert most[0] <= 3
    assert sorted(worked) == sorted(set(worked))
    assert watch.failed == {"7"}
    assert len(watch.finished) == 11


def test_a_board_that_failed_is_tried_again_when_it_comes_back() -> None:
    board = Board("A", "p")
    there = [[board], [board], [], *[[board]] * 10]  # then IndexError: it must not wait for ever
    tries: list[str] = []

    def work(board: Board) -> bool:
        tries.append(board.serial)
        return len(tries) == 2

    watch = Watch(lambda: there.pop(0), work, parallel=1)
    watch.run(lambda watch: "A" in watch.finished)
    assert tries == ["A", "A"]


def test_ctrl_c_waits_for_what_runs_and_counts_it() -> None:
    began, said = threading.Event(), list[str]()

    def work(board: Board) -> bool:
        began.set()
        threading.Event().wait(0.2)
        return True

    def look(connected: list[Board]) -> None:
        if began.is_set():
            raise KeyboardInterrupt

    watch = Watch(lambda: [Board("A", "p")], work, parallel=1)
    watch.run(lambda watch: False, look, lambda: said.append("ending"))
    assert (watch.finished, watch.handled, said) == ({"A"}, {"A"}, ["ending"])


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("failed", [0, 1, 3, 20])
@pytest.mark.parametrize("running", [0, 4, 16])
def test_the_view_fits_80x24_and_every_failure_says_why_and_what_to_do(
    language: Language, failed: int, running: int
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, no_color=True)
    view = NodeView(console, language, 40)
    for number in range(running):
        view.named(f"E66058388340{number:04}", "[/red] 冷库三号门 [bold]北侧货架 a name that is longer than its column")
        view.tell(f"E66058388340{number:04}", "flash", 55)
    for number in range(failed):
        view.came(NodeReport(f"F{number:015}", "p", "self-test", f"the sensor says t: no answer; {'x ' * 200}"))
    out.truncate(0)
    console.print(view.picture())
    lines = out.getvalue().split("\n")
    assert len(lines) <= 24
    assert all(cell_len(Text.from_ansi(line).plain) <= 80 for line in lines)
    shown = Text.from_ansi(out.getvalue()).plain
    if running:
        assert "E660583883400000" in shown
        assert "[/red]" in shown, "a name is no markup"
    if failed:
        assert f"F{failed - 1:015}" in shown
        assert "the sensor says t: no answer" in shown
        assert {"en": "put it aside", "zh": "放到一边"}[language] in " ".join(shown.split())


def test_a_serial_number_with_control_characters_is_shown_without(tmp_path: Path) -> None:
    (tmp_path / "\x1b[31mred").symlink_to("/dev/null")
    assert [board.serial for board in boards.linked_boards(tmp_path)] == ["?[31mred"]


def test_boards_are_the_links_that_lead_to_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "file").write_text("x", "utf-8")
    (tmp_path / "null").symlink_to("/dev/null")
    assert [board.serial for board in boards.linked_boards(tmp_path)] == ["null"]
    with pytest.raises(FileError, match="nowhere"):
        boards.source(str(tmp_path / "nowhere"))


def test_a_second_enrolment_commits_to_the_same_name(tmp_path: Path) -> None:
    with NodeTable(tmp_path / "nodes.db") as nodes:
        before = nodes.expect(node_plan.PlannedNode("A", "one"), "TS-1", bytes(32), 1)
        after = nodes.expect(node_plan.PlannedNode("A", "one"), "TS-1", bytes([1]) * 32, 2)
    assert before.salt == after.salt


def test_a_node_is_found_by_serial_kid_or_name_and_only_when_it_is_one(tmp_path: Path) -> None:
    with NodeTable(tmp_path / "nodes.db") as nodes:
        for serial in ("A", "B"):
            nodes.expect(node_plan.PlannedNode(serial, "twin"), "TS-1", bytes(32), 1)
        nodes.came(NodeReport("A", "p", "done", public_key=SIGNER.public_key), 2)
        assert nodes.find(SIGNER.kid.hex()).serial == "A"
        assert nodes.find("B").serial == "B"
        with pytest.raises(PlanError, match="2 nodes"):
            nodes.find("twin")
        with pytest.raises(PlanError, match="no nodes"):
            nodes.find("nobody")


def test_the_list_is_private_and_json_shows_no_salt(tmp_path: Path) -> None:
    path = tmp_path / "nodes.db"
    with NodeTable(path) as nodes:
        node = nodes.expect(node_plan.PlannedNode("A", "one"), "TS-1", bytes(range(32)), 1)
    assert path.stat().st_mode & 0o077 == 0
    assert bytes(range(32)).hex() not in str(node.value())


def candidate(serial: str, word: str = "") -> Candidate:
    return Candidate(Board(serial, "p"), serial, keys.thumbprint(SIGNER.public_key).hex(), word)


def test_a_roll_out_leaves_out_who_says_that_it_has_it_and_whom_it_is_not_for() -> None:
    words = {"A": "", "B": "current", "C": "updates_expired", "D": "updates_old", "E": "updates_failed_before"}
    found = [candidate(serial, word) for serial, word in words.items()]
    five = config(ordered=order(5))
    chosen = node_rollout.plan(found, five, outdated=True, canaries=2)
    assert [one.name for one in chosen.todo] == ["A", "C", "E"]
    assert [one.name for one, _ in chosen.skipped] == ["B", "D"]
    assert len(node_rollout.plan(found, five, outdated=False, canaries=9).todo) == 5
    elsewhere = config(ordered=order(5, target=bytes(8)))
    assert not node_rollout.plan(found, elsewhere, outdated=False, canaries=1).todo


def test_what_a_node_says_corrects_the_list(tmp_path: Path) -> None:
    """And a list of before that knew no `seen_ms` is opened."""
    path, five = tmp_path / "nodes.db", config(ordered=order(5))
    said = {"A": "updates_expired", "B": "current", "C": "updates_old", "D": None}
    with NodeTable(path) as nodes:
        for serial in said:
            nodes.expect(node_plan.PlannedNode(serial), "TS-1", bytes(32), 1)
            nodes.came(NodeReport(serial, "p", "done", public_key=SIGNER.public_key), 2)
            nodes.took(serial, "config", {"A": 5, "B": 0, "C": 7, "D": 5}[serial], 3)
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE node DROP COLUMN seen_ms")
    connection.close()
    with NodeTable(path) as nodes:
        found = rollout_candidates.connected_nodes([Board(serial, "p") for serial in said], nodes)

        def ask(board: Board) -> Asked | None:
            word = said[board.serial]
            return None if word is None else Asked(word, bytes(range(8)))

        candidates = rollout_candidates.asked(found, five, ask, nodes, 2, 99)
        known = {node.serial: node for node in nodes.nodes()}
    assert {one.name: one.word for one in candidates} == {serial: word or "" for serial, word in said.items()}
    assert {serial: node.config_version for serial, node in known.items()} == {"A": 0, "B": 5, "C": 7, "D": 5}
    assert (known["A"].seen_ms, known["A"].firmware) == (99, bytes(range(8)).hex())
    assert known["D"].seen_ms is None


def test_a_node_s_label_is_its_key_and_its_name(tmp_path: Path) -> None:
    with NodeTable(tmp_path / "nodes.db") as nodes:
        nodes.expect(node_plan.PlannedNode("A", "冷库 3"), "TS-1", bytes(32), 1)
        nodes.came(NodeReport("A", "p", "done", public_key=SIGNER.public_key), 2)
        made = node_label.of_node(nodes.find("A"))
    assert made.qr == SIGNER.thumbprint.hex()
    assert made.lines == ("冷库 3", "SN A", f"KID {SIGNER.kid.hex()}")
    assert label_pdf.pages([made]).startswith(b"%PDF")


def test_a_board_gets_compiled_files_of_its_own_machine_only() -> None:
    """https://docs.micropython.org/en/latest/reference/mpyfiles.html; a Cortex-M runs the code of smaller ones."""
    board = {name: 6 | 3 << 8 | code << 10 for name, code in (("x64", 2), ("armv6m", 4), ("armv7m", 5), ("esp32", 10))}
    for code, runs in ((0, set(board)), (2, {"x64"}), (4, {"armv6m", "armv7m"}), (5, {"armv7m"}), (10, {"esp32"})):
        content = bytes([ord("M"), 6, code << 2 | (3 if code else 0), 31])
        assert {name for name, mpy in board.items() if flash_board.runs_on(content, mpy)} == runs
    assert not flash_board.runs_on(bytes([ord("M"), 5, 0, 31]), board["x64"]), "of an older MicroPython"
    assert not flash_board.runs_on(b"M\6\x09\x1f", board["x64"]), "native code of another sub-version"


def listed(serial: str) -> KnownNode:
    return KnownNode(serial, serial, "", "", serial * 64, "", "", None, "", "done", "", "", 0, 0, 0)


def test_silent_nodes_come_first_in_a_survey() -> None:
    told = {"a" * 64: {"received_ms": 100_000, "gaps": []}, "b" * 64: {"received_ms": 1_000, "gaps": [[1, 3]]}}
    heard = node_survey.compare([listed("a"), listed("b"), listed("c")], told, 130_000, 60)
    assert [(one.serial, one.heard, one.missing) for one in heard] == [("b", False, 3), ("c", False, 0), ("a", True, 0)]


def test_a_computer_whose_clock_is_behind_calls_no_silent_node_heard() -> None:
    told = {"a" * 64: {"received_ms": 500_000, "gaps": []}, "b" * 64: {"received_ms": 130_000, "gaps": []}}
    with pytest.raises(PlanError, match="clock is 370 s or more behind the gateway's"):
        node_survey.compare([listed("a"), listed("b")], told, 130_000, 60)
    assert node_survey.compare([listed("a")], told, 441_000, 60)[0].heard, "a minute is nothing"


def test_a_survey_names_the_weakest_radio_and_what_to_do(tmp_path: Path) -> None:
    """Through the file that the gateway's command wrote."""
    path, radios = tmp_path / "status.json", {"a": -91, "b": -61, "c": None, "d": -80}
    nodes: list[dict[str, object]] = [
        {"thumbprint": serial * 64, "received_ms": 100_000, "gaps": [], "radio_dbm": dbm}
        for serial, dbm in radios.items()
    ]
    path.write_text(json.dumps({"nodes": nodes}), "utf-8")
    found = node_survey.compare([*map(listed, radios)], node_survey.read_status(path), 130_000, 60)
    assert [(one.serial, one.radio_dbm, one.weak) for one in found] == [
        ("a", -91, True),
        ("b", -61, False),
        ("c", None, False),
        ("d", -80, False),
    ]
    assert node_survey.summary(found, 60) == "4 of 4 heard within 60 s, worst -91 dBm (a)"
    assert found[0].line().startswith("WEAK   a (a) at ?: heard 30 s ago, -91 dBm: hang it higher")
    assert found[1].line() == "ok     b (b) at ?: heard 30 s ago, -61 dBm"
    assert "dBm" not in found[2].line()
    cable_only = node_survey.compare([listed("c")], node_survey.read_status(path), 130_000, 60)
    assert node_survey.summary(cable_only, 60) == "1 of 1 heard within 60 s"
