"""`node place --tap`: a scanner that types, tags on a reader, one list. The real command, nfcpy, emulated tags."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet import running, tallystick

from tallystick_chips import ntag21x
from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_emulators.tag_udp import UdpTagServer
from tallystick_fleet.node_plan import PlannedNode
from tallystick_fleet.node_table import NodeTable

PLACE = "鹿特丹 / 1 / A12"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    with NodeTable(tmp_path / "nodes.db") as nodes:
        for number in range(3):
            nodes.expect(PlannedNode(f"SN-{number}", f"冷库 {number}"), "TS-1", bytes(32), 1)
    return tmp_path / "nodes.db"


def places(table: Path) -> dict[str, str]:
    listed = json.loads(tallystick("node", "list", "--table", str(table), "--json"))
    return {node["serial"]: node["place"] for node in listed}


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def text_tag(number: int, text: str) -> Ntag21x:
    """A tag with one text record on it, as any phone writes it."""
    tag = Ntag21x("NTAG215", bytes([0x04, 0x51, 0x52, 0x53, 0x54, 0x55, number]))
    payload = b"\x02en" + text.encode()
    message = bytes([0xD1, 1, len(payload)]) + b"T" + payload
    contact = EmulatedReader(Field(tag)).sense()
    assert contact is not None
    chip = ntag21x.Ntag21x(contact)
    layout = ntag21x.layout_of(chip.version())
    assert layout is not None
    for page, data in enumerate(ntag21x.data_pages(layout, message), start=ntag21x.FIRST_PAGE):
        chip.write(page, data)
    tag.power_off()
    return tag


def test_a_scanner_places_one_node_after_the_other_and_undoes_the_last(table: Path) -> None:
    typed = f"SN-0\n{PLACE}\n冷库 1\nDock\nSN-9\nSN-2\nGate\nundo\n"
    words = ["node", "place", "--tap", "--table", str(table), "--silent", "--lang", "en"]
    done = subprocess.run(
        [sys.executable, "-m", "tallystick_tools", *words], input=typed, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WRONG: SN-9: no node of the list" in done.stdout
    assert "undone: 冷库 2 is back at no place" in done.stdout
    assert "2 nodes placed" in done.stdout
    assert places(table) == {"SN-0": PLACE, "SN-1": "Dock", "SN-2": ""}


def test_a_node_without_its_place_at_the_end_is_told(table: Path) -> None:
    words = [sys.executable, "-m", "tallystick_tools", "node", "place", "--tap", "--table", str(table), "--silent"]
    done = subprocess.run(words, input="SN-0", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "冷库 0 (SN-0) still waits for its place" in done.stdout


def test_the_shelf_and_the_node_are_tapped(table: Path, tmp_path: Path) -> None:
    """A tag with text, a tag that the table of marks knows, one that nobody knows; and the scanner in between."""
    shelf, door, unknown = text_tag(1, PLACE), text_tag(2, ""), text_tag(3, "")
    node = text_tag(4, "SN-0")
    marks = tmp_path / "marks.csv"
    marks.write_text(f"mark,node,place\n{door.uid.hex()},,Dock\nx,,{PLACE}\n", "utf-8")
    field = Field()
    words = ["node", "place", "--tap", "--table", table, "--marks", marks, "--silent", "--lang", "en"]
    with UdpTagServer(field) as server, running(*words, "--reader", server.path, stdin=subprocess.PIPE) as work:
        assert work.stdin
        assert work.stdout

        def tap(tag: Ntag21x, said: str) -> None:
            field.swap(tag)
            line = next(iter(work.stdout or ()))
            assert said in line, line
            field.remove(None)

        tap(node, "SCAN THE PLACE OF 冷库 0 (SN-0)")
        tap(unknown, "no place of the table of marks")
        tap(shelf, f"冷库 0 hangs at {PLACE}")
        work.stdin.write("SN-1\n")
        work.stdin.flush()
        assert "SCAN THE PLACE OF 冷库 1" in next(iter(work.stdout))
        tap(door, "冷库 1 hangs at Dock")
        assert places(table) == {"SN-0": PLACE, "SN-1": "Dock", "SN-2": ""}, "durable at once"


def test_what_does_not_go_together_is_said(table: Path) -> None:
    for words in (["--tap", "SN-0"], ["SN-0"], [], ["SN-0", "Dock", "--reader", "usb"]):
        tallystick("node", "place", *words, "--table", str(table), code=2)
