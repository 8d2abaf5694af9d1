"""What the rounds of a bench come to: a table for people, figures for programs."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from tallystick_tools.bench_measure import PEER, Round, cpu_s, ratio, wall_s

CPU_INFO = Path("/proc/cpuinfo")


class Step(NamedTuple):
    """`counted`: each reading passes it once, on a host; the whole is the sum of these."""

    name: str
    title: str
    counted: bool


STEPS = (
    Step("node", "node: measure and sign (MicroPython)", False),
    Step("frame", "gateway: frames out of bytes", True),
    Step("parse", "  only parse a reading", False),
    Step("judge", "gateway: parse, verify, judge", True),
    Step("commit-1", "  log with 1 row a commit", False),
    Step("commit-200", "gateway: log, 200 rows a commit", True),
    Step("sync", "gateway: sign the tree, make the batch", True),
    Step("door", "ledger: take the batch, judge, keep", True),
    Step("publish", "ledger: sequence, witness, publish", True),
    Step("evidence", "ledger: build a bundle of all", True),
    Step("verify", "anyone: verify that bundle", True),
)


def peer() -> str:
    return f"PyNaCl {version('pynacl')}: crypto_sign_open, one Ed25519 verification a reading"


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    models = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith(("model name", "Model"))]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }


def figures(rounds: Sequence[Round]) -> dict[str, float]:
    """NAME.per_cpu_s, .ratio (to the peer), .per_s (on the clock), .share (of the whole); `whole` and `peer` too."""
    whole_s = _whole_s(rounds)
    found = {f"{PEER}.per_cpu_s": 1 / cpu_s(rounds, PEER)}
    for step in STEPS:
        found[f"{step.name}.per_cpu_s"] = 1 / cpu_s(rounds, step.name)
        found[f"{step.name}.ratio"] = ratio(rounds, step.name)
        if wall_s(rounds, step.name):
            found[f"{step.name}.per_s"] = 1 / wall_s(rounds, step.name)
        if step.counted:
            found[f"{step.name}.share"] = cpu_s(rounds, step.name) / whole_s
    found |= {"whole.per_cpu_s": 1 / whole_s, "whole.ratio": cpu_s(rounds, PEER) / whole_s}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def as_json(rounds: Sequence[Round]) -> dict[str, Any]:
    return {"figures": figures(rounds), "machine": machine(), "peer": peer()}


def show(console: Console, rounds: Sequence[Round], readings: int) -> None:
    """The table, and how to read it."""
    found, here = figures(rounds), machine()
    title = f"{readings} readings through each step, median of {len(rounds)} rounds"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("readings", no_wrap=True)
    for title in ("per CPU s", "x peer", "share", "per s"):
        table.add_column(title, justify="right", no_wrap=True)
    for step in STEPS:
        share = found.get(f"{step.name}.share")
        on_clock = found.get(f"{step.name}.per_s")
        table.add_row(
            step.title,
            f"{found[f'{step.name}.per_cpu_s']:,.0f}",
            f"{found[f'{step.name}.ratio']:.2f}",
            "" if share is None else f"{share:.0%}",
            "" if on_clock is None else f"{on_clock:,.0f}",
            style="" if step.counted else "dim",
        )
    table.add_section()
    table.add_row("the whole on hosts", f"{found['whole.per_cpu_s']:,.0f}", f"{found['whole.ratio']:.2f}", "100%", "")
    table.add_row("peer: one verification", f"{found[f'{PEER}.per_cpu_s']:,.0f}", "1.00", "", "")
    console.print(table)
    for line in (f"peer: {peer()}", f"machine: {', '.join(f'{name} {value}' for name, value in here.items())}"):
        console.print(line, highlight=False, soft_wrap=True)


def _whole_s(rounds: Sequence[Round]) -> float:
    return sum(cpu_s(rounds, step.name) for step in STEPS if step.counted)


def _cpu_lines() -> list[str]:
    """Linux says it here; elsewhere the architecture must do."""
    return CPU_INFO.read_text("utf-8").splitlines() if CPU_INFO.exists() else []
