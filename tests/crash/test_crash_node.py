"""The real node under MicroPython, killed right before system calls that a trace of it found.

Each kill starts from the same flash. The boot after it is killed as well, early; the next one must deliver everything.
"""

import random
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import crash_support
import pytest
import strace
from patience import PATIENCE_S
from peer import Peer

from tallystick_emulators.unix_node import UnixNode
from tallystick_wire import message, reading

ORIGIN, PEN, LINK_KEY = "ledger.example/crash", 32473, bytes(range(32))
LINK = message.build_link(LINK_KEY, ORIGIN, PEN)
SEED = 21
KILLS = 11  # more than there are kinds of calls in either part of a node's life
EARLY = 2  # the second kill comes at the first or the second call of its kind
ASK_EVERY_S = 0.5  # a question that came before the node listened is lost
NEW_READINGS = 5


class Rig:
    """A node in `folder`, whatever lies there, and its gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = {"TALLYSTICK_INTERVAL_MS": "1", "TALLYSTICK_BATCH": "3", "TALLYSTICK_ACKS_DIR": str(folder / "acks")}
        self.node = UnixNode(folder, settings)
        self.peer = Peer(self.node.port, LINK_KEY)

    def start(self, *prefix: str) -> None:
        self.node.prefix = prefix
        self.node.start()

    def until(self, done: Callable[[], bool], *, store: bool) -> None:
        """Listen, and store when told to, until `done` or the node is dead."""
        end = time.monotonic() + PATIENCE_S
        while self.node.alive and not done():
            assert time.monotonic() < end, f"{len(self.peer.heard)} heard, {self.node.log.read_text()[-1000:]}"
            self.peer.listen()
            if store:
                self.peer.store()

    def segments(self) -> list[str]:
        return [path.name for path in (self.folder / "flash" / "s").glob("*.seg")]

    def ask(self, payload: bytes, kind: str) -> bytes | None:
        """The answer; None when the node died before it."""
        begin = time.monotonic()
        while self.node.alive:
            assert time.monotonic() < begin + PATIENCE_S, self.node.log.read_text()[-1000:]
            self.peer.send(payload)
            end = time.monotonic() + ASK_EVERY_S
            while time.monotonic() < end:
                self.peer.listen()
                for one in self.peer.take_other():
                    if message.kind(one) == kind:
                        return one
        return None

    def public_key(self) -> bytes | None:
        answer = self.ask(message.build_hello(), "node")
        return None if answer is None else message.open_node(answer).public_key

    def close(self) -> None:
        self.peer.close()
        self.node.close()


def label(path: str) -> str | None:
    """The kind of file: names with N for every number; None for the node's journal."""
    if path == "/dev/ptmx":
        return "link"
    _, found, name = path.rpartition("/flash/")
    if found:
        return re.sub(r"\d+", "N", name)
    return "acks" if path.endswith(".jsonl") else None


# --- two parts of a node's life


def be_born(rig: Rig) -> list[bytes]:
    """From the first power-on to the first readings; the public keys that somebody was told."""
    told = rig.public_key()
    rig.ask(LINK, "linked")
    before = len(rig.peer.stored)
    rig.until(lambda: len(rig.peer.stored) >= before + NEW_READINGS, store=True)
    return [] if told is None else [told]


def fill_and_drain(rig: Rig) -> list[bytes]:
    """The gateway only listens until two more segments are closed, then acks until all is delivered and more."""
    known, told = set(rig.segments()), rig.public_key()
    rig.until(lambda: len(set(rig.segments()) - known) >= 3, store=False)
    before = len(rig.peer.stored)
    rig.until(lambda: len(rig.segments()) <= 1 and len(rig.peer.stored) >= before + NEW_READINGS, store=True)
    return [] if told is None else [told]


Part = Callable[[Rig], list[bytes]]


def traced(folder: Path, part: Part, base: Path) -> list[strace.Point]:
    shutil.copytree(base, folder, dirs_exist_ok=True)
    rig = Rig(folder)
    report = folder.with_suffix(".trace")
    try:
        rig.start(*strace.tracer(report))
        part(rig)
        assert rig.node.alive
        rig.node.stop()
    finally:
        rig.close()
    return [replace(point, paths=both_slots(point.paths)) for point in strace.points(strace.read(report), label)]


def both_slots(paths: Sequence[str]) -> tuple[str, ...]:
    """A file that exists twice is written in turns: the next boot may write the other one."""
    others = [re.sub(r"\.([01])\.new$", lambda slot: f".{1 - int(slot[1])}.new", path) for path in paths]
    return tuple(dict.fromkeys([*paths, *others]))


def kill_twice(folder: Path, part: Part, base: Path, points: Sequence[strace.Point]) -> int:
    """Live from `base` on with a kill at each of `points`, then to the end; how many of them killed."""
    shutil.rmtree(folder)
    shutil.copytree(base, folder)
    rig = Rig(folder)
    killed, told = 0, []
    try:
        for point in points:
            rig.start(*strace.killer(folder.with_suffix(".kill"), point))
            told += part(rig)
            killed += not rig.node.alive
            rig.node.stop()
            rig.peer.forget()
        rig.start()
        told += part(rig)
        assert rig.node.alive, rig.node.log.read_text()
        rig.node.stop()
        assert len(set(told)) == 1, "the key that somebody was told is the key it keeps"
        rig.peer.check(reading.genesis(ORIGIN, told[0]))
        check_acknowledged(rig)
    finally:
        rig.close()
    return killed


def check_acknowledged(rig: Rig) -> None:
    """The node forgot nothing but what the gateway has."""
    for (_, seq), identity in crash_support.acked(rig.folder / "acks").items():
        assert rig.peer.stored[seq].identity == identity


def storm(tmp_path: Path, part: Part, base: Path, size: int | None) -> None:
    folder, chance = tmp_path / "node", random.Random(SEED)
    points = traced(folder, part, base)
    early = [point for point in points if point.n <= EARLY]
    killed = 0
    chosen = strace.sample(points, size or len(points), chance)
    for point in chosen:
        second = chance.choice(early)
        killed += (now := kill_twice(folder, part, base, [point, second]))
        print(f"{point}, then {second}: {now} killed")
    assert killed >= len(chosen)


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    folder = tmp_path / "nothing"
    folder.mkdir()
    return folder


@pytest.fixture
def full_store(tmp_path: Path) -> Path:
    """A node that lost power with two segments on flash that nobody acknowledged."""
    rig = Rig(tmp_path / "full")
    try:
        rig.start()
        rig.ask(LINK, "linked")
        rig.until(lambda: len(rig.segments()) >= 3, store=False)
        rig.node.kill()
    finally:
        rig.close()
    return rig.folder


def test_killed_while_it_comes_to_life(tmp_path: Path, nothing: Path) -> None:
    storm(tmp_path, be_born, nothing, KILLS)


def test_killed_while_it_keeps_and_delivers(tmp_path: Path, full_store: Path) -> None:
    storm(tmp_path, fill_and_drain, full_store, KILLS)


@pytest.mark.full
def test_killed_at_every_call_of_its_first_boot(tmp_path: Path, nothing: Path) -> None:
    storm(tmp_path, be_born, nothing, None)


@pytest.mark.full
def test_killed_at_every_call_of_keeping_and_delivering(tmp_path: Path, full_store: Path) -> None:
    storm(tmp_path, fill_and_drain, full_store, None)


def test_what_was_only_heard_comes_again(tmp_path: Path) -> None:
    """The gateway loses what it had not committed: the node has it still."""
    rig = Rig(tmp_path / "node")
    try:
        rig.start()
        key = rig.public_key()
        assert key is not None
        rig.ask(LINK, "linked")
        rig.until(lambda: len(rig.peer.heard) >= 10, store=False)
        heard = {one.chain.seq for one in rig.peer.heard}
        rig.peer.forget()
        rig.until(lambda: heard <= rig.peer.stored.keys(), store=True)
        assert heard <= rig.peer.stored.keys()
        rig.peer.check(reading.genesis(ORIGIN, key))
    finally:
        rig.close()
