"""`cloud status` as a person reads it."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_MS = 1000


def show(console: Console, ledger: dict[str, Any], loans: list[dict[str, Any]], now_ms: int) -> None:
    """Ledger, nodes, loans. Everything that came from outside is escaped."""
    console.print(f"[bold]{escape(ledger['origin'])}[/]  {ledger['size']} entries, {ledger['pending']} pending")
    console.print(_last_proof(ledger, now_ms))
    console.print(_nodes(ledger["nodes"]))
    if ledger["unknown_nodes"]:
        console.print(f"readings of nodes that nobody enrolled: {', '.join(map(escape, ledger['unknown_nodes']))}")
    console.print(_gateways(ledger["gateways"]))
    if loans:
        console.print(_loans(loans))
    else:
        console.print("no loans")


def _last_proof(ledger: dict[str, Any], now_ms: int) -> str:
    if not ledger["published_size"]:
        return "[yellow]nothing is published yet[/]"
    latest_ms = ledger["published_latest_ms"]
    if latest_ms is None:
        return f"last proof: {ledger['published_size']} entries, [yellow]without witnesses[/]"
    return f"last proof: {ledger['published_size']} entries, witnessed {max(0, now_ms - latest_ms) // _MS} s ago"


def _nodes(nodes: list[dict[str, Any]]) -> Table:
    table = _table("Nodes", "node", "model", "serial", "last reading", "valid", "other verdicts")
    for node in nodes:
        readings = dict(node["readings"])
        valid = readings.pop("valid", 0)
        others = ", ".join(f"{count} {verdict}" for verdict, count in readings.items())
        revoked = f" [red]({escape(node['revoked'])})[/]" if node["revoked"] else ""
        table.add_row(
            node["kid"] + revoked,
            escape(str(node["model"])),
            escape(str(node["serial"])),
            str(node["last_seq"] or "-"),
            str(valid),
            escape(others) or "-",
        )
    return table


def _gateways(gateways: list[dict[str, Any]]) -> Table:
    table = _table("Gateways", "gateway", "epoch", "entries", "state")
    for gateway in gateways:
        name = gateway["thumbprint"][:16]
        for epoch in gateway["epochs"] or [{"number": "-", "size": 0, "frozen": False}]:
            state = "[red]frozen[/]" if epoch["frozen"] else escape(gateway["revoked"] or "open")
            table.add_row(name, str(epoch["number"]), str(epoch["size"]), state)
    return table


def _loans(loans: list[dict[str, Any]]) -> Table:
    table = _table("Loans", "loan", "lot", "status", "principal", "base", "decisions", "covenants broken")
    for loan in loans:
        table.add_row(
            loan["id"][:16],
            escape(loan["lot"]),
            escape(loan["status"]),
            escape(loan["principal"]["text"]),
            escape(loan["base"]["text"]),
            str(loan["decisions"]),
            escape(", ".join(loan["broken"])) or "-",
        )
    return table


def _table(title: str, name: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(name, no_wrap=True)  # a name is for copying: never broken, however narrow the terminal
    for column in columns:
        table.add_column(column)
    return table
