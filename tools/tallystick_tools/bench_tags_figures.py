"""The figures of `tallystick bench nfc` as people and programs read them."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tallystick_tools.bench_figures import machine
from tallystick_tools.bench_tags import CHIPS, STEPS

NOTES = (
    "no radio: both ends are in one process, so these are the costs of computing; a real tag adds some 10 to 20 ms a"
    " command",
    "ours: signature checked, five keys or password, settings, journal on disk, verified after a fresh activation",
    "nfcpy: the same link written as one record, and read after a fresh activation",
)
TITLES = {"ntag424": "NTAG 424 DNA", "ntag215": "NTAG215"}


def peer() -> str:
    return f"nfcpy {version('nfcpy')}: one NDEF write of the same link on the same kind of tag, in the same round"


def as_json(figures: Mapping[str, float]) -> dict[str, Any]:
    rounded = {name: value if isinstance(value, int) else float(f"{value:.4g}") for name, value in figures.items()}
    return {"figures": rounded, "machine": machine(), "peer": peer()}


def show(console: Console, figures: Mapping[str, float]) -> None:
    """A column for each chip: the rates, then where the time goes."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("for a tag", no_wrap=True)
    for chip in CHIPS:
        table.add_column(TITLES[chip], justify="right", no_wrap=True)
    kinds = [chip.removeprefix("ntag") for chip in CHIPS]
    rows = [
        ("ours: tags a minute", "tags_per_minute", "{:,.0f}"),
        ("nfcpy's plain write: tags a minute", "raw_per_minute", "{:,.0f}"),
        ("  ours, as a part of it", "ratio", "x {:.3f}"),
        ("ours: commands", "apdus_per", "{:,}"),
        ("nfcpy's plain write: commands", "raw_apdus_per", "{:,}"),
        ("waiting for the tag", "waiting_share", "{:.0%}"),
        ("journal, until the disk has it", "journal_share", "{:.0%}"),
    ]
    for title, name, form in rows:
        table.add_row(title, *(form.format(figures[f"{name}_{kind}"]) for kind in kinds))
    for step in STEPS:
        shown = [figures.get(f"{step}_ms_{kind}") for kind in kinds]
        table.add_row(f"  {step}", *("" if value is None else f"{value:.2f} ms" for value in shown))
    console.print(table)
    here = ", ".join(f"{name} {value}" for name, value in machine().items())
    for line in (*NOTES, f"peer: {peer()}", f"machine: {here}"):
        console.print(line, highlight=False, soft_wrap=True)
