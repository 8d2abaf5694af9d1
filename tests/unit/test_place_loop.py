"""Scan the node, scan the place: what becomes of each mark, and what the list says after it."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tallystick_fleet import place_marks, place_words
from tallystick_fleet.errors import PlanError
from tallystick_fleet.node_plan import PlannedNode
from tallystick_fleet.node_table import NodeTable
from tallystick_fleet.place_input import ndef_text
from tallystick_fleet.place_loop import PlaceLoop, Step
from tallystick_fleet.place_marks import Mark, Marks
from tallystick_fleet.place_view import PlaceView
from tallystick_fleet.place_words import REASONS, WORDS
from tallystick_provisioning.screen_words import Language

A12, A13 = "Rotterdam / 1 / A12", "鹿特丹 / 1 / A13"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[NodeTable]:
    with NodeTable(tmp_path / "nodes.db") as nodes:
        for number, name in enumerate(("Cold room 1 door", "冷库 2")):
            nodes.expect(PlannedNode(f"SN-{number}", name), "TS-1", bytes(32), 1)
        yield nodes


@pytest.fixture
def loop(nodes: NodeTable) -> PlaceLoop:
    return PlaceLoop(nodes, Marks(), lambda: 2)


def scan(loop: PlaceLoop, *texts: str) -> list[Step]:
    return [loop.take(Mark((text,))) for text in texts]


def said(step: Step) -> str:
    return place_words.reason("en", step.code, *step.about)


def places(loop: PlaceLoop) -> dict[str, str]:
    return {node.serial: node.place for node in loop.nodes.nodes()}


def test_a_node_and_its_place_are_written_down_one_after_the_other(loop: PlaceLoop) -> None:
    steps = scan(loop, "SN-0", A12, "冷库 2", A13)
    assert [step.kind for step in steps] == ["node", "placed", "node", "placed"]
    assert places(loop) == {"SN-0": A12, "SN-1": A13}


def test_what_is_no_node_of_the_list_is_wrong_and_nothing_is_written(loop: PlaceLoop) -> None:
    (step,) = scan(loop, "SN-7")
    assert step.kind == "wrong"
    assert "SN-7: no node of the list is called so" in said(step)
    assert places(loop) == {"SN-0": "", "SN-1": ""}


def test_a_second_node_is_no_place_of_the_first(loop: PlaceLoop) -> None:
    steps = scan(loop, "SN-0", "SN-1", "SN-0", A12)
    assert [step.kind for step in steps] == ["node", "wrong", "again", "placed"]
    assert "scan the place of Cold room 1 door first" in said(steps[1])
    assert places(loop) == {"SN-0": A12, "SN-1": ""}


def test_a_code_that_is_read_twice_does_no_harm(loop: PlaceLoop) -> None:
    steps = scan(loop, "SN-0", "SN-0", A12, A12, "SN-1")
    assert [step.kind for step in steps] == ["node", "again", "placed", "again", "node"]


def test_undo_takes_back_the_last_and_the_one_before(loop: PlaceLoop) -> None:
    scan(loop, "SN-0", A12, "SN-0", A13, "SN-1")
    steps = scan(loop, "undo", "UNDO", "撤销", "undo")
    assert [step.kind for step in steps] == ["undone", "undone", "undone", "wrong"]
    assert [step.place for step in steps[1:3]] == [A12, ""]
    assert places(loop) == {"SN-0": "", "SN-1": ""}


def test_undo_leaves_what_somebody_else_changed_meanwhile(loop: PlaceLoop) -> None:
    scan(loop, "SN-0", A12)
    loop.nodes.place("SN-0", "Dock", 3)
    (step,) = scan(loop, "undo")
    assert "somebody changed its place meanwhile, to Dock" in said(step)
    assert places(loop)["SN-0"] == "Dock"


def test_where_another_node_hangs_already_is_said(loop: PlaceLoop) -> None:
    assert scan(loop, "SN-0", A12, "SN-1", A12)[-1].also == ("Cold room 1 door",)


def test_a_dry_run_writes_nothing(nodes: NodeTable) -> None:
    loop = PlaceLoop(nodes, Marks(), lambda: 2, dry_run=True)
    assert [step.kind for step in scan(loop, "SN-0", A12, "undo")] == ["node", "placed", "undone"]
    assert places(loop) == {"SN-0": "", "SN-1": ""}


def test_a_table_of_marks_names_nodes_and_places_and_no_other_place_is_taken(nodes: NodeTable, tmp_path: Path) -> None:
    table = tmp_path / "marks.csv"
    table.write_text(f"mark,node,place\n04:a1:b2:c3,,{A12}\nshelf-13,,{A13}\n04FFEE00,SN-1,\n", "utf-8")
    loop = PlaceLoop(nodes, place_marks.read(table), lambda: 2)
    tag = Mark(("04A1B2C3",), is_number=True)
    assert loop.take(tag).kind == "wrong", "the node comes first"
    assert loop.take(Mark(("04FFEE00",), is_number=True)).serial == "SN-1"
    assert "no place of the table of marks" in said(loop.take(Mark(("Mars",))))
    assert loop.take(tag).place == A12
    assert [step.kind for step in scan(loop, "SN-0", "shelf-13")] == ["node", "placed"]
    assert [step.kind for step in scan(loop, "SN-0", A12)] == ["node", "placed"], "a place's own name is one too"


def test_the_number_of_an_unknown_tag_is_no_place(loop: PlaceLoop) -> None:
    scan(loop, "SN-0")
    assert "a tag without text" in said(loop.take(Mark(("04A1B2C3",), is_number=True)))
    assert loop.take(Mark((A12, "04A1B2C3"))).place == A12


def test_every_complaint_about_a_table_of_marks_comes_at_once(tmp_path: Path) -> None:
    table = tmp_path / "marks.csv"
    table.write_text("mark;node;place\nA;SN-1;\na1;;\n04AA;SN-1;Dock\nA;;Dock\n", "utf-8")
    with pytest.raises(PlanError) as told:
        place_marks.read(table)
    assert [line.split(": ", 1)[1] for line in str(told.value).splitlines()] == [
        "row 3: needs a mark, and a node or a place",
        "row 4: needs a mark, and a node or a place",
        "row 5, column mark: A occurs twice",
    ]
    table.write_text("code,place\n1,2\n", "utf-8")
    with pytest.raises(PlanError, match="columns mark, node, place"):
        place_marks.read(table)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("d1010654027a68e586b7", "冷"),
        ("d1010754027a6820413132", "A12"),
        ("d101075504612e62632f64", "https://a.bc/d"),
        ("d101075504612e", ""),
        ("d1010054", ""),
        ("", ""),
    ],
    ids=["text", "spaces", "address", "cut off", "empty", "nothing"],
)
def test_what_stands_on_a_tag(message: str, text: str) -> None:
    assert ndef_text(bytes.fromhex(message)) == text


class Beeps:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def good(self) -> None:
        self.heard.append("good")

    def wrong(self) -> None:
        self.heard.append("wrong")

    def close(self) -> None: ...


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_screen_fits_and_every_mark_is_heard(loop: PlaceLoop, language: Language) -> None:
    beeps, console = Beeps(), Console(width=80, height=24, file=io.StringIO())
    view = PlaceView(console, language, beeps, loop)
    for _ in range(12):
        for text in ("SN-0", A12 + " " * 5 + "x" * 90, "冷库 2", A13):
            view.show(loop.take(Mark((text,))))
    view.show(loop.take(Mark(("x" * 300,))))
    assert beeps.heard == ["good"] * 48 + ["wrong"]
    lines = console.render_lines(view.picture(), pad=False)
    assert len(lines) <= 24
    assert set(WORDS["en"]) == set(WORDS["zh"])
    assert all(english.count("{") == chinese.count("{") for english, chinese in REASONS.values())
