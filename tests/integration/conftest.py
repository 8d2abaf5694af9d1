"""Fixtures of the tests that start real processes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_support import GatewayProcess


@pytest.fixture
def make_gateway(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """make_gateway(world, ledger=URL, ports=N, name=..., **settings of gateway.toml)"""
    made: list[GatewayProcess] = []

    def make(
        world: Any, ledger: str = "http://127.0.0.1:9", ports: int = 1, name: str = "gateway", **numbers: int
    ) -> GatewayProcess:
        made.append(GatewayProcess(tmp_path / f"{name}-{len(made)}", world, name, ledger, ports, (), **numbers))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()
