"""The live view of `tools/demo`: nodes, gateway, ledger and loan on one screen, once a second."""

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tallystick_edge.log import Log
from tallystick_proof import entry
from tallystick_tools.demo_plan import PLACES, WARM_LIMIT_TEXT
from tallystick_tools.demo_world import World
from tallystick_wire import reading
from tallystick_wire.errors import WireError
from tallystick_wire.senml import Decimal

REFRESH_S = 1.0
TREND_READINGS = 40  # one character each: fits 80 columns beside the other figures
BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=*#%@"
COLDEST, WARMEST = 0.0, 20.0  # degrees Celsius at the ends of the bars
WARM_LIMIT = float(WARM_LIMIT_TEXT)


def watch(world: World) -> None:
    """Until Ctrl-C. Without a terminal: one line a second instead of a screen."""
    console = Console()
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            temperatures = recent_temperatures(world)
            live.update(screen(world, temperatures, ascii_only(console)), refresh=True)
            time.sleep(REFRESH_S)


def ascii_only(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")


def recent_temperatures(world: World) -> dict[str, list[float]]:
    """kid hex -> the last temperatures in the gateway's log, oldest first."""
    found: dict[str, list[float]] = {key[:16]: [] for key in world.node_keys}
    log = Log.read_only(world.gateway_log)
    try:
        first = max(0, len(log) - 2 * TREND_READINGS * len(PLACES))
        rows = [data for _, data in log.rows(first)]
    finally:
        log.close()
    for data in rows:
        opened = open_reading(data)
        if opened is not None and opened.kid.hex() in found:
            value = opened.pack.get("t")
            if isinstance(value, Decimal):
                found[opened.kid.hex()].append(value.mantissa * 10.0**value.exponent)
    return {kid: values[-TREND_READINGS:] for kid, values in found.items()}


def open_reading(data: bytes) -> reading.Reading | None:
    """The reading in a gateway entry, or None for the gateway's own notes."""
    opened = entry.GatewayEntry.decode(data)
    if opened.kind != entry.READING or not isinstance(opened.body, bytes):
        return None
    try:
        return reading.parse(opened.body)
    except WireError:
        return None


def screen(world: World, temperatures: dict[str, list[float]], plain: bool) -> Group:
    status = world.api("GET", "/status")
    loan = world.api("GET", f"/v1/loans/{world.loan}")
    return Group(
        Panel(nodes_table(world, status, temperatures, plain), title="nodes", border_style="dim"),
        Panel(ledger_line(world, status), title="gateway and ledger", border_style="dim"),
        Panel(loan_text(loan), title="loan", border_style="red" if loan["status"] != "active" else "green"),
        Text("Ctrl-C stops everything", style="dim"),
    )


def nodes_table(world: World, status: dict[str, Any], temperatures: dict[str, list[float]], plain: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("place", "last", "valid", "temperature"):
        table.add_column(title)
    listed = {node["kid"]: node for node in status["nodes"]}
    for place, key in zip(PLACES, world.node_keys, strict=True):
        values = temperatures[key[:16]]
        last = f"{values[-1]:5.2f} C" if values else "-"
        # Never colour alone: a warm value also carries a mark.
        warm = bool(values) and values[-1] > WARM_LIMIT
        shown = Text(last + (" !" if warm else "  "), style="bold red" if warm else "")
        valid = listed.get(key[:16], {}).get("readings", {}).get("valid", 0)
        table.add_row(place, shown, str(valid), bars(values, plain))
    return table


def bars(values: list[float], plain: bool) -> str:
    """One character a reading, between COLDEST and WARMEST."""
    steps = ASCII_BARS if plain else BARS
    spread = (WARMEST - COLDEST) / len(steps)
    return "".join(steps[max(0, min(len(steps) - 1, int((value - COLDEST) / spread)))] for value in values)


def ledger_line(world: World, status: dict[str, Any]) -> Text:
    log = Log.read_only(world.gateway_log)
    try:
        rows, waiting = len(log), log.backlog()
    finally:
        log.close()
    age_s = max(0, time.time() - (status["published_latest_ms"] or 0) / 1000)
    return Text(
        f"gateway log {rows} entries, {waiting} not yet confirmed; ledger {status['size']} entries, "
        f"{status['published_size']} witnessed {age_s:.0f} s ago"
    )


def loan_text(loan: dict[str, Any]) -> Text:
    text = Text(f"{loan['principal']['text']} against {loan['lot']}: {loan['status']}")
    call = loan["margin_call"]
    if call:
        text.append(f"\nmargin call: {call['amount']['text']}, because of {', '.join(loan['broken'])}", style="bold")
    return text
