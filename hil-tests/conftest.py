"""Tests of a node through its cable. The rig decides what is at the other end; the tests are the same.

A rig gives a factory of nodes with .port, .start(), .kill() (cut the power), .restart() and .counts().
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tallystick_emulators.unix_node import UnixNode
from tallystick_tools.rig import Cable

NodeFactory = Callable[..., UnixNode]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rig",
        default="unix",
        choices=["unix"],
        help="what the tests run on: `unix` is the real firmware in MicroPython on this machine",
    )


@pytest.fixture
def make_node() -> Iterator[NodeFactory]:
    """make_node(**TALLYSTICK settings without the prefix) -> a new node that runs and is not enrolled."""
    with ExitStack() as stack:

        def make(**settings: object) -> UnixNode:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            chosen = {"interval_ms": 100, "acks_dir": folder / "acks"} | settings
            named = {f"TALLYSTICK_{name.upper()}": str(value) for name, value in chosen.items()}
            node = stack.enter_context(UnixNode(folder, named))
            node.start()
            return node

        yield make


@pytest.fixture
def node(make_node: NodeFactory) -> UnixNode:
    """One node that runs and is not enrolled."""
    return make_node()


@pytest.fixture
def cable(node: UnixNode) -> Iterator[Cable]:
    """The open port of `node`."""
    opened = Cable(node.port)
    yield opened
    opened.close()
