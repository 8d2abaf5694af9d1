"""The end of `tools/demo --once`: drain the chain, fetch and verify the evidence, leave everything in one folder."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tallystick_tools.demo_backlog import backlog
from tallystick_tools.demo_plan import PLACES
from tallystick_tools.demo_world import World
from tallystick_tools.errors import DemoError
from tallystick_wire import cbor, reading

DRAIN_TIMEOUT_S = 60.0  # a second of backlog, on a machine that may be busy with something else
EXPORT = "readings.cborseq"

Tell = Callable[[str], None]


def finish(world: World, decision: dict[str, Any] | None, tell: Tell) -> None:
    """Leave bundles, trust.toml, databases, the export, nodes.json and acks/; DemoError when one does not hold."""
    drain(world)
    acked = read_acks(world.acks)
    tell(f"nodes stopped; they saw {sum(map(len, acked.values()))} readings acknowledged")
    shutil.copyfile(world.trust, world.folder / "trust.toml")
    nodes = {key[:16]: public_key(world, key) for key in world.node_keys}
    (world.folder / "nodes.json").write_text(json.dumps(nodes, indent=2) + "\n", "utf-8")
    for bundle in fetch_bundles(world, decision, acked):
        checked = json.loads(world.run("verify", bundle, "--trust", world.folder / "trust.toml", "--json"))
        tell(f"{bundle.name}: {checked['result']} offline, {len(checked['readings'])} readings")
    for part in (world.ledger, world.witness):
        if part is not None:
            part.stop()
    world.run("cloud", "export", "readings", "--config", world.ledger_config, "--out", world.folder / EXPORT)
    tell(compare(acked, world.folder / EXPORT))
    world.run("cloud", "fsck", "--config", world.ledger_config)
    tell("fsck: everything in the ledger's database was derived anew and is the same")


def drain(world: World) -> None:
    """Stop the nodes, let the gateway hand over what it has, wait until the ledger has published it."""
    for node in world.nodes:
        node.stop()
    wait_for("the gateway's backlog", lambda: backlog(world.gateway_log) == 0)
    if world.gateway is not None:
        world.gateway.stop()  # its last act is a commit and a sync
    wait_for("the ledger's publication", lambda: published(world))


def published(world: World) -> bool:
    status = world.api("GET", "/status")
    return bool(status["pending"] == 0 and status["published_size"] == status["size"])


def wait_for(what: str, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while not done():
        if time.monotonic() > deadline:
            raise DemoError(f"waited {DRAIN_TIMEOUT_S:.0f} s for {what}")
        time.sleep(0.1)


def read_acks(folder: Path) -> dict[str, dict[int, str]]:
    """kid hex -> {seq: identity hex}, from what the node processes wrote when they saw an acknowledgement."""
    acked: dict[str, dict[int, str]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        acked[path.stem] = {line["seq"]: line["identity"] for line in lines}
    return acked


def public_key(world: World, thumbprint: str) -> str:
    """A node's public key, hex, as the ledger lists it."""
    listed = {node["thumbprint"]: node["public_key"] for node in world.api("GET", "/status")["nodes"]}
    return str(listed[thumbprint])


def fetch_bundles(world: World, decision: dict[str, Any] | None, acked: dict[str, dict[int, str]]) -> list[Path]:
    """One reading and the whole journey of every node, and the decision if there is one."""
    wanted: list[tuple[str, list[str]]] = []
    for number, key in enumerate(world.node_keys):
        seqs = sorted(acked[key[:16]])
        wanted.append((f"reading-{number}.zip", ["reading", key, str(seqs[-1])]))
        wanted.append((f"window-{number}.zip", ["window", key, str(seqs[0]), str(seqs[-1])]))
    if decision is not None:
        wanted.append(("decision-0.zip", ["decision", decision["identity"]]))
    access = ["--url", world.url, "--token-file", str(world.token_file)]
    for name, words in wanted:
        world.run("cloud", "evidence", *words, *access, "--out", world.folder / name)
    return [world.folder / name for name, _ in wanted]


def compare(acked: dict[str, dict[int, str]], export: Path) -> str:
    """A sentence that says that the export holds every acknowledged reading, and each (kid, seq) once."""
    found: dict[tuple[str, int], str] = {}
    rows = cbor.decode_sequence(export.read_bytes())
    for _, _, _, verdict, data in rows:
        opened = reading.parse(data)
        key = (opened.kid.hex(), opened.chain.seq)
        if key in found:
            raise DemoError(f"{export.name} holds reading {key[1]} of node {key[0]} twice")
        if verdict == "valid":
            found[key] = opened.identity.hex()
    lost = [
        (kid, seq) for kid, seqs in acked.items() for seq, identity in seqs.items() if found.get((kid, seq)) != identity
    ]
    if lost:
        raise DemoError(f"{len(lost)} acknowledged readings are not in {export.name}, the first: {lost[0]}")
    return f"{export.name}: {len(rows)} readings of {len(PLACES)} nodes, every acknowledged one among them, each once"
