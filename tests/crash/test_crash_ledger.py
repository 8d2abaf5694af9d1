"""The real ledger service, killed before system calls that a trace found: what it answered is there afterwards.

One database lives through all the kills, beside two witnesses that live all the time: a ledger that came back with
less than it had shown would find no cosignature any more.
"""

import dataclasses
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import strace
from cloud_process import CloudProcess, WitnessProcess
from ledger_support import Clock, TestGateway
from strace import Point

from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Database
from tallystick_ledger.directory import Keys
from tallystick_ledger.fsck import fsck
from tallystick_ledger.fsck_gateways import Stores
from tallystick_proof import checkpoint, merkle, note, statement
from tallystick_proof.sync import SyncAnswer
from tallystick_tools.witness import load_state

SAMPLE = 10
STEPS = 3  # of one life: each admits a statement and a batch and waits until both are published
NAMES = ("fsync", "fdatasync", "pwrite64", "rename", "ftruncate")


class Dead(Exception):
    """The service was killed."""


class Site:
    """The service, its witnesses, its clients, and everything that they were told."""

    def __init__(self, folder: Path, world: Any) -> None:
        folder.mkdir()
        self.folder, self.world = folder, world
        self.witnesses = [WitnessProcess(folder / name, world, name) for name in world.witnesses]
        for witness in self.witnesses:
            witness.start()
        self.cloud = CloudProcess(folder / "ledger", world, [witness.url for witness in self.witnesses])
        self.gateway = TestGateway(world)
        self.statements: list[bytes] = []
        self.admitted: list[bytes] = []
        self.confirmed = 0
        self.seen: dict[int, bytes] = {}  # tree size -> root of every checkpoint that was shown

    def live(self) -> bool:
        """One life of the service: look whether everything is there, then more of it; whether it was killed."""
        try:
            self.check_answers()
            for _ in range(STEPS):
                self.step()
        except (httpx.TransportError, Dead):
            assert self.cloud.died(), "an answer was refused, but the service lives"
            return True
        return False

    def step(self) -> None:
        if not self.statements:
            for name in ("gateway", "node-a", "installer"):
                self.statements.append(self.world.statements[self.world.enrolments[name]][0])
        else:
            self.statements.append(self.association(len(self.statements)))
        for data in self.statements[len(self.admitted) :]:
            self.post(data)
        self.gateway.take(*(self.world.nodes["node-a"].measure(450, 10).data for _ in range(3)))
        self.sync()
        self.wait_witnessed()

    def association(self, number: int) -> bytes:
        body: dict[str, Any] = {"aud": self.world.origin, "jti": number.to_bytes(16, "big"), "exp": None}
        body |= {"place": "cold room", "lot": f"L{number}", "nodes": [bytes(32)], "since_ms": number}
        return statement.build(self.world.signers["installer"], "association", body)

    def post(self, data: bytes) -> None:
        answer = self.cloud.post(data)
        assert answer.status_code == 201, answer.text
        if data not in self.admitted:
            self.admitted.append(data)

    def sync(self) -> SyncAnswer:
        """As a gateway does: from the size that was confirmed, and from the one that a 409 names."""
        answer = self.cloud.sync(self.gateway)
        if answer.status_code == 409:
            self.gateway.sent = int(answer.text)
            # Everything arrived before the answer was lost: the same checkpoint again, which the ledger knows.
            answer = self.cloud.sync(self.gateway)
        assert answer.status_code == 200, answer.text
        told = SyncAnswer.decode(answer.content)
        self.gateway.sent = self.confirmed = told.known_size
        return told

    def wait_witnessed(self) -> None:
        while self.sync().witnessed_size < self.confirmed:
            if not self.cloud.alive:
                raise Dead
        self.look()

    def look(self) -> None:
        answer = self.cloud.request("GET", "/checkpoint")
        if answer.status_code == 200:
            head = checkpoint.parse(note.parse(answer.content).text)
            self.seen[head.size] = head.root

    def check_answers(self) -> None:
        """Nothing that was answered is missing."""
        self.look()
        for data in self.admitted:
            name = statement.parse(data).identity.hex()
            answer = self.cloud.request("GET", f"/entries/{name}")
            assert answer.status_code == 200, f"statement {name} is lost"
        if self.confirmed:
            before = self.confirmed
            assert self.sync().known_size >= before, "entries are lost"

    def check_files(self) -> None:
        """The files as the kill left them: fsck finds nothing, and every root that was shown or cosigned is theirs."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.cloud.folder, copy)
        if not (copy / "ledger.db").exists():
            return
        db, view = Database(copy / "ledger.db"), Database(copy / "ledger.db")
        keys = Keys(db, self.world.trust, Clock(self.world.now_ms))
        with view.read() as tx:
            assert fsck(Stores(tx, Blobs(copy / "blobs"), self.world.trust, keys), lambda _: None) == []
            rows = tx.execute("SELECT leaf FROM entry WHERE idx IS NOT NULL ORDER BY idx")
            leaves = [bytes(leaf) for (leaf,) in rows]
        for size, root in self.seen.items():
            assert merkle.root(leaves[:size]) == root
        for witness in self.witnesses:
            for seen in load_state(witness.state).values():
                assert seen.size <= len(leaves), "a witness signed what is not durable"
                assert merkle.root(leaves[: seen.size]) == seen.root
        db.close()
        view.close()

    def close(self) -> None:
        for process in (self.cloud, *self.witnesses):
            process.kill()


@pytest.fixture
def make_site(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[Callable[[str], Site]]:
    made: list[Site] = []

    def make(name: str) -> Site:
        made.append(Site(tmp_path / name, make_world(name)))
        return made[-1]

    yield make
    for site in made:
        site.close()


def found_points(site: Site, tmp_path: Path) -> list[Point]:
    """What the trace of a whole life shows."""
    report = tmp_path / "trace"
    site.cloud.start(*strace.tracer(report))
    assert not site.live()
    assert site.cloud.stop() == 0
    calls = [call for call in strace.read(report) if call.name in NAMES]
    found = strace.points(calls, lambda path: "state" if str(site.cloud.folder) in path else None)
    # On no particular path: the next life has other files, and nothing else makes these calls.
    return [dataclasses.replace(point, paths=()) for point in found]


def storm(site: Site, tmp_path: Path, points: list[Point]) -> None:
    killed = 0
    for point in points:
        site.cloud.start(*strace.killer(tmp_path / "killer", point))
        killed += site.live()
        site.cloud.kill()
        site.check_files()
    site.cloud.start()
    assert not site.live()
    assert site.cloud.stop() == 0
    site.check_files()
    assert site.cloud.fsck().returncode == 0
    # A point may lie beyond what a later life does: it begins with a database that exists already.
    assert killed >= len(points) * 2 // 3


def test_killed_at_any_call(make_site: Callable[[str], Site], tmp_path: Path) -> None:
    points = found_points(make_site("traced"), tmp_path)
    assert {"fdatasync", "pwrite64", "rename", "fsync"} <= {point.name for point in points}
    storm(make_site("killed"), tmp_path, strace.sample(points, SAMPLE, random.Random(3)))


@pytest.mark.full
def test_killed_at_every_call(make_site: Callable[[str], Site], tmp_path: Path) -> None:
    points = found_points(make_site("traced"), tmp_path)
    storm(make_site("killed"), tmp_path, random.Random(4).sample(points, len(points)))
