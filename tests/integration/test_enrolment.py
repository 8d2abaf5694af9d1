"""The first hour of a site: authorities, a gateway, and a real MicroPython node that is enrolled over the cable."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_support import GatewayProcess
from http_ledger import HttpLedger

from tallystick_ledger.facts import START, facts
from tallystick_proof import keys
from tallystick_provisioning import secret_file
from tallystick_tools.unix_node import UnixNode
from tallystick_wire.reading import Reading, parse

DEADLINE_S = 60.0

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
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=DEADLINE_S
        )

    def enrol_node(self, port: str, ledger: str, *more: str) -> subprocess.CompletedProcess[str]:
        return self.tallystick(
            "node", "enrol", "--port", port, "--authority", "node.key", "--site-key", "site.key", "--trust",
            "trust.toml", "--ledger", ledger, "--model", "TS-1", "--serial", "0042", *more,
        )  # fmt: skip

    def enrol_gateway(self, port: str, ledger: str, *more: str) -> subprocess.CompletedProcess[str]:
        return self.tallystick(
            "gateway", "enrol", "gw", "--authority", "gateway.key", "--trust", "trust.toml", "--ledger", ledger,
            "--site-key", "site.key", "--port", port, "--checkpoint-interval-ms", "200",
            "--anchor-interval-ms", "300", *more,
        )  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, world: Any) -> Site:
    return Site(tmp_path / "site", world)


def wait(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_from_nothing_to_anchored_readings(site: Site, ledger: HttpLedger, node: UnixNode) -> None:
    dry = site.enrol_node(node.port, ledger.url, "--dry-run")
    assert (dry.returncode, "is new; it would be enrolled" in dry.stdout) == (0, True), dry.stderr
    done = site.enrol_node(node.port, ledger.url)
    assert done.returncode == 0, done.stderr
    assert "enrolled, ledger index pending" in done.stdout
    again = site.enrol_node(node.port, ledger.url)
    assert "refused the enrolment" in again.stdout, "the ledger keeps the first statement"

    made = site.enrol_gateway(node.port, ledger.url)
    assert made.returncode == 0, made.stderr
    checked = site.tallystick("gateway", "config", "check", "gw/gateway.toml")
    assert checked.returncode == 0, checked.stderr
    ledger.settle()
    log = (site.folder / "gateway.log").open("wb")
    command = [sys.executable, "-m", "tallystick_tools", "gateway", "run", "--config", "gw/gateway.toml"]
    gateway = subprocess.Popen(command, cwd=site.folder, stderr=log)
    try:
        wait(lambda: anchored(ledger), (site.folder / "gateway.log").read_text())
    finally:
        gateway.terminate()
        assert gateway.wait(DEADLINE_S) == 0
        log.close()


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
    assert "which waited in the outbox" in later.stdout
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
        promised |= gateway.port.promised(node.signer, 0.3)
        gateway.kill()
        gateway.start()
    assert promised
    wait(lambda: gateway.status()["backlog"] == 0, "not in step")
    ledger.settle()
    assert promised <= {one.chain.seq for one in valid_readings(ledger)}
