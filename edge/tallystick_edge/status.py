"""What a gateway holds and what the ledger confirmed, read from its log beside the running gateway. Writes nothing."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tallystick_edge import control, recovery
from tallystick_edge.drift import Drift, Watch, estimate
from tallystick_edge.errors import StateError
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known
from tallystick_edge.log import Log
from tallystick_edge.recovery import StoredReading
from tallystick_edge.state_folder import LOG_NAME
from tallystick_proof import entry, keys
from tallystick_proof.entry import GatewayEntry
from tallystick_proof.errors import ProofError
from tallystick_proof.trust import Trust
from tallystick_wire import reading, senml
from tallystick_wire.cbor import Map
from tallystick_wire.errors import WireError

_NOTE_HEAD = bytes([0x86, entry.NOTE])  # how an entry of this kind begins
_RADIO_NAME = b"\x62" + senml.RADIO.encode("ascii")  # how the name of that record stands in a reading


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
    radio_dbm: int | None  # how strongly its radio heard the network, in the newest reading that says so


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """One link as this boot of the gateway noted it last. `why` it is down, "" while it is up."""

    link: str
    up: bool
    why: str
    since_ms: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """Sizes count entries; `backlog` is what the ledger has not confirmed. `links` are of the latest boot."""

    thumbprint: str
    running: bool
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
    links: list[LinkStatus]
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
        told = _Told()
        found = recovery.survey(log, known, journal, told.see)
        epoch, head = log.epoch, log.head
        return Status(
            thumbprint=thumbprint.hex(),
            running=control.is_there(state_dir),
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
            links=_links(log),
            nodes=[_node(known, kid, told) for kid in sorted(known.states.keys() | known.unknown.keys())],
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


def _links(log: Log) -> list[LinkStatus]:
    """What the notes of the latest boot say about links."""
    boot, found = 0, dict[str, LinkStatus]()
    for _, data in log.rows():
        if not data.startswith(_NOTE_HEAD):
            continue
        try:
            said = GatewayEntry.decode(data)
        except (ProofError, WireError):
            continue  # a bad row: the survey counts it
        if said.boot > boot:
            boot, found = said.boot, {}
        number, says = said.body[:2]
        if number == entry.NOTE_LINK and isinstance(says, Map):
            name = str(says.get("link"))
            found[name] = LinkStatus(name, says.get("up") == 1, str(says.get("why") or ""), said.received_ms)
    return list(found.values())


class _Told:
    """What the latest boot of each node says about its clock, and its newest reading about its radio."""

    def __init__(self) -> None:
        self._watches: dict[bytes, tuple[int, Watch]] = {}
        self._radios: dict[bytes, StoredReading] = {}

    def see(self, stored: StoredReading) -> None:
        boot, watch = self._watches.get(stored.kid, (0, Watch()))
        if stored.chain.boot > boot:
            boot, watch = stored.chain.boot, Watch()
        self._watches[stored.kid] = (boot, watch)
        if stored.chain.boot == boot and stored.received_ms is not None:
            watch.add(stored.chain.uptime_ms, stored.received_ms)
        newest = self._radios.get(stored.kid)
        if _RADIO_NAME in stored.data and (newest is None or newest.chain.seq < stored.chain.seq):
            self._radios[stored.kid] = stored

    def drift(self, kid: bytes) -> Drift | None:
        return estimate(self._watches[kid][1].points()) if kid in self._watches else None

    def radio_dbm(self, kid: bytes) -> int | None:
        value = reading.parse(self._radios[kid].data).pack.get(senml.RADIO) if kid in self._radios else None
        return value + senml.DBM_OF_ZERO_DBW if type(value) is int else None


def _node(known: Known, kid: bytes, told: _Told) -> NodeStatus:
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
        drift=told.drift(kid),
        waiting=len(known.unknown.get(kid, {})),
        radio_dbm=told.radio_dbm(kid),
    )
