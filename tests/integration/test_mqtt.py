"""Readings through a real broker: MicroPython nodes, Mosquitto with TLS, the gateway process. Nothing is played but the
intruders."""

import json
import re
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import strace
import update_support
from broker_support import Broker, as_gateway, as_node
from free_port import free_port
from gateway_support import SITE_KEY, GatewayProcess
from patience import PATIENCE_S, until, whole_lines
from update_support import DOWNLINK, FIRMWARE

from tallystick_edge import broker_certificates
from tallystick_emulators.unix_node import UnixNode
from tallystick_fleet.enrol_node import NodeJob, enrol_node
from tallystick_proof import entry
from tallystick_proof.entry import GatewayEntry
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.serial_port import SerialPort
from tallystick_provisioning.update_keys import UpdateKeys
from tallystick_wire import broker as names
from tallystick_wire import message
from tallystick_wire.reading import Reading, parse

pytestmark = pytest.mark.alone

NOT_AUTHORISED = 0x87
REFUSED_FOR_A_WHILE_S = 1.5  # how long "nothing comes" is watched


class Site:
    """A broker, a gateway that reads it, and nodes that were enrolled over their cables."""

    def __init__(self, folder: Path, world: Any, make_gateway: Callable[..., GatewayProcess]) -> None:
        self.folder, self.world = folder, world
        self.broker = Broker(folder / "broker")
        self.metrics_port = free_port()
        self.gateway = make_gateway(world, ports=0, brokers=[self.broker.link], metrics_port=self.metrics_port)
        self.nodes: list[UnixNode] = []

    def node(self, **settings: object) -> UnixNode:
        """A node that runs, is enrolled, may log in and is known to the gateway (which must not run yet)."""
        folder = self.folder / f"node-{len(self.nodes)}"
        chosen = {"interval_ms": 100, "acks_dir": folder / "acks"} | settings
        named = {f"TALLYSTICK_{name.upper()}": str(value) for name, value in chosen.items()}
        made = UnixNode(folder, self.broker.settings() | named)
        self.nodes.append(made)
        made.start()
        cable = SerialPort(made.port)
        outbox = Outbox(folder / "outbox")
        authority, trusted = self.world.signers["authority-node"], UpdateKeys(DOWNLINK.public_key, FIRMWARE.public_key)
        job = NodeJob(self.world.trust, authority, SITE_KEY, outbox, secrets.token_bytes, update_keys=trusted)
        try:
            enrolled = enrol_node(cable, job, "TS-1", f"{len(self.nodes)}")
        finally:
            cable.close()
        self.broker.allow(enrolled.thumbprint)
        self.gateway.know(outbox.waiting()[0].read_bytes())
        return made

    def stored(self) -> list[Reading]:
        """The readings in the gateway's log, in order."""
        entries = [GatewayEntry.decode(data) for data in self.gateway.entries()]
        return [parse(one.body) for one in entries if one.kind == entry.READING and isinstance(one.body, bytes)]

    def wait_stored(self, count: int) -> list[Reading]:
        self.gateway.wait(lambda: len(self.stored()) >= count)
        return self.stored()

    def quiet(self) -> int:
        """How many readings are stored, once no more come."""
        before = -1
        end = time.monotonic() + PATIENCE_S
        while before != (before := len(self.stored())):
            assert time.monotonic() < end, "they never end"
            time.sleep(REFUSED_FOR_A_WHILE_S)
        return before

    def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        lines = httpx.get(url, trust_env=False, timeout=PATIENCE_S).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"tallystick_gateway_{name}"))

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self.broker.stop()


@pytest.fixture
def site(tmp_path: Path, make_world: Callable[..., Any], make_gateway: Callable[..., GatewayProcess]) -> Iterator[Site]:
    made = Site(tmp_path, make_world("broker"), make_gateway)
    made.broker.start()
    yield made
    made.close()


def kid_of(node: UnixNode) -> bytes:
    found = re.search(r"of node ([0-9a-f]{16})", node.log.read_text("utf-8"))
    assert found is not None
    return bytes.fromhex(found[1])


def acked(node: UnixNode) -> dict[int, str]:
    """seq -> identity of what the node was told is safe."""
    path = node.folder / "acks" / f"{kid_of(node).hex()}.jsonl"
    lines = whole_lines(path.read_text("utf-8")) if path.exists() else []
    return {line["seq"]: line["identity"] for line in map(json.loads, lines)}


def wait(done: Callable[[], bool], what: str) -> None:
    until(done, what)


def counted(node: UnixNode, name: str) -> None:
    """Wait until the node says that it counted `name`."""
    wait(lambda: node.counts().get(name, 0) > 0, name)


def whole(readings: list[Reading]) -> None:
    """Each number once, none missing, each reading naming the one before."""
    by_node: dict[bytes, list[Reading]] = {}
    for one in readings:
        by_node.setdefault(one.kid, []).append(one)
    for chain in by_node.values():
        chain.sort(key=lambda one: one.chain.seq)
        assert [one.chain.seq for one in chain] == list(range(1, len(chain) + 1))
        for earlier, later in pairwise(chain):
            assert later.chain.previous == earlier.link


def test_readings_arrive_and_are_acknowledged_through_the_broker(site: Site) -> None:
    nodes = [site.node() for _ in range(3)]
    site.gateway.start()
    for node in nodes:
        wait(lambda node=node: len(acked(node)) >= 10, "acknowledgements")  # type: ignore[misc]
    promised = {identity for node in nodes for identity in acked(node).values()}
    stored = site.stored()
    whole(stored)
    assert {one.kid for one in stored} == {kid_of(node) for node in nodes}
    assert promised <= {one.identity.hex() for one in stored}
    assert site.metric("link_up{") == 1.0
    assert site.metric("rejected_total") == 0.0


def test_a_node_that_sleeps_deeply_wakes_its_radio_for_a_batch(site: Site) -> None:
    node = site.node(deep_sleep=1, interval_ms=1500, batch=3, linger_ms=300)
    pids = {node.pid}
    site.gateway.start()
    while len(found := site.stored()) < 9 or len(pids) < 2:
        assert len(found) < 100, "it never sleeps"
        site.gateway.wait(lambda: len(site.stored()) > len(found))
        pids.add(node.pid)
    assert {one.chain.boot for one in found} == {1}
    whole(found)


def test_a_gateway_that_is_killed_in_mid_stream_loses_nothing(site: Site) -> None:
    nodes = [site.node(interval_ms=30) for _ in range(2)]
    for _ in range(4):
        site.gateway.start()
        have = len(site.stored())
        site.wait_stored(have + 20)
        site.gateway.kill()
    promised = {identity for node in nodes for identity in acked(node).values()}
    site.gateway.start()
    made = [max(acked(node), default=0) + 20 for node in nodes]
    for node, seq in zip(nodes, made, strict=True):
        wait(lambda node=node, seq=seq: seq in acked(node), "the rest")  # type: ignore[misc]
    stored = site.stored()
    assert promised <= {one.identity.hex() for one in stored}
    assert len(stored) == len({one.identity for one in stored}), "a reading stands twice in the log"
    whole(stored)


def test_the_broker_gives_again_what_a_dead_gateway_had_not_stored(site: Site) -> None:
    """Nobody sends it twice here but the broker: it must not be told before the commit."""
    sender = site.world.nodes["node-a"]
    site.broker.allow(sender.signer.thumbprint)
    site.gateway.know_nodes("node-a")
    text = site.gateway.config.read_text("utf-8")
    site.gateway.config.write_text(text.replace("commit_ms = 5", "commit_ms = 10000"), "utf-8")
    site.gateway.start()
    wait(lambda: site.metric("link_up{") == 1.0, "the link")
    intruder = as_node(site.broker, sender.signer)
    made = sender.measure()
    assert intruder.publish(names.up_topic(sender.signer.kid), made.data) == 0
    wait(lambda: site.metric("link_received_total") == 1.0, "the reading")
    site.gateway.kill()  # the reading waits for its commit
    intruder.close()
    assert site.stored() == []
    site.gateway.config.write_text(text, "utf-8")
    site.gateway.start()
    assert [one.data for one in site.wait_stored(1)] == [made.data]


def test_a_broker_that_comes_back_gets_the_backlog_in_order(site: Site) -> None:
    node = site.node(interval_ms=50)
    site.gateway.start()
    site.wait_stored(5)
    site.broker.stop()
    counted(node, "mqtt_lost")
    wait(lambda: "up=False" in "".join(site.gateway.events("link")), "the gateway's loss")
    before = site.quiet()
    site.broker.start()
    stored = site.wait_stored(before + 40)
    whole(stored)
    numbers = [one.chain.seq for one in stored]
    assert numbers[before:] == sorted(numbers[before:])


def test_a_broker_that_another_authority_vouches_for_hears_nothing(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(broker_certificates.authority(broker_certificates.new_key()))
    node = site.node(mqtt_ca=other)
    counted(node, "mqtt_tls")
    assert "not correctly signed" in node.log.read_text("utf-8")
    assert site.broker.packets(kid_of(node)) == 0


def test_a_broker_of_another_name_hears_nothing(site: Site) -> None:
    node = site.node(mqtt=f"127.0.0.1:{site.broker.port}")  # its certificate is for localhost
    counted(node, "mqtt_tls")
    assert site.broker.packets(kid_of(node)) == 0


def test_a_gateway_refuses_a_broker_that_another_authority_vouches_for(site: Site) -> None:
    site.broker.ca.write_bytes(broker_certificates.authority(broker_certificates.new_key()))
    site.gateway.start()
    site.gateway.wait(lambda: any("its certificate does not hold" in line for line in site.gateway.events("link")))
    assert site.metric("link_up{") == 0.0
    assert site.metric("link_failures_total") >= 1.0


def test_a_wrong_password_is_refused(site: Site) -> None:
    node = site.node()
    passwords = site.broker.folder / "passwords"
    lines = passwords.read_text("ascii").splitlines()
    gateways = next(line for line in lines if line.startswith("gateway:")).partition(":")[2]
    site.broker.stop()
    passwords.write_text("".join(f"{line.partition(':')[0]}:{gateways}\n" for line in lines), "ascii")
    site.broker.forget_log()
    site.broker.start()
    counted(node, "mqtt_login")
    assert "does not let this node in, reason 135" in node.log.read_text("utf-8")
    assert site.broker.packets(kid_of(node)) == 0


def test_a_foreign_topic_is_refused(site: Site) -> None:
    """A node that turned may publish to its own topic only, and there only what it signed itself."""
    thief, victim = site.world.nodes["node-a"], site.world.nodes["node-b"]
    site.broker.allow(thief.signer.thumbprint, victim.signer.thumbprint)
    site.gateway.know_nodes("node-a", "node-b")
    site.gateway.start()
    wait(lambda: site.metric("link_up{") == 1.0, "the link")
    intruder = as_node(site.broker, thief.signer)
    stolen = victim.measure()
    assert intruder.publish(names.up_topic(victim.signer.kid), stolen.data) == NOT_AUTHORISED
    assert intruder.publish(names.down_topic(victim.signer.kid), b"x") == NOT_AUTHORISED
    assert intruder.publish(names.up_topic(thief.signer.kid), stolen.data) == 0
    own = thief.measure()
    assert intruder.publish(names.up_topic(thief.signer.kid), own.data) == 0
    assert [one.data for one in site.wait_stored(1)] == [own.data]
    assert site.metric('rejected_total{reason="foreign-topic"}') == 1.0
    intruder.close()


def test_junk_is_refused_and_counted(site: Site) -> None:
    sender = site.world.nodes["node-a"]
    site.broker.allow(sender.signer.thumbprint)
    site.gateway.know_nodes("node-a")
    site.gateway.start()
    wait(lambda: site.metric("link_up{") == 1.0, "the link")
    intruder, topic = as_node(site.broker, sender.signer), names.up_topic(sender.signer.kid)
    for payload in (b"", b"\0" * 100, b"\xff" * 1200, b"x" * 1201, b"x" * 3000):
        assert intruder.publish(topic, payload) == 0
    made = sender.measure()
    intruder.publish(topic, made.data)
    assert [one.data for one in site.wait_stored(1)] == [made.data]
    assert site.metric('rejected_total{reason="malformed"}') == 3.0
    assert site.metric("frames_damaged_total{") == 2.0
    intruder.close()
    # All of it is settled: a gateway that restarts does not get it again.
    wait(lambda: site.broker.log().count("Received PUBACK from ") == 6, "the gateway tells the broker")
    site.gateway.stop()
    site.gateway.start()
    wait(lambda: site.metric("link_up{") == 1.0, "the link")
    time.sleep(REFUSED_FOR_A_WHILE_S)
    assert site.metric("link_received_total") == site.metric("frames_damaged_total{") == 0.0


def test_forged_acknowledgements_free_nothing(site: Site) -> None:
    """Whoever has the gateway's password at the broker still has no link key."""
    node = site.node()
    kid = kid_of(node)
    wait(lambda: "mqtt: localhost: connected" in node.log.read_text("utf-8"), "the node")
    intruder = as_gateway(site.broker)
    forged = message.build_ack(bytes(message.LINK_KEY_BYTES), kid, 1, 1, [])
    for payload in (forged, message.build_anchor(bytes(message.LINK_KEY_BYTES), 5, bytes(16)), b"junk", b"\xff" * 1200):
        intruder.publish(names.down_topic(kid), payload)
    for name in ("acks_refused", "anchors_refused", "bad_messages"):
        counted(node, name)
    assert acked(node) == {}
    intruder.close()
    site.gateway.start()
    wait(lambda: 1 in acked(node), "the real acknowledgement")


class HostileBroker:
    """Somebody with the site's certificate who answers a node's CONNECT with `answer`."""

    def __init__(self, broker: Broker, answer: bytes) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(broker.folder / "server.crt", broker.folder / "server.key")
        self._answer = answer
        self._listener = context.wrap_socket(socket.create_server(("127.0.0.1", broker.port)), server_side=True)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except ssl.SSLError:
                continue  # whoever it was went away
            except OSError:
                return
            connection.settimeout(PATIENCE_S)
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(self._answer)
                while connection.recv(4096):
                    pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)


GOOD_CONNACK = b"\x20\x03\x00\x00\x00"
HOSTILE = {
    "junk": (b"\x00" * 64, "mqtt_malformed"),
    "oversize": (b"\x30\xff\xff\xff\x7f" + b"x" * 3000, "mqtt_malformed"),
    "acknowledges-what-was-never-sent": (GOOD_CONNACK + b"\x40\x02\x00\x09", "mqtt_malformed"),
    "no-qos-1": (b"\x20\x05\x00\x00\x02\x24\x00", "mqtt_login"),
    "foreign-topic": (GOOD_CONNACK + b"\x90\x04\x00\x01\x00\x00" + b"\x30\x08\x00\x03a/b\x00hi", "mqtt_foreign"),
    "goodbye": (GOOD_CONNACK + b"\xe0\x01\x8b", "mqtt_lost"),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_broker_changes_nothing(site: Site, name: str) -> None:
    answer, count = HOSTILE[name]
    node = site.node()
    site.broker.stop()
    hostile = HostileBroker(site.broker, answer)
    counted(node, count)
    assert acked(node) == {}
    hostile.close()
    site.broker.start()
    site.gateway.start()
    wait(lambda: 1 in acked(node), "the real broker")


def test_a_packet_is_one_write(site: Site, tmp_path: Path) -> None:
    """Head and payload in two writes would wait for each other. A TLS record goes out whole, and is one packet."""
    node = site.node()
    node.kill()
    report = tmp_path / "trace"
    trace = "trace=write,writev,sendto,sendmsg"
    node.prefix = ["strace", "-DD", "-f", "-q", "-xx", "-s", "5", "-e", trace, "-o", str(report)]
    site.broker.stop()
    site.broker.forget_log()
    site.broker.start()
    site.gateway.start()
    node.start()
    wait(lambda: len(acked(node)) >= 30, "acknowledgements")
    node.stop()
    # An application record begins 17 03 03 and its length; (its length, what was to be written, what was written).
    record = r'\(\d+, "\\x17\\x03\\x03\\x(..)\\x(..)"[^)]*, (\d+)[^)]*\) += (\d+)'
    records = re.findall(record, strace.written(report))
    assert len(records) > 30
    for high, low, size, written in records:
        assert int(size) == int(written) == int(high + low, 16) + 5, "a write that is not one whole record"
    wait(lambda: site.broker.packets(kid_of(node)) >= len(records), "as many packets as writes")
    assert site.broker.packets(kid_of(node)) == len(records)


def identify(site: Site, kid: bytes) -> int:
    command = [sys.executable, "-m", "tallystick_tools", "gateway", "identify", kid.hex()]
    return subprocess.run([*command, "--config", str(site.gateway.config)], check=False).returncode


def test_a_configuration_reaches_its_node_through_the_broker(site: Site) -> None:
    nodes = [site.node(interval_ms=200) for _ in range(2)]
    site.gateway.start()
    for node in nodes:
        wait(lambda node=node: len(acked(node)) >= 1, "acknowledgements")  # type: ignore[misc]
    offers = site.gateway.folder / "state" / "offers"
    offers.mkdir()
    origin = site.world.origin
    foreign = update_support.order(origin="other.example/log")
    own = update_support.order(origin=origin, target=kid_of(nodes[0]))
    for name, settings, order in (("foreign", "interval_ms = 60000", foreign), ("own", "interval_ms = 1000", own)):
        begun = offers / f"{name}.begun"
        begun.write_bytes(update_support.config(settings, order).data)
        begun.rename(offers / f"{name}.offer")  # a gateway that looks meanwhile sees all of it, or nothing
    site.gateway.wait(lambda: any("outcome=current" in line for line in site.gateway.events("update")))
    told = [line for line in site.gateway.events("update") if f"node={kid_of(nodes[0]).hex()}" in line]
    assert [re.findall(r"outcome=(\S+)", line)[0] for line in told] == ["kept", "current"]
    assert len(told) == len(site.gateway.events("update")), "the other node was offered nothing"
    assert len([line for line in site.gateway.events("offer-refused") if "reason=foreign" in line]) == 1
    wait(lambda: "boot 2 of node" in nodes[0].log.read_text("utf-8"), "the boot with the new configuration")
    assert "boot 2 of node" not in nodes[1].log.read_text("utf-8")


def test_staff_make_a_node_blink_through_the_gateway(site: Site) -> None:
    node = site.node()
    site.gateway.start()
    wait(lambda: len(acked(node)) >= 1, "acknowledgements")
    assert identify(site, kid_of(node)) == 0
    counted(node, "identify")
    assert identify(site, bytes(8)) == 1  # never heard
    site.gateway.stop()
    assert identify(site, kid_of(node)) == 2  # nobody is there to do it
