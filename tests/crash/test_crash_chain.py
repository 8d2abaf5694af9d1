"""The whole chain under SIGKILL: three MicroPython nodes, a gateway, a ledger with its bank, a witness; all die.

The parts were set up by the demo's own commands. Whoever was killed starts again after a while, perhaps only to be
killed while it starts; at the end everything comes up, drains, and is compared.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import crash_support
import pytest
from patience import until

from tallystick_proof import keys
from tallystick_proof.chain import missing_between
from tallystick_provisioning import key_file
from tallystick_tools import demo_build, demo_keep
from tallystick_tools.demo_parts import Part
from tallystick_tools.demo_plan import plan
from tallystick_tools.demo_world import World
from tallystick_wire import reading
from tallystick_wire.reading import Reading

pytestmark = pytest.mark.alone

SEED = 22
STORM_S, FULL_STORM_S = 25.0, 300.0
INTERVAL_MS = 100
DEAD_S = 1.0  # how long a part stays dead, at most
CALM_S = 1.2  # between two blows, at most
TWO_AT_ONCE = 0.3  # of the blows
NEW_ACKS = 20  # of each node after the storm


@dataclass(frozen=True)
class Victim:
    """A part that can be killed and started again, as long as it did not end by itself."""

    kind: str
    alive: Callable[[], bool]
    kill: Callable[[], object]
    start: Callable[[], None]


def victims(world: World) -> list[Victim]:
    """Six of them; the nodes together are hit as often as the three others."""
    found = [Victim("node", lambda node=node: node.alive, node.kill, node.start) for node in world.nodes]  # type: ignore[misc]
    for part in (world.gateway, world.ledger, world.witness):
        assert part is not None
        found.append(_victim(part))
    return found


def _victim(part: Part) -> Victim:
    # Not waited for: the next blow may come while it starts.
    return Victim(part.name, lambda: part.alive, part.kill, lambda: part.start(lambda: True))


def storm(world: World, seconds: float, chance: random.Random) -> Counter[str]:
    """Kill and restart for so long; how often each kind of part was killed."""
    killed: Counter[str] = Counter()
    parts, deck = victims(world), list[Victim]()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # Nobody is hit twice before all were hit once, so that few blows reach everybody.
        deck = deck or chance.sample(parts, len(parts))
        at_once = 2 if chance.random() < TWO_AT_ONCE else 1
        chosen, deck = deck[:at_once], deck[at_once:]
        for part in chosen:
            assert part.alive(), f"a {part.kind} ended by itself; see {world.logs}"
            part.kill()
            killed[part.kind] += 1
        time.sleep(chance.uniform(0, DEAD_S))
        for part in chance.sample(chosen, len(chosen)):
            part.start()
        time.sleep(chance.uniform(0, CALM_S))
    return killed


def settle(world: World) -> None:
    """Everything runs, and every node gets new readings acknowledged."""
    before = {path: path.read_bytes().count(b"\n") for path in world.acks.glob("*.jsonl")}

    def all_heard() -> bool:
        assert all(part.alive() for part in victims(world)), f"a part ended by itself; see {world.logs}"
        now = {path: path.read_bytes().count(b"\n") for path in world.acks.glob("*.jsonl")}
        return len(now) == len(world.nodes) and all(now[path] >= before.get(path, 0) + NEW_ACKS for path in now)

    until(all_heard, lambda: f"{world.logs}: {crash_support.count_acked(world.acks)} acknowledged")


def check(world: World) -> None:
    """What nodes saw acknowledged is in the ledger's tree, once; what is there links; all of it can be derived anew."""
    demo_keep.drain(world)
    file = world.folder / "readings.cborseq"
    world.run("cloud", "export", "readings", "--config", world.ledger_config, "--out", file)
    acked, exported = crash_support.acked(world.acks), crash_support.exported(file)
    assert not crash_support.missing(acked, exported)
    rows = crash_support.rows(world.gateway_log)
    assert crash_support.logged(rows) == {place: one.identity for place, one in exported.items()}
    gateway = key_file.load(world.folder / "gateway" / "gateway.key", keys.GATEWAY).thumbprint
    assert crash_support.check_tree(world.folder / "ledger" / "ledger.db", gateway, rows) == len(rows)
    for key in world.node_keys:
        kid = bytes.fromhex(key)[: reading.KID_BYTES]
        check_chain([exported[place] for place in sorted(exported) if place[0] == kid])
        check_evidence(world, key, max(seq for other, seq in acked if other == kid))
    world.run("cloud", "fsck", "--config", world.ledger_config)


def check_chain(readings: list[Reading]) -> None:
    """Whoever follows the links from the first reading on comes to the last boot: nothing is held for ever."""
    last = readings[0]
    for one in readings[1:]:
        # What follows a lost reading in the same boot stays behind: the next boot record declares it as unknown.
        last = one if missing_between(last, one) is not None else last
    assert last.chain.boot == readings[-1].chain.boot


def check_evidence(world: World, key: str, seq: int) -> None:
    """The last acknowledged reading of a node is proved offline."""
    bundle = world.folder / f"{key[:16]}-{seq}.zip"
    world.run("cloud", "evidence", "reading", key, str(seq), "--url", world.url,
              "--token-file", world.token_file, "--out", bundle)  # fmt: skip
    world.run("verify", bundle, "--trust", world.trust)  # an exit code other than 0 is an error


def whole_story(folder: Path, seconds: float) -> None:
    world = demo_build.build(folder, replace(plan(SEED, calm=True), interval_ms=INTERVAL_MS))
    try:
        killed = storm(world, seconds, random.Random(SEED))
        print(f"killed: {dict(killed)}")
        assert set(killed) == {"node", "gateway", "ledger", "witness"}
        settle(world)
        check(world)
        print(f"{crash_support.count_acked(world.acks)} readings acknowledged")
    finally:
        world.stop()
        for node in world.nodes:
            node.close()


def test_every_part_is_killed_again_and_again(tmp_path: Path) -> None:
    whole_story(tmp_path, STORM_S)


@pytest.mark.full
def test_a_long_storm(tmp_path: Path) -> None:
    whole_story(tmp_path, FULL_STORM_S)
