"""`tallystick node provision`: connected boards become working nodes, from wholly blank ones on."""

import json as json_module
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from tallystick_fleet import boards as board_sources
from tallystick_fleet import node_day, node_plan, node_view, provision_preview
from tallystick_fleet.node_day import Day
from tallystick_fleet.node_table import DEFAULT_TABLE, NodeTable
from tallystick_fleet.node_watch import MAX_PARALLEL, PARALLEL
from tallystick_fleet.provision_asked import NO_PYTHON, Asked, Erase, NewBoards, Python
from tallystick_fleet.unseen_typing import unseen_typing
from tallystick_provisioning import screen_words
from tallystick_provisioning.errors import UsageError
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
    new: NewBoards = NO_PYTHON,
    table: Path = DEFAULT_TABLE,
    parallel: int = PARALLEL,
    watch: bool = False,
    count: int | None = None,
    lang: Literal["en", "zh"] | None = None,
    json: bool = False,
    dry_run: bool = False,
) -> int:
    """Turn connected boards into working nodes: files, key, enrolment, link key, name, first verified reading.

    With --interpreter wholly blank boards get MicroPython first. Nothing that holds a program is written over, unless
    --erase is given and you agree: then its flash is erased first. A node is not even erased then.

    Without --watch it works on what is connected and ends. With it, it waits for more: plug in, wait for the line,
    pull out, next. A board that failed is tried again when it is plugged in again. Exit code 1: some board failed.

    Example:
        tallystick node provision site --firmware build/firmware/armv6m --model "TS-1" --plan nodes.csv --watch
        tallystick node provision site --firmware build/firmware/xtensawin --model "TS-2" --watch
        --interpreter ESP32_GENERIC.bin --erase

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
        Check keys, files and plan, say which boards are connected, change nothing; with --erase, what would be erased.
    """
    if not 1 <= parallel <= MAX_PARALLEL:
        raise UsageError(f"parallel: must be 1 to {MAX_PARALLEL}")
    find = board_sources.source(boards)
    python = Python.given(new.interpreter, new.drives)
    shared = replace(node_day.shared(site_folder, firmware, model), interpreter=python.esp)
    client = None if ledger is None else LedgerClient(ledger)
    planned = {} if plan is None else node_plan.read(plan)
    asked = Asked(find, planned, shared, python, parallel, client, json, Erase.given(new, python))
    return provision_preview.say(asked) if dry_run else _carry_out(asked, table, lang, watch, count)


def _carry_out(asked: Asked, table: Path, lang: Literal["en", "zh"] | None, watch: bool, count: int | None) -> int:
    console = Console(stderr=asked.json)
    with NodeTable(table) as nodes:
        with node_view.NodeView(console, screen_words.choose(lang), len(asked.planned) or count) as view:
            day = asked.day(nodes, view)
            with unseen_typing() if asked.erase else nullcontext():
                handled = day.run(asked.parallel, count if watch else 0)
        return _end(day, handled, asked.client, console, asked.json)


def _end(day: Day, handled: set[str], client: LedgerClient | None, console: Console, json: bool) -> int:
    """Post what waits, and report."""
    outbox = day.shared.job.outbox
    deliveries = [] if client is None else client.deliver(outbox)
    refused = [one.refused for one in deliveries if one.refused is not None and not one.was_enrolled]
    again = sum(one.was_enrolled for one in deliveries)
    waiting, why = len(outbox.waiting()), next((f" ({one.waits})" for one in deliveries if one.waits), "")
    rows = [node for node in day.nodes.nodes() if node.serial in handled]
    drives = [] if day.drives is None else day.drives.reports
    failed = [drive.reason for drive in drives if drive.reason]
    failed += [f"{serial} is not in the list as it is: {one.reason}" for serial, one in day.unlisted.items()]
    if json:
        report: dict[str, Any] = {"nodes": [node.value() for node in rows], "waiting": waiting, "refused": refused}
        report["drives"] = [drive.value() for drive in drives]
        report["unlisted"] = {serial: one.reason for serial, one in day.unlisted.items()}
        print(json_module.dumps(report, indent=2))
    else:
        node_view.show_list(console, rows)
        if waiting:
            text = f"{waiting} enrolments wait in {outbox.folder}{why}: they go out with the next run"
            console.print(text, highlight=False, soft_wrap=True, markup=False)
        if again:
            console.print(f"{again} nodes were enrolled already, from another list: that enrolment stands")
        for text in [*(f"an enrolment was refused: {reason}" for reason in refused), *failed]:
            console.print(text, highlight=False, soft_wrap=True, markup=False)
    return DONE if all(node.works for node in rows) and not refused and not failed else REFUSED


