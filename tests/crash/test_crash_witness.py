"""The real witness process, killed before any system call that its state makes: it never signs a fork."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import strace
from cloud_process import WitnessProcess
from patience import PATIENCE_S
from strace import Point

from tallystick_ledger.witness_client import request_body
from tallystick_proof import merkle, note
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.note import VerifierKey
from tallystick_proof.tiles import Tree, append

SAMPLE = 8
REQUESTS = 6  # of one life: the state file is written with each
NAMES = ("fsync", "rename")


class Log:
    """A log that may change its mind: it signs whatever helps it to get two histories cosigned."""

    def __init__(self, world: Any, witness: WitnessProcess) -> None:
        self.world, self.witness = world, witness
        self.client = httpx.Client()
        self.known = 0
        self.offered: list[list[bytes]] = []  # every tree that the witness may remember
        self.signed: list[list[bytes]] = []  # every tree that was cosigned, by its leaves
        self.vkey = VerifierKey(f"w1.example/{world.name}", note.TYPE_COSIGNATURE, world.signers["w1"].public_key)

    def offer(self, old: int, leaves: list[bytes]) -> int:
        """Ask for a cosignature on a tree; the status. What is cosigned is kept."""
        text = Checkpoint(self.world.origin, len(leaves), merkle.root(leaves)).text
        own = note.sign_note(self.world.signers["ledger"], self.world.origin, text)
        body = request_body(old, _proof(old, leaves), note.format(note.Note(text, [own])))
        if leaves not in self.offered:
            self.offered.append(leaves)
        answer = self.client.post("/add-checkpoint", content=body)
        if answer.status_code == 200:
            line = note.parse_line(answer.text.rstrip("\n"))
            assert note.verify_line(text, line, self.vkey)
            self.signed.append(leaves)
        elif answer.status_code == 409:
            self.known = int(answer.text)
        return answer.status_code

    def grow(self, chance: random.Random) -> None:
        """One honest step from the tree that the witness remembers, then attempts to get another history cosigned."""
        base = self.remembered()
        leaves = [*base, *(chance.randbytes(32) for _ in range(chance.randrange(1, 4)))]
        self.offer(len(base), leaves)
        for back in (1, 2):
            fork = leaves[:-back] + [chance.randbytes(32) for _ in range(back + 1)]
            for old in (len(base), len(leaves), len(leaves) - back):
                self.offer(old, fork)

    def remembered(self) -> list[bytes]:
        """The witness's newest tree, found by asking: of several of its size only that one is cosigned again."""
        self.known = 0
        self.offer(0, [bytes(32)])  # 409 tells the size; a witness that knows nothing takes it
        candidates = [tree for tree in self.offered if len(tree) == self.known]
        return next((tree for tree in candidates[::-1] if self.offer(self.known, tree) == 200), [bytes(32)])

    def check(self) -> None:
        """Every cosigned tree is the beginning of every larger one."""
        for tree in self.signed:
            for other in self.signed:
                if len(tree) <= len(other):
                    assert other[: len(tree)] == tree


def _proof(old: int, leaves: list[bytes]) -> list[bytes]:
    if not 0 < old < len(leaves):
        return []
    stored: dict[tuple[int, int], bytes] = {}

    def load(level: int, number: int) -> bytes | None:
        return stored.get((level, number))

    def save(level: int, number: int, hashes: bytes) -> None:
        stored[level, number] = hashes

    append(load, save, 0, leaves)
    return Tree(load, len(leaves)).consistency_proof(old, len(leaves))


def live(log: Log, chance: random.Random) -> bool:
    """Requests over one connection, so that one thread makes all the calls; whether the witness died."""
    with httpx.Client(base_url=log.witness.url, timeout=PATIENCE_S, trust_env=False) as log.client:
        for _ in range(REQUESTS):
            try:
                log.grow(chance)
            except httpx.TransportError:
                return log.witness.died()
    return False


def found_points(tmp_path: Path, world: Any, chance: random.Random) -> list[Point]:
    """What a whole life's trace shows."""
    witness = WitnessProcess(tmp_path / "traced", world, "w1")
    report = tmp_path / "trace"
    witness.start(*strace.tracer(report))
    live(Log(world, witness), chance)
    assert witness.stop() == 0
    calls = [call for call in strace.read(report) if call.name in NAMES and str(tmp_path) in call.path]
    found = strace.points(calls, lambda path: "state" if str(tmp_path) in path else None)
    # On no particular path: the next life has another folder, and nothing else makes these calls.
    return [dataclasses.replace(point, paths=()) for point in found]


def storm(tmp_path: Path, world: Any, points: list[Point], chance: random.Random) -> None:
    """One witness, one log, a kill for each point; what it signed in all its lives is one history."""
    witness = WitnessProcess(tmp_path / "killed", world, "w1")
    log = Log(world, witness)
    killed = 0
    for point in points:
        witness.start(*strace.killer(tmp_path / "killer", point))
        killed += live(log, chance)
        witness.kill()
        log.check()
    witness.start()
    live(log, chance)
    log.check()
    assert witness.stop() == 0
    # The last points may lie beyond what a later life does: fewer of its requests bring something new.
    assert killed >= len(points) * 2 // 3
    assert len(log.signed) > len(points)


def test_killed_at_any_call(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    chance = random.Random(1)
    world = make_world("crash-witness")
    points = found_points(tmp_path, world, chance)
    assert {point.name for point in points} == set(NAMES)
    storm(tmp_path, world, strace.sample(points, SAMPLE, chance), chance)


@pytest.mark.full
def test_killed_at_every_call(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    chance = random.Random(2)
    world = make_world("crash-witness-full")
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        storm(folder, world, found_points(folder, world, chance), chance)


