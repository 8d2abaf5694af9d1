"""Fixtures of the tests that start real processes."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gateway_support import GatewayProcess
from pcsc_daemon import PcscDaemon

from tallystick_edge.link_config import MqttConfig


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
