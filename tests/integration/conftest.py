"""Fixtures of the tests that start real processes."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bank_api import Api
from finance_support import Bank
from fleet import BenchClock
from gateway_support import GatewayProcess
from http_ledger import HttpLedger
from pcsc_daemon import PcscDaemon
from tag_desk import Desk

from tallystick_edge.link_config import MqttConfig
from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_udp import UdpTagServer
from tallystick_finance import routes
from tallystick_tools.practice_site import make_firmware, make_site

if TYPE_CHECKING:
    from small_world import Story


@pytest.fixture
def make_gateway(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """make_gateway(world, ledger=URL, ports=N, name=..., brokers=[...], **settings of gateway.toml)"""
    made: list[GatewayProcess] = []

    def make(
        world: Any,
        ledger: str = "http://127.0.0.1:9",
        ports: int = 1,
        name: str = "gateway",
        brokers: Sequence[MqttConfig] = (),
        **numbers: int,
    ) -> GatewayProcess:
        folder = tmp_path / f"{name}-{len(made)}"
        made.append(GatewayProcess(folder, world, name, ledger, ports, (), brokers, **numbers))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


@pytest.fixture(scope="session")
def pcsc_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PcscDaemon]:
    """One for the whole run: libpcsclite asks for its socket's path once in a process."""
    daemon = PcscDaemon(tmp_path_factory.mktemp("pcsc"))
    os.environ["PCSCLITE_CSOCK_NAME"] = str(daemon.socket_path)
    yield daemon
    daemon.stop()


@pytest.fixture
def installer_world(make_world: Callable[..., Any]) -> Any:
    """A world in which an installer is enrolled."""
    made = make_world("tags")
    made.enrol("installer")
    return made


@pytest.fixture
def installer_ledger(tmp_path: Path, installer_world: Any) -> Iterator[HttpLedger]:
    """A ledger that knows the installer."""
    made = HttpLedger(tmp_path / "ledger", installer_world)
    made.enrol("installer")
    made.settle()
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path, installer_world: Any) -> Desk:
    """The installer's folder."""
    return Desk(tmp_path / "desk", installer_world)


@pytest.fixture
def field() -> Field:
    """The antenna that `link` leads to."""
    return Field()


@pytest.fixture
def link(field: Field) -> Iterator[str]:
    """A reader's name for nfcpy."""
    with UdpTagServer(field) as server:
        yield server.path


@pytest.fixture
def bank(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[Bank]:
    """Its lots are watched by one node."""
    made = Bank(tmp_path, make_world)
    yield made
    made.close()


@pytest.fixture
def bank_of_two(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[Bank]:
    """Its lots are watched by two nodes."""
    made = Bank(tmp_path, make_world, ("node-a", "node-b"))
    yield made
    made.close()


@pytest.fixture
def api(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The bank's developer, for whom no request waits until a checkpoint is published."""
    monkeypatch.setattr(routes, "PUBLISH_WAIT_S", 0.0)
    made = Api(bank)
    with made.client:
        yield made


@pytest.fixture(scope="module")
def bundles(world: "Story") -> dict[str, bytes]:
    """An honest bundle of each kind."""
    return {
        "reading": world.reading_bundle("node-a", 2),
        "window": world.window_bundle("node-b", 3, 8),
        "decision": world.decision_bundle(world.loan, 1),
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's keys and trust.toml, without a ledger."""
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is copied onto boards."""
    return make_firmware(tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def patience() -> BenchClock:
    """The clock of a bench: ends() where nobody answers."""
    return BenchClock()
