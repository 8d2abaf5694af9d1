"""The verifier's walk as its tests ask for it: what it found, or the link at which it stopped."""

from typing import TYPE_CHECKING, Any

import pytest

from tallystick_proof import archive
from tallystick_proof.errors import NotVerified
from tallystick_proof.evidence import Evidence
from tallystick_proof.verdict import Verified, verify

if TYPE_CHECKING:
    from small_world import World


def walked(world: "World", data: bytes, **options: Any) -> Verified:
    return verify(Evidence(data, world.trust, **options))


def broken(world: "World", data: bytes, **options: Any) -> str:
    """The link at which the walk stops."""
    with pytest.raises(NotVerified) as refused:
        walked(world, data, **options)
    assert refused.value.detail
    return refused.value.link


def codes(verified: Verified) -> list[str]:
    return [remark.code for remark in verified.remarks]


def with_members(data: bytes, **changed: bytes | None) -> bytes:
    """The bundle with members of these stems (underscores for the first dash) changed; None removes one."""
    members: dict[str, bytes | None] = {**archive.read(data), **changed}
    return archive.write({name: content for name, content in members.items() if content is not None})
