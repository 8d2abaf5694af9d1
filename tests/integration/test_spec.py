"""docs/spec.md suffices: a verifier written from it alone agrees with ours, on good bundles and on spoilt ones."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import second_verifier
from second_verifier import Refused, Verifier

from tallystick_proof import archive, keys
from tallystick_tools.outcome import VERIFIED, walk
from tallystick_wire import cbor
from tallystick_wire.errors import CborError

if TYPE_CHECKING:
    from small_world import Story, World

FLIPS = 400


@pytest.fixture(scope="module")
def bundles(world: "Story") -> dict[str, bytes]:
    return {
        "reading": world.reading_bundle("node-a", 3),
        "first": world.reading_bundle("node-b", 1),
        "window": world.window_bundle("node-b", 4, 8),
        "decision": world.decision_bundle(world.loan, 1),
        "first decision": world.decision_bundle(world.loan, 0),
    }


def second(world: "World", data: bytes) -> bool:
    try:
        Verifier(data, world.trust_text())
    except Refused:
        return False
    return True


def ours(world: "World", data: bytes) -> bool:
    return walk(data, world.trust).code == VERIFIED


@pytest.mark.parametrize("name", ["reading", "first", "window", "decision", "first decision"])
def test_both_verify(world: "Story", bundles: dict[str, bytes], name: str) -> None:
    assert ours(world, bundles[name])
    Verifier(bundles[name], world.trust_text())


def test_the_second_one_computes_the_same_effects(world: "Story", bundles: dict[str, bytes]) -> None:
    effects = Verifier(bundles["decision"], world.trust_text()).effects
    assert effects == [effect for decision in world.loan.decisions for effect in decision.effects]
    assert {effect[0] for effect in effects} == {"alert", "haircut", "margin-call"}


@pytest.mark.parametrize("name", ["reading", "window", "decision"])
def test_both_refuse_flipped_members(world: "Story", bundles: dict[str, bytes], name: str) -> None:
    """The archive is made anew around each flipped bit, so that the content is what is judged."""
    members = archive.read(bundles[name])
    places = [(member, at) for member, content in sorted(members.items()) for at in range(len(content))]
    for member, at in random.Random(11).sample(places, FLIPS):
        spoilt = bytearray(members[member])
        spoilt[at] ^= 1 << (at % 8)
        data = archive.write({**members, member: bytes(spoilt)})
        assert (ours(world, data), second(world, data)) == (False, False), f"{member} at {at}"


def test_both_refuse_missing_and_foreign_members(world: "Story", bundles: dict[str, bytes]) -> None:
    members = archive.read(bundles["decision"])
    for missing in members:
        data = archive.write({name: content for name, content in members.items() if name != missing})
        assert (ours(world, data), second(world, data)) == (False, False), missing
    for more in ("x.txt", "anchor-1.checkpoint", "key-00.cose"):
        data = archive.write({**members, more: b"x"})
        assert (ours(world, data), second(world, data)) == (False, False), more


def test_both_say_the_same_of_other_stories(make_world: "Callable[..., World]") -> None:
    """Restarts, and another trust."""
    world = make_world("south")
    for _ in range(3):
        world.minute()
    world.sync()
    world.anchor()
    world.minute()
    world.nodes["node-a"].restart(lost=1)
    world.minute()
    world.nodes["node-b"].restart()
    world.minute()
    world.sync()
    last = max(world.nodes["node-a"].made)
    for name in ("node-a", "node-b"):
        seqs = sorted(world.nodes[name].made)
        for first in seqs:
            data = world.window_bundle(name, first, seqs[-1])
            assert ours(world, data) is second(world, data), f"{name} from {first}"
    data = world.reading_bundle("node-a", last)
    assert ours(world, data)
    assert second(world, data)
    other = make_world("west")
    assert not ours(other, data)
    assert not second(other, data)


def test_both_say_the_same_of_readings_that_were_given_up(make_world: "Callable[..., World]") -> None:
    """Declared, not declared, by another node, over a restart; and what a loan makes of it."""
    world = make_world("full-flash")
    loan = world.lend(nodes=["node-a"])
    world.anchor()
    world.minute(minutes=4)
    gap = world.lose("node-a", 3)
    world.minute(900, minutes=4)
    world.nodes["node-b"].restart()
    world.nodes["node-a"].gap = gap
    world.minute(900, minutes=4)
    world.nodes["node-a"].gap = world.nodes["node-b"].gap = (3, world.lose("node-a", 2)[1])
    world.nodes["node-a"].restart()
    world.lose("node-b", 1)
    world.minute(minutes=4)
    decided = world.decide(loan, world.sync())
    world.publish()
    verdicts = set()
    for name in ("node-a", "node-b"):
        seqs = sorted(world.nodes[name].made)
        for first in seqs:
            for last in seqs:
                if first <= last:
                    data = world.window_bundle(name, first, last)
                    verdicts.add(ours(world, data))
                    assert ours(world, data) is second(world, data), f"{name} from {first} to {last}"
    assert verdicts == {True, False}
    data = world.decision_bundle(loan, 0)
    assert ours(world, data)
    assert Verifier(data, world.trust_text()).effects == decided.effects
    assert decided.effects


@pytest.mark.parametrize("who", ["node-a", "gateway"])
@pytest.mark.parametrize("reason", ["retired", "compromised"])
def test_both_order_revocations_by_the_ledger(make_world: "Callable[..., World]", who: str, reason: str) -> None:
    """What was logged before the revocation stays evidence, what came after it is none."""
    world = make_world(f"{who}-{reason}")

    def with_revocation(data: bytes) -> bytes:
        statement, index = world.statements[identity]
        stem = f"statement-{identity.hex()}"
        proof = world.ledger.proof(index)
        return archive.write({**archive.read(data), f"{stem}.cose": statement, f"{stem}.tlog-proof": proof})

    world.minute()
    world.sync()
    identity = world.revoke(who, reason)
    world.publish()
    world.minute()
    world.sync()
    early = with_revocation(world.window_bundle("node-a", 1, 1))
    late = with_revocation(world.window_bundle("node-a", 1, 2))
    assert (ours(world, early), second(world, early)) == (True, True)
    assert (ours(world, late), second(world, late)) == (False, False)


def test_both_codecs_agree(world: "Story", bundles: dict[str, bytes]) -> None:
    """Whatever ours decodes the second one encodes to the same bytes; random bytes get the same verdict."""

    def verdicts(data: bytes) -> tuple[bool, bool]:
        try:
            cbor.decode(data)
            strict = True
        except CborError:
            strict = False
        try:
            second_verifier.decode(data, "")
        except (Refused, RecursionError):
            return strict, False
        return strict, True

    chance = random.Random(5)
    for _ in range(20_000):
        data = bytearray(chance.randbytes(chance.randrange(1, 12)))
        data[0] = chance.choice((data[0], 0x82, 0xA1, 0xC4, 0xF9, 0xFA, 0xFB, 0x61, 0x18))
        left, right = verdicts(bytes(data))
        assert left is right, bytes(data).hex()


def test_both_verify_signatures_alike() -> None:
    signer = keys.Signer(keys.NODE, bytes(32))

    class Message:
        kind = keys.READING
        to_be_signed = b"message"

    signature: Any = signer.sign(Message())
    for at in range(0, 64, 5):
        spoilt = bytearray(signature)
        spoilt[at] ^= 0x10
        for one in (signature, bytes(spoilt)):
            assert keys.verify_signature(signer.public_key, b"message", one) is second_verifier.signed(
                signer.public_key, b"message", one
            )
