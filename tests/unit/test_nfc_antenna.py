"""Tags that come and go: when one counts as taken away, and what is told of a reader or of two tags."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from tallystick_provisioning.errors import ReaderLost, TwoTags
from tallystick_provisioning.nfc import COMMAND_TIMEOUT_S, SENSE_TIMEOUT_S, Tag
from tallystick_provisioning.nfc_antenna import GONE_LOOKS, Antenna

OURS, OTHER = b"\x04ours!!", b"\x04other!"
Seen = bytes | None | type[Exception]


@dataclass
class Lying:
    """A tag that does nothing but lie there."""

    uid: bytes
    family: str = "type4"

    def transceive(self, command: bytes, timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
        return b""


class Scripted:
    """A reader that sees what a test planned, one look after the other."""

    name = "scripted"

    def __init__(self, looks: Iterator[Seen]) -> None:
        self._looks = looks

    def sense(self, timeout_s: float = SENSE_TIMEOUT_S) -> Tag | None:
        seen = next(self._looks)
        if isinstance(seen, type):
            raise seen("planned")
        return None if seen is None else Lying(seen)  # type: ignore[return-value]

    def close(self) -> None: ...


def removal(looks: Iterable[Seen]) -> tuple[bytes | None, list[Seen]]:
    """What wait_for_removal says, and the looks that it did not need."""
    planned = iter(looks)
    antenna = Antenna(lambda: Scripted(planned), lambda text: None, lambda: None)
    return antenna.wait_for_removal(OURS), list(planned)


@pytest.mark.parametrize(
    ("looks", "left", "instead"),
    [
        ([None] * GONE_LOOKS, 0, None),
        ([OURS, None, OURS, None, None, OURS, *[None] * GONE_LOOKS], 0, None),
        ([OURS, OTHER, None], 1, OTHER),
        ([None, OTHER, None], 1, OTHER),
        ([OURS, TwoTags, TwoTags, TwoTags, TwoTags, OURS, *[None] * GONE_LOOKS], 0, None),
        ([OURS, TwoTags, OTHER], 0, OTHER),
        ([OURS, ReaderLost, OURS, *[None] * GONE_LOOKS], 0, None),
    ],
    ids=["gone", "missed", "other", "swapped", "hidden", "hidden-and-taken", "reader"],
)
def test_a_tag_is_gone_when_it_is_not_seen_several_times(looks: list[Seen], left: int, instead: bytes | None) -> None:
    """A finished tag that one look misses is not put down anew: it would be refused as a duplicate of itself."""
    found, rest = removal(looks)
    assert (found, len(rest)) == (instead, left)


@pytest.mark.parametrize(
    ("looks", "told"),
    [([TwoTags, TwoTags, OURS], ["two", "cleared"]), ([ReaderLost, OURS], ["lost", "back"])],
    ids=["two", "reader"],
)
def test_what_is_over_is_told(looks: list[Seen], told: list[str]) -> None:
    said: list[str] = []
    planned = iter(looks)
    antenna = Antenna(
        lambda: Scripted(planned), lambda text: said.append("lost"), lambda: said.append("two"),
        back=lambda text: said.append("back"), cleared=lambda: said.append("cleared"),
    )  # fmt: skip
    assert antenna.wait_for_tag(None) == OURS
    assert said == told
