"""`tallystick node provision|list|place|identify|survey`: many nodes in a day, and where they are afterwards."""

import json as json_module
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from tallystick_provisioning import boards as board_sources
from tallystick_provisioning import (
    bootsel_drives,
    flash_board,
    node_day,
    node_plan,
    node_survey,
    node_view,
    tag_words,
)
from tallystick_provisioning import (
    interpreter as interpreters,
)
from tallystick_provisioning.boards import Board
from tallystick_provisioning.errors import BoardLost, InterpreterError, PlanError
from tallystick_provisioning.esp_image import EspImage
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.interpreter import Interpreter
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.node_day import Day, now_ms
from tallystick_provisioning.node_table import NodeTable
from tallystick_provisioning.node_watch import MAX_PARALLEL, PARALLEL
from tallystick_provisioning.provision_node import NodePlan
from tallystick_provisioning.serial_port import SerialPort
from tallystick_provisioning.uf2_image import Uf2Image
from tallystick_wire import message

DEFAULT_TABLE = Path("nodes.db")


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
        raise PlanError(f"parallel: must be 1 to {MAX_PARALLEL}")
    find = board_sources.source(boards)
    planned = node_plan.read(plan) if plan is not None else {}
    python = _Interpreter.given(interpreter, drives)
    shared = replace(node_day.shared(site_folder, firmware, model), interpreter=python.esp)
    client = None if ledger is None else LedgerClient(ledger)
    if dry_run:
        return _say_what_would_be(find(), planned, shared, python, json)
    console = Console(stderr=json)
    with NodeTable(table) as nodes:
        with node_view.NodeView(console, tag_words.choose(lang), len(planned) or count) as view:
            filled = None if python.uf2 is None else node_day.drives(python.folders, python.uf2, view, parallel)
            day = Day(find, planned, shared, nodes, view, filled)
            handled = day.run(parallel, count if watch else 0)
        return _end(day, handled, client, console, json)


@dataclass(frozen=True, slots=True)
class _Interpreter:
    """What was given to put onto blank boards; both None: nothing."""

    file: Interpreter | None
    folders: list[Path]

    @property
    def esp(self) -> EspImage | None:
        return self.file if isinstance(self.file, EspImage) else None

    @property
    def uf2(self) -> Uf2Image | None:
        return self.file if isinstance(self.file, Uf2Image) else None

    @classmethod
    def given(cls, path: Path | None, drives: Path | None) -> "_Interpreter":
        one = cls(None if path is None else interpreters.load(path), [])
        if drives is not None and one.uf2 is None:
            raise PlanError("drives: only with --interpreter FILE.uf2: no other board appears as a drive")
        if drives is not None and not drives.is_dir():
            raise PlanError(f"drives: {drives}: no such folder")
        return cls(one.file, bootsel_drives.default_folders() if drives is None else [drives])


def _end(day: Day, handled: set[str], client: LedgerClient | None, console: Console, json: bool) -> int:
    """Post what waits, and report."""
    outbox = day.shared.job.outbox
    refused = [] if client is None else [one.refused for one in client.deliver(outbox) if one.refused is not None]
    waiting = len(outbox.waiting())
    rows = [node for node in day.nodes.nodes() if node.serial in handled]
    drives = [] if day.drives is None else day.drives.reports
    if json:
        report: dict[str, Any] = {"nodes": [node.value() for node in rows], "waiting": waiting, "refused": refused}
        report["drives"] = [drive.value() for drive in drives]
        print(json_module.dumps(report, indent=2))
    else:
        node_view.show_list(console, rows)
        if waiting:
            console.print(f"{waiting} enrolments wait in {outbox.folder}: they go out with the next run")
        for reason in refused:
            console.print(f"an enrolment was refused: {reason}", highlight=False, soft_wrap=True, markup=False)
    failed = [drive.reason for drive in drives if drive.reason]
    return DONE if all(node.works for node in rows) and not refused and not failed else REFUSED


def _say_what_would_be(
    connected: list[Board],
    planned: dict[str, node_plan.PlannedNode],
    shared: NodePlan,
    python: _Interpreter,
    json: bool,
) -> int:
    """For --dry-run."""
    size = sum(len(content) for _, content in shared.files)
    origin = shared.job.trust.origin
    states = [(board, _state(board, connected, python)) for board in connected]
    missing = sorted(set(planned) - {board.serial for board in connected})
    drives = [] if python.uf2 is None else bootsel_drives.connected(python.folders)
    waiting = [(drive.name, _drive_state(drive, python.uf2)) for drive in drives]
    if json:
        found = [{"serial": board.serial, "port": board.port, "state": state} for board, state in states]
        report: dict[str, Any] = {"boards": found, "missing": missing, "files": len(shared.files), "bytes": size}
        report["drives"] = [{"drive": name, "state": state} for name, state in waiting]
        print(json_module.dumps(report))
        return DONE
    if python.file is not None:
        print(f"would put {interpreters.in_words(python.file)}, onto boards without MicroPython")
    print(f"would copy {len(shared.files)} files, {size} bytes, to blank boards and enrol them in {origin}")
    for board, state in states:
        row = planned.get(board.serial)
        print(f"{board.serial} on {board.port}: {state}; {'not in the plan' if row is None else row.name or 'no name'}")
    for name, state in waiting:
        print(f"{name}: {state}")
    print(f"{len(connected)} boards connected; {len(missing)} of the plan are not")
    print("\n".join(f"  {one}" for one in missing), end="\n" if missing else "")
    return DONE


def _state(board: Board, connected: list[Board], python: _Interpreter) -> str:
    """What a board is, without resetting it: its loader is not asked."""
    if board.serial in board_sources.twins(connected):
        return board_sources.TWINS
    try:
        if flash_board.is_blank(board.port):
            return "blank"
        return "runs a program" if python.esp is None else "runs a program, or needs MicroPython"
    except BoardLost as error:
        return str(error)


def _drive_state(drive: bootsel_drives.Drive, image: Uf2Image | None) -> str:
    try:
        if image is not None:
            bootsel_drives.check(drive, image)
        return "needs MicroPython"
    except InterpreterError as error:
        return str(error)


@reporting()
def list_nodes(*, table: Path = DEFAULT_TABLE, json: bool = False) -> int:
    """List the site's nodes: board, name, place, state.

    Example:
        tallystick node list --json

    Parameters
    ----------
    table
        The site's list of nodes.
    json
        Print JSON.
    """
    with NodeTable(_existing(table)) as nodes:
        rows = nodes.nodes()
    if json:
        print(json_module.dumps([node.value() for node in rows], indent=2))
    else:
        node_view.show_list(Console(), rows)
    return DONE


@reporting()
def place(node: str, where: str, *, table: Path = DEFAULT_TABLE, dry_run: bool = False) -> int:
    """Write down where a node hangs. It stays in the site's list: the ledger knows a commitment only.

    Example:
        tallystick node place E66058388347A12B "Rotterdam / 3 / A12"

    Parameters
    ----------
    node
        Serial number, kid, thumbprint or name: what a scanner reads from the label.
    where
        The place: what a scanner reads from the shelf.
    table
        The site's list of nodes.
    dry_run
        Find the node, change nothing.
    """
    with NodeTable(_existing(table)) as nodes:
        found = nodes.find(node)
        if not dry_run:
            nodes.place(found.serial, where, now_ms())
    verb = "would hang" if dry_run else "hangs"
    print(f"{found.name} ({found.serial}): {verb} at {where}, before: {found.place or '-'}")
    return DONE


@reporting()
def identify(node: str, *, boards: str = "usb", table: Path = DEFAULT_TABLE) -> int:
    """Make a connected node show itself (its light changes).

    Example:
        tallystick node identify "Cold room 3 north"

    Parameters
    ----------
    node
        Serial number, kid, thumbprint or name.
    boards
        `usb`, or a folder of links to serial ports.
    table
        The site's list of nodes, for names.
    """
    serial = node
    if table.is_file():
        with NodeTable(table) as nodes:
            known = any(node in one.called for one in nodes.nodes())
            serial = nodes.find(node).serial if known else node
    connected = board_sources.source(boards)()
    if serial in board_sources.twins(connected):
        raise PlanError(f"{serial}: {board_sources.TWINS}")
    board = next((one for one in connected if one.serial == serial), None)
    if board is None:
        raise PlanError(f"no board {serial} is connected; a node at a gateway: `tallystick gateway identify`")
    with closing(SerialPort(board.port)) as port:
        taken = port.send(message.build_identify())
    print(f"{serial}: {'asked to show itself' if taken else 'does not take the message'}")
    return DONE if taken else REFUSED


@reporting()
def survey(status: Path, *, table: Path = DEFAULT_TABLE, within_s: int = 3600, json: bool = False) -> int:
    """Which of the site's nodes the gateway hears, and how well their radios hear: its `status --json` and the list.

    Exit code 1: some working node is not heard.

    Example:
        tallystick gateway status gateway/gateway.toml --json > status.json
        tallystick node survey status.json

    Parameters
    ----------
    status
        The gateway's `status --json`.
    table
        The site's list of nodes.
    within_s
        A node that was silent longer counts as not heard.
    json
        Print JSON.
    """
    with NodeTable(_existing(table)) as nodes:
        heard = node_survey.compare(nodes.nodes(), node_survey.read_status(status), now_ms(), within_s)
    if json:
        print(json_module.dumps([one.value() for one in heard], indent=2))
    else:
        print("\n".join(one.line() for one in heard))
        print(node_survey.summary(heard, within_s))
    return DONE if all(one.heard for one in heard) else REFUSED


def _existing(table: Path) -> Path:
    if not table.is_file():
        raise PlanError(f"{table}: no list of nodes; `tallystick node provision` makes one")
    return table
