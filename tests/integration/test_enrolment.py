"""The first hour of a site: authorities, a gateway, and a real MicroPython node that is enrolled over the cable."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from broker_support import Broker
from free_port import free_port
from gateway_support import GatewayProcess
from http_ledger import HttpLedger
from patience import PATIENCE_S, until

from tallystick_emulators.unix_node import UnixNode
from tallystick_ledger.facts import START, facts
from tallystick_proof import keys
from tallystick_provisioning import secret_file
from tallystick_wire.reading import Reading, parse

COMMAND_S = 2 * PATIENCE_S  # one that talks to a node and a ledger
pytestmark = pytest.mark.alone


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("first-hour")


@pytest.fixture
def ledger(tmp_path: Path, world: Any) -> Iterator[HttpLedger]:
    made = HttpLedger(tmp_path / "ledger", world)
    yield made
    made.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[UnixNode]:
    with UnixNode(tmp_path / "node", {"TALLYSTICK_INTERVAL_MS": "200"}) as made:
        made.start()
        yield made


class Site:
    """The installer's folder."""

    def __init__(self, folder: Path, world: Any) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "trust.toml").write_text(world.trust.format())
        secret_file.write_new(folder / "site.key", f"tallystick-site-v1 {bytes(range(32)).hex()}\n")
        for kind in ("node", "gateway"):
            secret_file.write_new(folder / f"{kind}.key", keys.format_secret(world.signers[f"authority-{kind}"]))

    def tallystick(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tallystick_tools", *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=COMMAND_S
        )

    def enrol_node(self, port: str, ledger: str, *more: str) -> subprocess.CompletedProcess[str]:
        return self.tallystick(
            "node", "enrol", "--port", port, "--authority", "node.key", "--site-key", "site.key", "--trust",
            "trust.toml", "--ledger", ledger, "--model", "TS-1", "--serial", "0042", *more,
        )  # fmt: skip

    @contextmanager
    def running_gateway(self) -> Iterator[None]:
        log = (self.folder / "gateway.log").open("wb")
        command = [sys.executable, "-m", "tallystick_tools", "gateway", "run", "--config", "gw/gateway.toml"]
        gateway = subprocess.Popen(command, cwd=self.folder, stderr=log)
        try:
            yield
        finally:
            gateway.terminate()
            assert gateway.wait(PATIENCE_S) == 0
            log.close()

    def enrol_gateway(self, port: str | None, ledger: str, *more: str) -> subprocess.CompletedProcess[str]:
        return self.tallystick(
            "gateway", "enrol", "gw", "--authority", "gateway.key", "--trust", "trust.toml", "--ledger", ledger,
            "--site-key", "site.key", *([] if port is None else ["--port", port]), "--checkpoint-interval-ms", "200",
            "--anchor-interval-ms", "300", *more,
        )  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, world: Any) -> Site:
    return Site(tmp_path / "site", world)


def wait(done: Callable[[], bool], what: str) -> None:
    until(done, what)


def test_from_nothing_to_anchored_readings(site: Site, ledger: HttpLedger, node: UnixNode) -> None:
    dry = site.enrol_node(node.port, ledger.url, "--dry-run")
    assert (dry.returncode, "is new; it would be enrolled" in dry.stdout) == (0, True), dry.stderr
    done = site.enrol_node(node.port, ledger.url)
    assert done.returncode == 0, done.stderr
    assert "enrolled, ledger index pending" in done.stdout
    again = site.enrol_node(node.port, ledger.url)
    assert again.returncode == 0, again.stdout
    assert "was enrolled already" in again.stdout, "the ledger keeps the first statement"

    made = site.enrol_gateway(node.port, ledger.url)
    assert made.returncode == 0, made.stderr
    checked = site.tallystick("gateway", "config", "check", "gw/gateway.toml")
    assert checked.returncode == 0, checked.stderr
    ledger.settle()
    with site.running_gateway():
        wait(lambda: anchored(ledger), "a reading with an anchor")


def test_a_site_with_a_broker(site: Site, ledger: HttpLedger, tmp_path: Path) -> None:
    """docs/operator.md, "Nodes over a broker", command by command."""
    port = free_port()
    make = ("gateway", "broker-config", "broker", "--host", "localhost", "--site-key", "site.key")
    here = ("--port", str(port), "--bind", "127.0.0.1")
    for more in (("--dry-run",), ()):
        made = site.tallystick(*make, *here, *more)
        assert made.returncode == 0, made.stderr
    broker = Broker(site.folder / "broker", port)
    settings = broker.settings() | {"TALLYSTICK_INTERVAL_MS": "200"}
    broker.start()
    try:
        with UnixNode(tmp_path / "node", settings) as node:
            node.start()
            enrolled = site.enrol_gateway(None, ledger.url, "--mqtt", f"localhost:{port}", "--mqtt-files", "broker")
            assert enrolled.returncode == 0, enrolled.stderr
            checked = site.tallystick("gateway", "config", "check", "gw/gateway.toml")
            assert checked.returncode == 0, checked.stderr
            assert site.enrol_node(node.port, ledger.url).returncode == 0
            ledger.settle()
            with site.running_gateway():
                wait(lambda: statements(site) == 2, "the gateway knows the node")
                let_in = site.tallystick(*make, *here, "--config", "gw/gateway.toml")
                assert "and 1 node may log in" in let_in.stdout, let_in.stderr
                broker.reload()
                wait(lambda: anchored(ledger), "a reading with an anchor")
    finally:
        broker.stop()


def statements(site: Site) -> int:
    """How many enrolments the gateway knows; 0 while it has not made its log."""
    done = site.tallystick("gateway", "status", "--config", "gw/gateway.toml", "--json")
    return int(json.loads(done.stdout)["statements"]) if done.returncode == 0 else 0


def anchored(ledger: HttpLedger) -> bool:
    """Whether the ledger holds a valid reading with an anchor: everything worked, both ways."""
    ledger.settle()
    return any(one.chain.anchor is not None for one in valid_readings(ledger))


def valid_readings(ledger: HttpLedger) -> list[Reading]:
    return [parse(one.data) for one in facts(ledger.ledger, START, 1000) if one.verdict == "valid"]


def test_without_a_network_it_is_pending(site: Site, ledger: HttpLedger, node: UnixNode) -> None:
    away = "http://127.0.0.1:1"
    done = site.enrol_node(node.port, away)
    assert (done.returncode, "enrolled, pending" in done.stdout) == (0, True), done.stderr
    made = site.enrol_gateway(node.port, away)
    assert (made.returncode, "enrolled, pending" in made.stdout) == (0, True), made.stderr
    assert len(list((site.folder / "outbox").glob("*.cose"))) == 1
    later = site.enrol_node(node.port, ledger.url)
    assert "enrolled, ledger index pending" in later.stdout, "the one that waited: its key gets no second one"
    assert list((site.folder / "outbox").glob("*.cose")) == []


def test_a_gateway_is_made_once(site: Site, ledger: HttpLedger, node: UnixNode) -> None:
    assert site.enrol_gateway(node.port, ledger.url, "--dry-run").returncode == 0
    assert not (site.folder / "gw").exists()
    assert site.enrol_gateway(node.port, ledger.url).returncode == 0
    before = {path: path.read_bytes() for path in (site.folder / "gw").rglob("*") if path.is_file()}
    again = site.enrol_gateway(node.port, ledger.url)
    assert (again.returncode, "exists already; nothing was written" in again.stderr) == (1, True)
    assert {path: path.read_bytes() for path in (site.folder / "gw").rglob("*") if path.is_file()} == before


def test_a_power_cut_of_the_gateway_costs_nothing(
    make_gateway: Callable[..., GatewayProcess], world: Any, ledger: HttpLedger
) -> None:
    """Kill the gateway while readings stream; whatever it acknowledged reaches the ledger."""
    ledger.enrol("gateway", "node-a")
    ledger.settle()
    gateway = make_gateway(world, ledger=ledger.url)
    node = world.nodes["node-a"]
    gateway.start()
    wait(lambda: gateway.status()["statements"] == 2, "no downlink")
    promised: set[int] = set()
    for _ in range(3):
        for _ in range(40):
            gateway.port.send(node.measure().data)
        promised |= gateway.port.promised(node.signer, 0.3, PATIENCE_S)
        gateway.kill()
        gateway.start()
    assert promised
    wait(lambda: gateway.status()["backlog"] == 0, "not in step")
    ledger.settle()
    assert promised <= {one.chain.seq for one in valid_readings(ledger)}
