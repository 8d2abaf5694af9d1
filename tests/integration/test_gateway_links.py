"""A real gateway process on real ptys, without a ledger: what it stores, acknowledges and refuses."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from free_port import free_port
from gateway_support import SITE_KEY, GatewayProcess
from patience import PATIENCE_S

from tallystick_proof import entry, statement
from tallystick_proof.entry import GatewayEntry
from tallystick_wire import frame, message, reading, senml
from tallystick_wire.reading import Chain

MakeGateway = Callable[..., GatewayProcess]
QUIET_S = 0.6  # how long "no acknowledgement comes" is watched


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("links")


@pytest.fixture
def gateway(make_gateway: MakeGateway, world: Any) -> GatewayProcess:
    """A gateway that knows node-a."""
    made = make_gateway(world)
    made.know_nodes("node-a")
    made.start()
    return made


def stored(gateway: GatewayProcess) -> list[bytes]:
    """The readings in the log, in order."""
    entries = [GatewayEntry.decode(data) for data in gateway.entries()]
    return [one.body for one in entries if one.kind == entry.READING and isinstance(one.body, bytes)]


def metrics(port: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/metrics"
    lines = httpx.get(url, trust_env=False, timeout=PATIENCE_S).text.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name.removeprefix("tallystick_gateway_"): float(value) for name, value in pairs}


def test_a_reading_is_stored_then_acknowledged(gateway: GatewayProcess, world: Any) -> None:
    node = world.nodes["node-a"]
    first = node.measure()
    gateway.port.send(first.data)
    ack = gateway.port.ack_of(node.signer, 1)
    assert (ack.kid, ack.boot, ack.high, ack.gaps) == (node.signer.kid, 1, 1, [])
    assert stored(gateway) == [first.data]


def test_every_boot_begins_with_a_note(gateway: GatewayProcess) -> None:
    gateway.stop()
    gateway.start()
    notes = [GatewayEntry.decode(data) for data in gateway.entries()]
    boots = [one.boot for one in notes if one.kind == entry.NOTE and one.body[0] == entry.NOTE_BOOT]
    assert boots == [1, 2]
    assert notes[0].body[0] == entry.NOTE_BOOT


def test_gaps_are_named(gateway: GatewayProcess, world: Any) -> None:
    node = world.nodes["node-a"]
    made = [node.measure() for _ in range(5)]
    for at in (0, 3, 4):
        gateway.port.send(made[at].data)
    assert gateway.port.ack_of(node.signer, 5).gaps == [(2, 3)]
    gateway.port.send(made[1].data)
    gateway.port.send(made[2].data)
    assert gateway.port.ack_of(node.signer, 3).gaps == []


def test_a_duplicate_is_acknowledged_and_not_stored(gateway: GatewayProcess, world: Any) -> None:
    node = world.nodes["node-a"]
    first = node.measure()
    for _ in range(3):
        gateway.port.send(first.data)
        gateway.port.ack_of(node.signer, 1)
    assert stored(gateway) == [first.data]


def test_an_unprotected_header_is_left_out(gateway: GatewayProcess, world: Any) -> None:
    node = world.nodes["node-a"]
    first = node.measure()
    dressed = first.data.replace(b"\xa0", b"\xa1\x18\x63\x01", 1)
    assert reading.parse(dressed).identity == first.identity
    gateway.port.send(dressed)
    gateway.port.ack_of(node.signer, 1)
    assert stored(gateway) == [first.data]


def test_a_replay_after_a_restart_is_a_duplicate(gateway: GatewayProcess, world: Any) -> None:
    node = world.nodes["node-a"]
    made = [node.measure() for _ in range(3)]
    for one in made:
        gateway.port.send(one.data)
    gateway.port.ack_of(node.signer, 3)
    gateway.kill()
    gateway.start()
    gateway.port.send(made[0].data)
    assert gateway.port.ack_of(node.signer, 1).high == 3
    assert stored(gateway) == [one.data for one in made]


def test_a_fork_is_stored_beside_the_first(gateway: GatewayProcess, world: Any, make_world: Callable[..., Any]) -> None:
    node, clone = world.nodes["node-a"], make_world("links").nodes["node-a"]
    honest, forked = node.measure(450), clone.measure(900)
    assert (honest.chain.seq, honest.kid) == (forked.chain.seq, forked.kid)
    gateway.port.send(honest.data)
    gateway.port.ack_of(node.signer, 1)
    gateway.port.send(forked.data)
    gateway.port.ack_of(node.signer, 1)
    gateway.port.send(forked.data)
    gateway.port.ack_of(node.signer, 1)
    assert stored(gateway) == [honest.data, forked.data]
    assert gateway.status()["nodes"][0]["forks"] == 1


def test_a_wrong_key_is_refused(gateway: GatewayProcess, world: Any, make_world: Callable[..., Any]) -> None:
    node, stranger = world.nodes["node-a"], make_world("elsewhere").nodes["node-a"]
    genuine = node.measure()
    forged = genuine.data[:-64] + stranger.measure().data[-64:]
    gateway.port.send(forged)
    assert gateway.port.ack(node.signer, QUIET_S) is None
    assert stored(gateway) == []
    gateway.port.send(genuine.data)
    gateway.port.ack_of(node.signer, 1)


def test_an_unknown_node_is_kept_once_and_never_acknowledged(gateway: GatewayProcess, world: Any) -> None:
    node, known = world.nodes["node-b"], world.nodes["node-a"]
    first, behind = node.measure(), known.measure()
    for _ in range(3):
        gateway.port.send(first.data)
    gateway.port.send(behind.data)
    assert gateway.port.ack_of(known.signer, 1).kid == known.signer.kid, "the first answer, to what came last"
    assert gateway.port.ack(node.signer, QUIET_S) is None
    assert stored(gateway) == [first.data, behind.data]
    (status,) = [one for one in gateway.status()["nodes"] if one["kid"] == node.signer.kid.hex()]
    assert (status["enrolled"], status["waiting"]) == (False, 1)


def test_an_unknown_node_is_acknowledged_after_its_enrolment(gateway: GatewayProcess, world: Any) -> None:
    node, forger = world.nodes["node-b"], world.nodes["node-a"]
    first, second = node.measure(), node.measure()
    forged = second.data[:-64] + forger.measure().data[-64:]
    gateway.port.send(first.data)
    gateway.port.send(forged)
    assert gateway.port.ack(node.signer, QUIET_S) is None
    gateway.wait(lambda: stored(gateway) == [first.data, forged])
    gateway.kill()
    gateway.know_nodes("node-b")
    gateway.start()
    gateway.port.send(first.data)
    ack = gateway.port.ack_of(node.signer, 1)
    assert (ack.high, ack.gaps) == (1, []), "the forged one must not count"
    assert stored(gateway) == [first.data, forged]


def test_junk_is_counted_and_the_next_frame_is_read(make_gateway: MakeGateway, world: Any) -> None:
    made = make_gateway(world, metrics_port=free_port())
    made.know_nodes("node-a")
    made.start()
    node = world.nodes["node-a"]
    port = int(next(line for line in made.config.read_text().splitlines() if "metrics_port =" in line).split("=")[1])
    first = node.measure()
    damaged = bytearray(frame.encode(first.data))
    damaged[40] ^= 1
    for junk in (b"\x00\x01\x02\xff\xff\x00", b"\xaa" * 5000 + b"\x00", bytes(damaged), frame.encode(b"hello")):
        made.port.send_raw(junk)
    made.port.send(message.build_hello())
    made.port.send(first.data)
    made.port.ack_of(node.signer, 1)
    counted = metrics(port)
    damaged_frames = {name: value for name, value in counted.items() if name.startswith("frames_damaged_total")}
    assert sum(damaged_frames.values()) >= 3
    assert counted['rejected_total{reason="malformed"}'] == 1
    assert (counted["other_total"], counted["stored_total"], counted["received_total"]) == (1, 1, 3)


def test_a_reading_of_another_base_name_is_refused(gateway: GatewayProcess, world: Any) -> None:
    node = world.nodes["node-a"]
    payload = senml.encode_pack(senml.base_name(1, node.signer.kid), [senml.Record("d", None, True)])
    chain = Chain(1, 1, 60_000, reading.genesis(world.origin, node.signer.public_key), None)
    gateway.port.send(statement.build_reading(node.signer, chain, payload))
    assert gateway.port.ack(node.signer, QUIET_S) is None
    assert stored(gateway) == []


def test_a_revoked_node_is_refused(make_gateway: MakeGateway, world: Any) -> None:
    made = make_gateway(world)
    made.know_nodes("node-a", "node-b")
    made.know(world.statements[world.revoke("node-a")][0])
    made.start()
    gone, stays = world.nodes["node-a"], world.nodes["node-b"]
    made.port.send(gone.measure().data)
    assert made.port.ack(gone.signer, QUIET_S) is None
    made.port.send(stays.measure().data)
    made.port.ack_of(stays.signer, 1)
    assert len(stored(made)) == 1


def test_an_enrolment_by_a_stranger_has_no_effect(
    make_gateway: MakeGateway, world: Any, make_world: Callable[..., Any]
) -> None:
    other = make_world("elsewhere")
    made = make_gateway(world)
    made.know(other.statements[other.enrolments["node-a"]][0])
    made.start()
    node = other.nodes["node-a"]
    made.port.send(node.measure().data)
    assert made.port.ack(node.signer, QUIET_S) is None
    made.wait(lambda: bool(made.events("statement-refused")))


def test_only_a_witnessed_checkpoint_becomes_an_anchor(make_gateway: MakeGateway, world: Any) -> None:
    good, bare = world.ledger.published[-1][1], world.ledger.publish(lags_s=())
    for note, expected in ((bare, False), (good, True)):
        made = make_gateway(world)
        made.know_nodes("node-a")
        made.know(note=note)
        made.start()
        node = world.nodes["node-a"]
        made.port.send(node.measure().data)
        key = message.link_key(SITE_KEY, node.signer.thumbprint)
        made.port.ack_of(node.signer, node.seq)
        # The good one must come, however late; the other one is not waited for that long.
        anchor = made.port.receive(PATIENCE_S if expected else QUIET_S)
        assert (anchor is not None and message.kind(anchor) == "anchor") == expected
        if anchor is not None:
            message.open_anchor(key, anchor)
        made.stop()


def test_an_anchor_is_not_sent_again_once_a_reading_shows_it(make_gateway: MakeGateway, world: Any) -> None:
    note = world.ledger.published[-1][1]
    made = make_gateway(world, anchor_interval_ms=100)
    made.know_nodes("node-a")
    made.know(note=note)
    made.start()
    node = world.nodes["node-a"]
    made.port.send(node.measure().data)
    key = message.link_key(SITE_KEY, node.signer.thumbprint)
    while (payload := made.port.receive()) is not None and message.kind(payload) != "anchor":
        continue
    assert payload is not None
    size, _ = message.open_anchor(key, payload)
    node.hold(note)
    made.port.send(node.measure().data)
    made.port.ack_of(node.signer, 2)
    later = [payload for _ in range(5) if (payload := made.port.receive(0.2)) is not None]
    assert [payload for payload in later if message.kind(payload) == "anchor"] == []
    assert size == world.ledger.published[-1][0]


def test_acknowledgements_stay_true_through_kills(make_gateway: MakeGateway, world: Any) -> None:
    """SIGKILL at any time: whatever was acknowledged is in the log."""
    made = make_gateway(world, commit_ms=2)
    made.know_nodes("node-a")
    node = world.nodes["node-a"]
    readings = {one.chain.seq: one for one in (node.measure() for _ in range(120))}
    promised: set[int] = set()
    for attempt in range(4):
        made.start()
        due = [seq for seq in readings if seq not in promised]
        for seq in due[: 30 + 10 * attempt]:
            made.port.send(readings[seq].data)
        time.sleep(0.01 * attempt)
        made.kill()
        promised |= made.port.promised(node.signer, 0.05, 0.05)
        kept = {reading.parse(data).chain.seq for data in stored(made)}
        assert promised <= kept
    made.start()
    for seq in readings:
        made.port.send(readings[seq].data)
    made.port.ack_of(node.signer, 120)
    assert sorted(reading.parse(data).chain.seq for data in stored(made)) == list(readings)


def test_it_ends_with_0_when_told_and_tells_a_second_gateway_no(gateway: GatewayProcess) -> None:
    command = [sys.executable, "-m", "tallystick_tools", "gateway", "run", "--config", str(gateway.config)]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert second.returncode == 2
    assert "another gateway runs on this folder" in second.stderr
    assert gateway.stop() == 0
