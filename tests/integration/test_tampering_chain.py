"""A chain of decisions with a lie in it is never verified, however well it is signed; the link that broke is named."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tampering_support import refused, replaced

from tallystick_finance import decide as core
from tallystick_proof import archive, bundle, entry, keys
from tallystick_proof.keys import Signer
from tallystick_tools.outcome import VERIFIED, Outcome, walk
from tallystick_wire import cose

if TYPE_CHECKING:
    from small_world import Loan, Story, World


def decided(make_world: "Callable[..., World]", alter: "Callable[[World, Loan, bytes], Any]") -> Outcome:
    """A warm world whose second decision is made by `alter`; the operator logs and proves whatever comes of it."""
    world = make_world("east")
    loan = world.lend()
    world.anchor()
    for _ in range(12):
        world.minute(900)
    world.decide(loan, world.sync())
    world.now_ms += 300 * 60_000
    world.minute(440)
    alter(world, loan, world.sync())
    world.publish()
    return walk(world.decision_bundle(loan, len(loan.decisions) - 1), world.trust)


def lie(**changes: Any) -> "Callable[[World, Loan, bytes], Any]":
    return lambda world, loan, as_of: world.decide(loan, as_of, **changes)


def test_an_honest_chain(make_world: "Callable[..., World]") -> None:
    assert decided(make_world, lie()).code == VERIFIED


@pytest.mark.parametrize(
    ("changes", "link"),
    [
        ({"effects": []}, "effects"),
        ({"effects": [["haircut", 5_001]]}, "effects"),
        ({"state_before": bytes(32)}, "state-before"),
        ({"state_after": bytes(32)}, "state-after"),
        ({"rules": bytes(32)}, "rules"),
        ({"previous": None}, "decision"),
        ({"previous": bytes(32)}, "decision"),
        ({"n": 2}, "decision"),
        ({"n": 0}, "decision"),
        ({"subject": bytes(32)}, "decision"),
        ({"as_of": [15, 1_760_018_975_001]}, "as-of"),
        ({"as_of": [14, 1_760_018_975_000]}, "as-of"),
        ({"exp": 1}, "statement"),
        ({"aud": "ledger.example/west"}, "statement"),
        ({"event": core.event_value({})}, "effects"),
    ],
)
def test_a_signed_lie_in_a_decision(make_world: "Callable[..., World]", changes: dict[str, Any], link: str) -> None:
    """The decision key signs it and the operator logs it: recomputation finds it."""
    found = refused(decided(make_world, lie(**changes)))
    # Decisions that do not count are left over, unless something before them is missing.
    assert found == link or (link == "decision" and found == "unreachable")


def test_a_decision_of_another_key(make_world: "Callable[..., World]") -> None:
    def forged(world: "World", loan: "Loan", as_of: bytes) -> None:
        world.signers["decider-2"] = Signer(keys.DECISION, b"\x17" * 32)
        world.enrolments["decider-2"] = world.enrol("decider-2")
        world.publish()
        world.signers["decider"], genuine = world.signers["decider-2"], world.signers["decider"]
        world.decide(loan, as_of)
        world.signers["decider"] = genuine

    assert refused(decided(make_world, forged)) == "enrolment"


def test_an_unsigned_decision(make_world: "Callable[..., World]") -> None:
    def unsigned(world: "World", loan: "Loan", as_of: bytes) -> None:
        made = world.decide(loan, as_of)
        signed = cose.split(world.statements[made.identity][0])
        data = cose.assemble(signed.protected, signed.payload, bytes(64))
        made.identity = cose.identity(data)
        world.statements[made.identity] = (data, world.ledger.log(entry.STATEMENT, data))

    assert refused(decided(make_world, unsigned)) == "statement"


def test_a_shortened_or_reordered_chain(world: "Story") -> None:
    whole = archive.read(world.decision_bundle(world.loan, 1))
    first, second = (bundle.statement_stem(one.identity) for one in world.loan.decisions)
    for gone in (first, second):
        data = archive.write({name: content for name, content in whole.items() if not name.startswith(gone)})
        assert refused(walk(data, world.trust)) == "decision"
    shorter = bundle.Manifest("decision", (world.loan.pledge, 0), world.origin).encode()
    assert refused(walk(replaced(whole, bundle.MANIFEST, shorter), world.trust)) == "unreachable"
    longer = bundle.Manifest("decision", (world.loan.pledge, 2), world.origin).encode()
    assert refused(walk(replaced(whole, bundle.MANIFEST, longer), world.trust)) == "decision"
    swapped = {
        **whole,
        bundle.asof_name(0): whole[bundle.asof_name(1)],
        bundle.asof_name(1): whole[bundle.asof_name(0)],
    }
    assert refused(walk(archive.write(swapped), world.trust)) == "as-of"


def test_a_decision_that_leaves_readings_out(make_world: "Callable[..., World]") -> None:
    """A warm reading cannot be skipped: the chain breaks behind it, whatever the event says."""

    def skips(world: "World", loan: "Loan", _: bytes) -> None:
        world.minute(900)
        nodes = [world.signers[name].thumbprint for name in loan.nodes]
        world.decide(loan, world.sync(), event=core.event_value(dict.fromkeys(nodes, (14, 14))))

    assert refused(decided(make_world, skips)) == "chain"
