"""`tallystick node update` without a port: one offer for every connected node of the site's list."""

from json import dumps
from pathlib import Path

from rich.console import Console

from tallystick_fleet import boards as board_sources
from tallystick_fleet import rollout_candidates
from tallystick_fleet.node_day import now_ms
from tallystick_fleet.node_rollout import Plan, Result, RollOut, plan
from tallystick_fleet.node_table import NodeTable, existing
from tallystick_fleet.node_watch import MAX_PARALLEL
from tallystick_provisioning import site
from tallystick_provisioning.errors import UsageError
from tallystick_provisioning.exit_codes import DONE, REFUSED
from tallystick_provisioning.offers import Offer
from tallystick_provisioning.trust_setup import TRUST, read_trust


def roll_out(
    one: Offer,
    site_key: Path,
    boards: str,
    table: Path,
    outdated: bool,
    canary: int,
    parallel: int,
    dry_run: bool,
    json: bool,
) -> int:
    """Exit code 1: a node failed, and what came after it was left alone."""
    if not 1 <= parallel <= MAX_PARALLEL:
        raise UsageError(f"parallel: must be 1 to {MAX_PARALLEL}")
    existing(table, ", or give --port")
    if canary < 0:
        raise UsageError("canary: must be 0 or more")
    trust, site_secret = read_trust(site_key.parent / TRUST), site.load(site_key)
    console = Console(stderr=json)
    find = board_sources.source(boards)
    with NodeTable(table) as nodes:
        found = rollout_candidates.connected_nodes(find(), nodes)
        if outdated:
            ask = rollout_candidates.asker(one, site_secret)
            candidates = rollout_candidates.asked(found, one, ask, nodes, parallel, now_ms())
        else:
            candidates = rollout_candidates.unasked(found)
        planned = plan(candidates, one, outdated, canary)
        _say(console, planned, dry_run)
        if dry_run:
            if json:
                print(dumps(_value(planned), indent=2))
            return DONE

        def done(result: Result) -> None:
            if result.is_good:
                nodes.took(result.serial, one.manifest.kind, one.manifest.version, now_ms())
                nodes.seen(result.serial, result.firmware, now_ms())
            console.print(_line(result), highlight=False, soft_wrap=True, markup=False)

        def progress(serial: str, chunk: int, chunks: int) -> None:
            if console.is_terminal and chunks:
                console.print(f"{serial}: {100 * (chunk + 1) // chunks} %", end="\r", highlight=False, markup=False)

        results = RollOut(one, site_secret, trust.origin, trust.pen, progress, find, done).run(
            planned, parallel
        )
    left = [result for result in results if not result.is_good]
    if json:
        print(dumps({"results": [result.value() for result in results]}, indent=2))
    else:
        console.print(f"{len(results) - len(left)} of {len(results)} nodes run version {one.manifest.version}")
    return REFUSED if left else DONE


def _value(planned: Plan) -> dict[str, object]:
    todo = [
        {"serial": one.board.serial, "name": one.name, "canary": number < planned.canaries}
        for number, one in enumerate(planned.todo)
    ]
    skipped = [{"serial": one.board.serial, "name": one.name, "reason": why} for one, why in planned.skipped]
    return {"todo": todo, "skipped": skipped}


def _say(console: Console, planned: Plan, dry_run: bool) -> None:
    verb = "would get" if dry_run else "will get"
    for number, candidate in enumerate(planned.todo):
        role = "canary" if number < planned.canaries else "then"
        text = f"{role}: {candidate.name} ({candidate.board.serial}) {verb} it"
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    for candidate, why in planned.skipped:
        text = f"skipped: {candidate.name} ({candidate.board.serial}): {why}"
        console.print(text, highlight=False, soft_wrap=True, markup=False)


def _line(result: Result) -> str:
    state = f"ok, {result.word}" if result.is_good else f"FAILED: {result.reason}"
    return f"{'canary ' if result.canary else ''}{result.name} ({result.serial}): {state}"
