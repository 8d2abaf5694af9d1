"""`tallystick node provision`: connected boards become working nodes, from wholly blank ones on."""

import json as json_module
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from tallystick_fleet import boards as board_sources
from tallystick_fleet import bootsel_drives, flash_board, node_day, node_plan, node_view
from tallystick_fleet import interpreter as interpreters
from tallystick_fleet.boards import Board, Boards
from tallystick_fleet.errors import BoardLost, InterpreterError
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.interpreter import Interpreter
from tallystick_fleet.node_day import Day
from tallystick_fleet.node_plan import PlannedNode
from tallystick_fleet.node_table import DEFAULT_TABLE, NodeTable
from tallystick_fleet.node_watch import MAX_PARALLEL, PARALLEL
from tallystick_fleet.provision_node import NodePlan
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_provisioning import screen_words
from tallystick_provisioning.errors import FileError, UsageError
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.ledger_client import LedgerClient


@reporting()
def provision(
    site_folder: Path,
    *,
    firmware: Path,
    model: str,
    ledger: str | None = None,
    plan: Path | None = None,
    boards: str = "usb",
    interpreter: Path | None = None,
    drives: Path | None = None,
    table: Path = DEFAULT_TABLE,
    parallel: int = PARALLEL,
    watch: bool = False,
    count: int | None = None,
    lang: Literal["en", "zh"] | None = None,
    json: bool = False,
    dry_run: bool = False,
) -> int:
    """Turn connected boards into working nodes: files, key, enrolment, link key, name, first verified reading.

    With --interpreter wholly blank boards get MicroPython first. Nothing that holds a program is written over.

    Without --watch it works on what is connected and ends. With it, it waits for more: plug in, wait for the line,
    pull out, next. A board that failed is tried again when it is plugged in again. Exit code 1: some board failed.

    Example:
        tallystick node provision site --firmware build/firmware/armv6m --model "TS-1" --plan nodes.csv --watch

    Parameters
    ----------
    site_folder
        Folder that `trust init` made: its node authority, site key and trust.toml are used.
    firmware
        Folder of compiled files that tools/build-firmware made for this kind of board.
    model
        Model of the boards, as on the name plate.
    ledger
        Address of the ledger; without it the enrolments wait in the outbox.
    plan
        CSV with the columns serial, name, place, certificate, due.
    boards
        `usb`, or a folder of links to serial ports whose names are serial numbers, like /dev/serial/by-id.
    interpreter
        MicroPython for these boards, of its download page: .bin for an ESP32, .uf2 for a Pico with BOOTSEL held.
    drives
        With a .uf2 file: the folder in which Picos appear as drives; default: where the desktop mounts them.
    table
        The site's list of nodes.
    parallel
        Boards at a time.
    watch
        Wait for boards until Ctrl-C.
    count
        With --watch: end after so many boards.
    lang
        Language of the view; default: the system's.
    json
        Print the report as JSON.
    dry_run
        Check keys, files and plan, say which boards are connected, change nothing.
    """
    if not 1 <= parallel <= MAX_PARALLEL:
        raise UsageError(f"parallel: must be 1 to {MAX_PARALLEL}")
    find = board_sources.source(boards)
    python = _Python.given(interpreter, drives)
    shared = replace(node_day.shared(site_folder, firmware, model), interpreter=python.esp)
    client = None if ledger is None else LedgerClient(ledger)
    asked = _Asked(find, {} if plan is None else node_plan.read(plan), shared, python, parallel, client, json)
    return _say_what_would_be(asked) if dry_run else _carry_out(asked, table, lang, watch, count)


@dataclass(frozen=True, slots=True)
class _Python:
    """MicroPython that was given for blank boards, and where drives of Picos appear."""

    file: Interpreter | None
    folders: list[Path]

    @classmethod
    def given(cls, path: Path | None, drives: Path | None) -> "_Python":
        file = None if path is None else interpreters.load(path)
        if drives is not None and not isinstance(file, Uf2Image):
            raise UsageError("drives: only with --interpreter FILE.uf2: no other board appears as a drive")
        if drives is not None and not drives.is_dir():
            raise FileError(f"{drives}: no such folder")
        if not isinstance(file, Uf2Image):
            return cls(file, [])
        return cls(file, bootsel_drives.default_folders() if drives is None else [drives])

    @property
    def esp(self) -> EspImage | None:
        return self.file if isinstance(self.file, EspImage) else None

    @property
    def uf2(self) -> Uf2Image | None:
        return self.file if isinstance(self.file, Uf2Image) else None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line asks for, read and checked."""

    find: Boards
    planned: Mapping[str, PlannedNode]
    shared: NodePlan
    python: _Python
    parallel: int
    client: LedgerClient | None
    json: bool

    def day(self, nodes: NodeTable, view: node_view.NodeView) -> Day:
        uf2 = self.python.uf2
        drives = None if uf2 is None else node_day.drives(self.python.folders, uf2, view, self.parallel)
        return Day(self.find, self.planned, self.shared, nodes, view, drives)


def _carry_out(asked: _Asked, table: Path, lang: Literal["en", "zh"] | None, watch: bool, count: int | None) -> int:
    console = Console(stderr=asked.json)
    with NodeTable(table) as nodes:
        with node_view.NodeView(console, screen_words.choose(lang), len(asked.planned) or count) as view:
            day = asked.day(nodes, view)
            handled = day.run(asked.parallel, count if watch else 0)
        return _end(day, handled, asked.client, console, asked.json)


def _end(day: Day, handled: set[str], client: LedgerClient | None, console: Console, json: bool) -> int:
    """Post what waits, and report."""
    outbox = day.shared.job.outbox
    deliveries = [] if client is None else client.deliver(outbox)
    refused = [one.refused for one in deliveries if one.refused is not None and not one.was_enrolled]
    again = sum(one.was_enrolled for one in deliveries)
    waiting = len(outbox.waiting())
    rows = [node for node in day.nodes.nodes() if node.serial in handled]
    drives = [] if day.drives is None else day.drives.reports
    failed = [drive.reason for drive in drives if drive.reason]
    if json:
        report: dict[str, Any] = {"nodes": [node.value() for node in rows], "waiting": waiting, "refused": refused}
        report["drives"] = [drive.value() for drive in drives]
        print(json_module.dumps(report, indent=2))
    else:
        node_view.show_list(console, rows)
        if waiting:
            console.print(f"{waiting} enrolments wait in {outbox.folder}: they go out with the next run")
        if again:
            console.print(f"{again} nodes were enrolled already, from another list: that enrolment stands")
        for text in [*(f"an enrolment was refused: {reason}" for reason in refused), *failed]:
            console.print(text, highlight=False, soft_wrap=True, markup=False)
    return DONE if all(node.works for node in rows) and not refused and not failed else REFUSED


def _say_what_would_be(asked: _Asked) -> int:
    """For --dry-run. No board is reset: its loader is not asked."""
    connected, files = asked.find(), asked.shared.files
    size = sum(len(content) for _, content in files)
    with ThreadPoolExecutor(asked.parallel) as pool:  # what is silent takes a second
        told = pool.map(lambda board: _state(board, connected, asked.python), connected)
        states = list(zip(connected, told, strict=True))
    missing = sorted(set(asked.planned) - {board.serial for board in connected})
    drives = _drive_states(asked.python)
    if asked.json:
        found = [{"serial": board.serial, "port": board.port, "state": state} for board, state in states]
        report: dict[str, Any] = {"boards": found, "missing": missing, "files": len(files), "bytes": size}
        report["drives"] = [{"drive": name, "state": state} for name, state in drives]
        report["interpreter"] = None if asked.python.file is None else interpreters.in_words(asked.python.file)
        print(json_module.dumps(report))
        return DONE
    if asked.python.file is not None:
        print(f"would put {interpreters.in_words(asked.python.file)}, onto boards without MicroPython")
    origin = asked.shared.job.trust.origin
    print(f"would copy {len(files)} files, {size} bytes, to blank boards and enrol them in {origin}")
    for board, state in states:
        row = asked.planned.get(board.serial)
        print(f"{board.serial} on {board.port}: {state}; {'not in the plan' if row is None else row.name or 'no name'}")
    for name, state in drives:
        print(f"{name}: {state}")
    if asked.python.folders and not drives:
        print(f"no drive of a Pico in {' or '.join(map(str, asked.python.folders))}: hold BOOTSEL while plugging it in")
    print(f"{len(connected)} boards connected; {len(missing)} of the plan are not")
    print("\n".join(f"  {one}" for one in missing), end="\n" if missing else "")
    return DONE


def _state(board: Board, connected: list[Board], python: _Python) -> str:
    if board.serial in board_sources.twins(connected):
        return board_sources.TWINS
    try:
        if flash_board.is_blank(board.port):
            return "blank"
        return "runs a program" if python.esp is None else "runs a program, or needs MicroPython"
    except BoardLost as error:
        return str(error)


def _drive_states(python: _Python) -> list[tuple[str, str]]:
    """(drive, what it is) of every Pico whose BOOTSEL is held."""
    if python.uf2 is None:
        return []
    return [(drive.name, _drive_state(drive, python.uf2)) for drive in bootsel_drives.connected(python.folders)]


def _drive_state(drive: bootsel_drives.Drive, image: Uf2Image) -> str:
    try:
        bootsel_drives.check(drive, image)
        return "needs MicroPython"
    except InterpreterError as error:
        return str(error)
