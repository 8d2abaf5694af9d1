"""The picture of `tallystick node provision` for docs/installer.md: a real run on blank boards, drawn in its middle."""

import io
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tallystick_emulators.emulated_board import EmulatedBoard
from tallystick_fleet import boards, node_day, node_plan
from tallystick_fleet.node_table import NodeTable
from tallystick_fleet.node_view import NodeView
from tallystick_tools import practice_site
from tallystick_tools.errors import DemoError

TITLE = "tallystick node provision site --watch"
NAMES = ("Cold room 1 door", "Cold room 1 back", "Cold room 2 door", "Truck 7 front", "Truck 7 rear", "Dock 3", "Dock")
BROKEN = 3  # the one whose sensor does not answer
WIDTH, PARALLEL, TIMEOUT_S = 80, 4, 120.0


def picture(recorder: Callable[[int], Console]) -> tuple[str, str, Console]:
    """(file name, title, what stood on the screen) once some boards are through and others are not."""
    console = recorder(WIDTH)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        links = folder / "by-id"
        links.mkdir()
        for number in range(len(NAMES)):
            settings = {"TALLYSTICK_INTERVAL_MS": "300"}
            settings |= {"TALLYSTICK_FAULT": "silent,0,1000"} if number == BROKEN else {}
            board = stack.enter_context(EmulatedBoard(_serial(number), folder / _serial(number), settings))
            board.plug(links)
        nodes = stack.enter_context(NodeTable(folder / "nodes.db"))
        view = NodeView(Console(file=io.StringIO(), force_terminal=False), "en", len(NAMES))
        planned = {_serial(number): node_plan.PlannedNode(_serial(number), name) for number, name in enumerate(NAMES)}
        site, firmware = practice_site.make_site(folder), practice_site.make_firmware(folder)
        shared = node_day.shared(site, firmware, "TS-1")
        day = node_day.Day(lambda: boards.linked_boards(links), planned, shared, nodes, view)
        work = threading.Thread(target=day.run, args=(PARALLEL, 0))
        work.start()
        _wait(lambda: sum(bool(node.reason) or node.works for node in nodes.nodes()) > PARALLEL)
        console.print(view.picture())
        work.join()
    return "node-provision", TITLE, console


def _serial(number: int) -> str:
    return f"E6605838834{number:05X}"


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"no board was through within {TIMEOUT_S:.0f} s")
        time.sleep(0.02)
