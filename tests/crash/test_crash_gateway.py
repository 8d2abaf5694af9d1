"""The real gateway between real nodes and a real ledger, killed right before system calls that a trace of it found.

One world lives through all kills: each start goes on from where the kill before left the log, and is killed itself.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import crash_support
import pytest
import strace
from cloud_process import CloudProcess, WitnessProcess
from gateway_support import GatewayProcess
from patience import until

from tallystick_emulators.unix_node import UnixNode
from tallystick_proof import entry

NODES = ("node-a", "node-b")
SEED = 20
KILLS = 12
COMMIT_KILLS = 6
BIRTH_KILLS = 4
NEW_ACKS = 30  # the work of the traced life: so many readings acknowledged, then SIGTERM, which closes the log
INTERVAL_MS = 100
TAKEN_S = 0.2  # a node has taken by then what lies in its cable when the gateway dies
KILLED = -9
COMMIT = ("pwrite64", "log.db-wal")


class Site:
    """Two nodes, one gateway, a ledger and a witness: five real processes."""

    def __init__(self, folder: Path, world: Any) -> None:
        self.folder, self.world = folder, world
        self.witness = WitnessProcess(folder / "witness", world, world.witnesses[0])
        self.witness.start()
        self.cloud = CloudProcess(folder / "ledger", world, [self.witness.url])
        self.cloud.start()
        self.cloud.enrol("gateway", *NODES)
        self.acks = folder / "acks"
        self.nodes = [self._node(name) for name in NODES]
        cables = [node.port for node in self.nodes]
        self.gateway = GatewayProcess(folder / "gateway", world, "gateway", self.cloud.url, 0, cables)
        self.rows: list[bytes] = []

    def _node(self, name: str) -> UnixNode:
        folder, signer = self.folder / name, self.world.signers[name]
        folder.mkdir()
        crash_support.enrolled_flash(
            folder / "flash", signer, self.world.secret(name), self.world.origin, self.world.trust.pen
        )
        node = UnixNode(
            folder, {"TALLYSTICK_INTERVAL_MS": str(INTERVAL_MS), "TALLYSTICK_ACKS_DIR": str(self.acks)}
        )
        node.start()
        return node

    def label(self, path: str) -> str | None:
        """A file of the gateway's state, or a cable."""
        if path in (node.device for node in self.nodes):
            return "cable"
        state = self.gateway.log_path.parent
        return Path(path).name if Path(path).is_relative_to(state) else None

    def work(self, acks: int, *before: str) -> int:
        """One life of the gateway: it starts, takes in readings, syncs and is told to stop; how it ended."""
        enough = crash_support.count_acked(self.acks) + acks
        self.gateway.launch(*before)
        process = self.gateway.process
        assert process is not None
        until(
            lambda: process.poll() is not None or crash_support.count_acked(self.acks) >= enough, self.gateway.text
        )
        return self.gateway.stop() if process.poll() is None else process.returncode

    def check(self) -> None:
        """What must hold while the gateway is down, wherever it was killed."""
        time.sleep(TAKEN_S)
        acked = crash_support.acked(self.acks)
        rows = crash_support.rows(self.gateway.log_path)
        found = crash_support.logged(rows)
        lost = {place: identity for place, identity in acked.items() if found.get(place) != identity}
        assert not lost, f"acknowledged but not in the log: {[(kid.hex(), seq) for kid, seq in lost]}"
        assert rows[: len(self.rows)] == self.rows, "the log only grows"
        crash_support.check_tree(self.cloud.folder / "ledger.db", self.gateway.signer.thumbprint, rows)
        self.rows = rows

    def drain(self) -> None:
        """The nodes fall silent, and everything that waits reaches the ledger's tree."""
        for node in self.nodes:
            node.stop()
        self.gateway.start()
        until(lambda: crash_support.backlog(self.gateway.log_path) == 0, self.gateway.text)
        assert self.gateway.stop() == 0
        until(lambda: not self.missing(), lambda: f"not in the export: {self.missing()}")
        fsck = self.cloud.fsck()
        assert fsck.returncode == 0, fsck.stdout + fsck.stderr

    def missing(self) -> list[crash_support.Place]:
        """What nodes saw acknowledged and the ledger does not export."""
        file = self.folder / "export.cbor"
        done = self.cloud.run("cloud", "export", "readings", "--config", self.cloud.config, "--out", file)
        assert done.returncode == 0, done.stderr
        return crash_support.missing(crash_support.acked(self.acks), crash_support.exported(file))

    def close(self) -> None:
        self.gateway.close()  # first: it would look for the nodes' ports, which are others' as soon as they are closed
        for node in self.nodes:
            node.close()
        self.cloud.kill()
        self.witness.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, make_world: Callable[..., Any]) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("crash-gateway"), make_world("crash", quorum="1"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def calls(site: Site) -> list[strace.Call]:
    """What one whole life of the gateway, not the first one, asks of the system."""
    return trace(site)


def trace(site: Site) -> list[strace.Call]:
    report = site.folder / "trace"
    for before in ([], strace.tracer(report)):
        assert site.work(NEW_ACKS, *before) == 0, site.gateway.text()
        site.check()
    return strace.read(report)


def test_every_message_to_a_node_follows_the_fsync_of_what_was_written(site: Site, calls: list[strace.Call]) -> None:
    """SIGKILL cannot show this, since the system keeps what was written; a power cut would."""
    unsynced: set[int] = set()  # threads that wrote to the log and did not wait for the disk yet
    sent = synced = 0
    for call in calls:
        label = site.label(call.path)
        if label == "log.db-wal" and call.name == "pwrite64":
            unsynced.add(call.thread)
        elif label == "log.db-wal" and call.name == "fdatasync":
            synced += 1
            unsynced.discard(call.thread)
        elif label == "cable" and call.name == "write":
            sent += 1
            assert call.thread not in unsynced, "a node was told of what the disk may not have"
    # How many: a busy machine puts many readings into one commit, and many acknowledgements into one message.
    assert synced
    assert sent


def kill_at(site: Site, points: Sequence[strace.Point]) -> int:
    """A life with a kill at each of `points`, one after the other; how many were killed."""
    killed = 0
    for number, point in enumerate(points):
        begin = time.monotonic()
        # Twice the work: what the traced life reached is reached here, however arrivals fall into commits.
        code = site.work(2 * NEW_ACKS, *strace.killer(site.folder / f"kill-{number}", point))
        assert code in (0, KILLED), site.gateway.text()
        killed += code == KILLED
        print(f"{point}: {'killed' if code else 'ended before'} after {time.monotonic() - begin:.1f} s")
        site.check()
    return killed


def test_killed_inside_commits_of_readings(site: Site, calls: list[strace.Call]) -> None:
    """The only moments at which an acknowledgement that came too early is one that was a lie."""
    writes = Counter(call.thread for call in calls if (call.name, site.label(call.path)) == COMMIT)
    (_, most), *others = writes.most_common()
    # Only the writer's thread comes so far: the other one commits what the ledger said.
    reached_by_others = max((count for _, count in others), default=0)
    inside = [one for one in strace.points(calls, site.label) if (one.name, one.label) == COMMIT]
    soon_enough = [one for one in inside if one.n <= most * 3 // 4]
    # On a machine on which both threads commit equally often, either may be the one that dies.
    found = [one for one in soon_enough if reached_by_others < one.n] or soon_enough
    assert kill_at(site, strace.sample(found, COMMIT_KILLS, random.Random(SEED))) >= COMMIT_KILLS // 2


def test_killed_at_traced_calls(site: Site, calls: list[strace.Call]) -> None:
    points = strace.points(calls, site.label)
    killed = kill_at(site, strace.sample(points, KILLS, random.Random(SEED)))
    assert killed >= KILLS * 3 // 4
    site.drain()


@pytest.mark.full
def test_killed_at_every_traced_call(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    site = Site(tmp_path, make_world("crash-full", quorum="1"))
    try:
        points = strace.points(trace(site), site.label)
        assert kill_at(site, points) >= len(points) * 3 // 4
        site.drain()
    finally:
        site.close()


class Birth:
    """A gateway's first start, on a new folder each time, without a ledger."""

    def __init__(self, folder: Path, world: Any) -> None:
        self.folder = folder
        self.gateway = GatewayProcess(folder / "gateway", world, "gateway", "http://127.0.0.1:9", 1)
        self.state = self.gateway.log_path.parent

    def label(self, path: str) -> str | None:
        return Path(path).name if Path(path).is_relative_to(self.state) else None

    def live(self, *before: str) -> int:
        """Start, and stop as soon as it runs; how it ended."""
        already = len(self.gateway.events("running"))
        self.gateway.launch(*before)
        process = self.gateway.process
        assert process is not None
        until(lambda: process.poll() is not None or len(self.gateway.events("running")) > already, self.gateway.text)
        return self.gateway.stop() if process.poll() is None else process.returncode

    def storm(self, size: int | None) -> None:
        """Kill it at traced calls; the next start works as if it were the first, or goes on from it."""
        assert self.live(*strace.tracer(self.folder / "trace")) == 0
        points = strace.points(strace.read(self.folder / "trace"), self.label)
        for number, point in enumerate(strace.sample(points, size or len(points), random.Random(SEED))):
            shutil.rmtree(self.state)
            killed = self.live(*strace.killer(self.folder / f"kill-{number}", point))
            print(f"{point}: exit {killed}")
            assert self.live() == 0, self.gateway.text()
            boots = [entry.GatewayEntry.decode(data).boot for data in crash_support.rows(self.gateway.log_path)]
            assert sorted(set(boots)) in ([1], [1, 2])


@pytest.fixture
def birth(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[Birth]:
    found = Birth(tmp_path, make_world("crash-birth"))
    yield found
    found.gateway.close()


def test_killed_at_its_first_start(birth: Birth) -> None:
    birth.storm(BIRTH_KILLS)


@pytest.mark.full
def test_killed_at_every_call_of_its_first_start(birth: Birth) -> None:
    birth.storm(None)
