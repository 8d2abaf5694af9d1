"""How a bundle is changed, and at which link the walk over it stopped."""

from collections.abc import Mapping

from tallystick_proof import archive
from tallystick_proof.evidence import LINKS
from tallystick_tools.outcome import VERIFIED, Outcome

FLIPS = (0x01, 0x80, 0xFF)  # the lowest bit, the highest, and all of them


def refused(outcome: Outcome) -> str:
    """The link at which the walk stopped; fails when it did not."""
    assert outcome.code != VERIFIED
    if outcome.broken is None:
        assert outcome.missing
        return "cannot tell"
    link, detail = outcome.broken
    assert link in LINKS
    assert detail
    return link


def flipped(data: bytes, at: int, bits: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def replaced(members: Mapping[str, bytes], name: str, content: bytes) -> bytes:
    return archive.write({**members, name: content})
