"""The figures of `tallystick bench node` as people and programs read them."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from tallystick_tools.bench_figures import machine
from tallystick_tools.build_firmware import ARCHITECTURES, BOARDS


class Row(NamedTuple):
    """`figure` must not be above `bar`; `pure` is the same figure of the signer in plain integers."""

    title: str
    figure: str
    bar: float | None = None
    pure: str | None = None


ROWS = (
    Row("sign 120 bytes: M3 instructions", "sign_m3_instructions", 8_000_000, "sign_pure_m3_instructions"),
    Row("  the key, once at boot: the same", "expand_m3_instructions", None, "expand_pure_m3_instructions"),
    Row("sign: times PyNaCl, on this computer", "sign_vs_pynacl", 16, "sign_pure_vs_pynacl"),
    Row("encode and store: M3 instructions", "encode_store_m3_instructions", 1_600_000),
    Row("reading of t, h and b: bytes", "reading_bytes", 210),
    Row("100 readings: flash erases", "erases_per_100_readings", 6),
    Row("  a year of the worst block: erases", "worst_block_erases_a_year", 100_000),
    Row("signer: bytes of heap after import", "heap_after_import_bytes", 13 * 1024),
    Row("  a signature completes in a heap of", "signs_in_heap_bytes", 32 * 1024),
)
NOTES = (
    "M3 instructions: exact, on an emulated Cortex-M3, of the worst of several keys and messages; a core takes at least"
    " one cycle each",
    "a signature: with a ready key; its SHA-512 and the scalar arithmetic are in it, the key's expansion is not",
    "encode and store: the pack, the COSE message, its hash, the segment with its CRC, number reservations, garbage"
    " collection in a heap of 128 KB; not in it: signing, measuring, LittleFS (the emulated board has files in RAM)",
    "erases: everything counted, from a formatted flash on (LittleFS in MicroPython on this computer)",
)


def peer() -> str:
    return f"PyNaCl {version('pynacl')}: crypto_sign of 120 bytes, its key ready"


def as_json(figures: Mapping[str, float]) -> dict[str, Any]:
    return {"figures": {name: _number(value) for name, value in figures.items()}, "machine": machine(), "peer": peer()}


def show(console: Console, figures: Mapping[str, float]) -> None:
    """The figures beside their bars, then the sizes."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("for a reading", no_wrap=True)
    for title in ("found", "at most", "pure version"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in ROWS:
        found = figures[row.figure]
        above = row.bar is not None and found > row.bar
        pure = "" if row.pure is None else _text(figures[row.pure])
        bar = "" if row.bar is None else _text(row.bar)
        style, mark = ("bold red", "! ") if above else ("", "")
        table.add_row(row.title, mark + _text(found), bar, pure, style=style)
    console.print(table)
    sizes = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    sizes.add_column(".mpy files: bytes")
    for title in ("all", "signer", "pure signer"):
        sizes.add_column(title, justify="right", no_wrap=True)
    for name in BOARDS:
        found_bytes = [figures[f"mpy_{name}{kind}_bytes"] for kind in ("", "_signer", "_signer_pure")]
        sizes.add_row(f"{name}: {ARCHITECTURES[name]}", *map(_text, found_bytes))
    console.print(sizes)
    here = ", ".join(f"{name} {value}" for name, value in machine().items())
    for line in (*NOTES, f"peer: {peer()}", f"machine: {here}"):
        console.print(line, highlight=False, soft_wrap=True)


def _number(value: float) -> float:
    """Counts stay whole; what was divided gets four digits."""
    return value if isinstance(value, int) else float(f"{value:.4g}")


def _text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if value < 10_000 else f"{value:,.0f}"
