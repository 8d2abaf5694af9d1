"""Fixtures of the tests that start real processes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gateway_support import GatewayProcess

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
