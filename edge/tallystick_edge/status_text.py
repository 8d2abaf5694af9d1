"""The status of a gateway for a person: lines, each with how urgent it is. Colour only repeats what the words say."""

from rich.console import Console
from rich.text import Text

from tallystick_edge.status import LinkStatus, NodeStatus, Status

PLAIN, GOOD, LATER, NOW = "", "green", "yellow", "bold red"
LATE_SYNC_MS = 600_000  # ten minutes without the ledger: look at the network
SILENT_NODE_MS = 3_600_000  # an hour without a node: look at the node

Line = tuple[str, str]  # text, style


def show(status: Status, now_ms: int) -> None:
    """Print it, without colours where they would not be understood (a pipe, NO_COLOR, a simple terminal)."""
    console = Console(highlight=False, soft_wrap=True)
    for text, style in lines(status, now_ms):
        console.print(Text(text, style))


def lines(status: Status, now_ms: int) -> list[Line]:
    """The status at `now_ms`."""
    found = [
        (f"gateway {status.thumbprint} of {status.origin}", PLAIN),
        ("running", GOOD) if status.running else ("not running", NOW),
        (
            f"log: {status.rows} entries, epoch {status.epoch}; {status.confirmed_size} of {status.size} at the "
            f"ledger, {status.witnessed_size} witnessed, {status.backlog} waiting",
            PLAIN,
        ),
        _sync_line(status, now_ms),
    ]
    if status.bad_rows:
        found.append((f"{status.bad_rows} rows cannot be read", NOW))
    if status.running:
        found += [_link_line(link) for link in status.links]
    return found + [_node_line(node, now_ms) for node in status.nodes]


def _sync_line(status: Status, now_ms: int) -> Line:
    known = f"{status.statements} enrolments and revocations known"
    if status.last_sync_ms is None:
        return f"last sync: never; {known}", LATER
    age_ms = now_ms - status.last_sync_ms
    return f"last sync: {_ago(age_ms)} ago; {known}", GOOD if age_ms < LATE_SYNC_MS else LATER


def _link_line(link: LinkStatus) -> Line:
    if link.up:
        return f"link {link.link}: up", GOOD
    return f"link {link.link}: down: {link.why}", LATER


def _node_line(node: NodeStatus, now_ms: int) -> Line:
    if not node.enrolled:
        return f"node {node.kid}: not enrolled, {node.waiting} readings kept for it", LATER
    words = [f"node {node.kid}: up to {node.high}"]
    if node.gaps:
        words.append("missing " + ", ".join(f"{first}-{last}" for first, last in node.gaps))
    if node.given_up is not None:
        words.append(f"gave up {node.given_up[0]}-{node.given_up[1]}")
    if node.drift is not None:
        words.append(f"clock {node.drift.ppm:+.1f} ppm (within {node.drift.uncertainty_ppm:.1f})")
    if node.radio_dbm is not None:
        words.append(f"hears its network at {node.radio_dbm} dBm")
    if node.forks:
        words.append(f"{node.forks} FORKS")
    if node.revoked:
        words.append("revoked")
    words.append("never heard" if node.received_ms is None else f"heard {_ago(now_ms - node.received_ms)} ago")
    return ", ".join(words), _urgency(node, now_ms)


def _urgency(node: NodeStatus, now_ms: int) -> str:
    if node.forks or node.revoked:
        return NOW
    silent = node.received_ms is None or now_ms - node.received_ms > SILENT_NODE_MS
    return LATER if silent or node.gaps or node.given_up is not None else GOOD


def _ago(duration_ms: int) -> str:
    seconds = max(0, duration_ms // 1000)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
