"""What a gateway holds and what the ledger confirmed, read from its log beside the running gateway. Writes nothing."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tallystick_edge import recovery
from tallystick_edge.drift import Drift, Watch, estimate
from tallystick_edge.errors import StateError
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known
from tallystick_edge.log import Log
from tallystick_edge.recovery import StoredReading
from tallystick_edge.state_folder import LOG_NAME
from tallystick_proof import keys
from tallystick_proof.trust import Trust


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node, as the log knows it. `high` and `gaps` are what its acknowledgements say."""

    kid: str
    thumbprint: str | None
    enrolled: bool
    revoked: bool
    boot: int
    high: int
    gaps: list[list[int]]
    forks: int
    given_up: list[int] | None  # first and last of the numbers that the node declared lost, its flash being full
    received_ms: int | None
    drift: Drift | None  # of its clock in its latest boot
    waiting: int  # readings that are stored but not verified, because the kid is not enrolled


@dataclass(frozen=True, slots=True)
class Status:
    """Sizes count entries; `backlog` is what the ledger has not confirmed."""

    thumbprint: str
    origin: str
    epoch: int
    rows: int
    size: int
    confirmed_size: int
    backlog: int
    witnessed_size: int
    last_sync_ms: int | None
    bad_rows: int
    statements: int
    nodes: list[NodeStatus]

    def json(self) -> str:
        return json.dumps(asdict(self), indent=2)


def read(state_dir: Path, thumbprint: bytes, trust: Trust, journal: Journal) -> Status:
    """The status of the gateway with this state folder; StateError when it has never run."""
    path = state_dir / LOG_NAME
    if not path.exists():
        raise StateError(f"{path}: does not exist; has this gateway run?")
    log, known = Log.read_only(path), Known(trust)
    try:
        clocks = _Clocks()
        found = recovery.survey(log, known, journal, clocks.see)
        epoch, head = log.epoch, log.head
        return Status(
            thumbprint=thumbprint.hex(),
            origin=trust.origin,
            epoch=epoch.number,
            rows=len(log),
            size=len(log) - epoch.first_row,
            confirmed_size=epoch.confirmed_size,
            backlog=log.backlog(),
            witnessed_size=head.witnessed_size,
            last_sync_ms=head.synced_ms,
            bad_rows=len(found.bad_rows),
            statements=known.statements,
            nodes=[_node(known, kid, clocks) for kid in sorted(known.states.keys() | known.unknown.keys())],
        )
    finally:
        log.close()


def nodes(state_dir: Path, trust: Trust) -> tuple[set[bytes], set[bytes]]:
    """Thumbprints of the nodes that a gateway was told of: (enrolled, revoked). Nothing when it has never run."""
    path = state_dir / LOG_NAME
    known = Known(trust)
    if path.exists():
        log = Log.read_only(path)
        try:
            recovery.take_downlink(log, known, Journal())
        finally:
            log.close()
    directory = known.directory
    found = [key for key in directory.keys() if key.kind == keys.NODE]  # noqa: SIM118  no mapping
    revoked = {key.thumbprint for key in found if key.revoked_index is not None}
    return {key.thumbprint for key in found} - revoked, revoked


class _Clocks:
    """What the latest boot of each node says about its clock."""

    def __init__(self) -> None:
        self._watches: dict[bytes, tuple[int, Watch]] = {}

    def see(self, stored: StoredReading) -> None:
        boot, watch = self._watches.get(stored.kid, (0, Watch()))
        if stored.chain.boot > boot:
            boot, watch = stored.chain.boot, Watch()
        self._watches[stored.kid] = (boot, watch)
        if stored.chain.boot == boot and stored.received_ms is not None:
            watch.add(stored.chain.uptime_ms, stored.received_ms)

    def drift(self, kid: bytes) -> Drift | None:
        return estimate(self._watches[kid][1].points()) if kid in self._watches else None


def _node(known: Known, kid: bytes, clocks: _Clocks) -> NodeStatus:
    key, state = known.node(kid), known.state(kid)
    high, gaps = state.seen.ack()
    return NodeStatus(
        kid=kid.hex(),
        thumbprint=None if key is None else key.thumbprint.hex(),
        enrolled=key is not None,
        revoked=key is not None and key.revoked_index is not None,
        boot=state.boot,
        high=high,
        gaps=[list(gap) for gap in gaps],
        forks=state.forks,
        given_up=None if state.given_up is None else list(state.given_up),
        received_ms=state.received_ms,
        drift=clocks.drift(kid),
        waiting=len(known.unknown.get(kid, {})),
    )


def text(status: Status, now_ms: int) -> str:
    """The status for a person at `now_ms`."""
    synced = "never" if status.last_sync_ms is None else f"{_ago(now_ms - status.last_sync_ms)} ago"
    lines = [
        f"gateway {status.thumbprint} of {status.origin}",
        f"log: {status.rows} entries, epoch {status.epoch}; {status.confirmed_size} of {status.size} at the ledger, "
        f"{status.witnessed_size} witnessed, {status.backlog} waiting",
        f"last sync: {synced}; {status.statements} enrolments and revocations known",
    ]
    if status.bad_rows:
        lines.append(f"{status.bad_rows} rows cannot be read")
    lines += [_node_text(node, now_ms) for node in status.nodes]
    return "\n".join(lines)


def _node_text(node: NodeStatus, now_ms: int) -> str:
    if not node.enrolled:
        return f"node {node.kid}: not enrolled, {node.waiting} readings kept for it"
    words = [f"node {node.kid}: up to {node.high}"]
    if node.gaps:
        words.append("missing " + ", ".join(f"{first}-{last}" for first, last in node.gaps))
    if node.given_up is not None:
        words.append(f"gave up {node.given_up[0]}-{node.given_up[1]}")
    if node.drift is not None:
        words.append(f"clock {node.drift.ppm:+.1f} ppm (within {node.drift.uncertainty_ppm:.1f})")
    if node.forks:
        words.append(f"{node.forks} FORKS")
    if node.revoked:
        words.append("revoked")
    words.append("never heard" if node.received_ms is None else f"heard {_ago(now_ms - node.received_ms)} ago")
    return ", ".join(words)


def _ago(duration_ms: int) -> str:
    seconds = max(0, duration_ms // 1000)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
