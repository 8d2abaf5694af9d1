"""`world` is a finished story in memory (read it, do not change it); `make_world` and `make_story` make other ones."""

from collections.abc import Callable

import pytest
from small_world import Story, World


@pytest.fixture(scope="session")
def world() -> Story:
    """The finished story. Shared: whoever wants another one takes make_world."""
    return Story()


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    """World(name, quorum=..., nodes=...), empty but for enrolments."""
    return World


@pytest.fixture(scope="session")
def make_story() -> Callable[..., Story]:
    """Story(name, quorum=...): the same story with other keys."""
    return Story
