"""A decision's walk: who must have signed what, in which order, and as of when."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tallystick_finance import decide as core
from tallystick_proof import archive, bundle, checkpoint, keys, note, statement
from tallystick_proof.errors import CannotTell, NotVerified
from tallystick_proof.evidence import Evidence
from tallystick_tools import verify_decision
from tallystick_tools.verify_decision import LoanVerdict
from tallystick_wire.cbor import Map

if TYPE_CHECKING:
    from small_world import Loan, Story, World

PLEDGED = {"lot": "L7", "currency": "CNY", "value_minor": 100_000_000, "principal_minor": 65_000_000}


def verified(world: "World", data: bytes) -> LoanVerdict:
    return verify_decision.verify_decision(Evidence(data, world.trust))


def broken(world: "World", data: bytes, **options: Any) -> str:
    with pytest.raises(NotVerified) as refused:
        verify_decision.verify_decision(Evidence(data, world.trust, **options))
    return refused.value.link


def warm(world: "World", loan: "Loan", **changes: Any) -> bytes:
    """The loan's first decision, on twelve warm minutes; `changes` go into its statement."""
    world.anchor()
    for _ in range(12):
        world.minute(900)
    world.decide(loan, world.sync(), **changes)
    world.publish()
    return world.decision_bundle(loan, 0)


def test_both_decisions_of_the_story(world: "Story") -> None:
    found = verified(world, world.decision_bundle(world.loan, 1))
    assert [one.effects for one in found.decisions] == [one.effects for one in world.loan.decisions]
    assert [one.identity for one in found.decisions] == [one.identity for one in world.loan.decisions]
    assert found.decisions[-1].state == world.loan.state
    assert [effect[0] for effect in found.decisions[0].effects] == ["alert", "alert", "haircut", "margin-call"]
    assert [step.link for step in found.verified.steps][-4:] == ["statement", "decision", "as-of", "effects"]
    assert {key.kind for key in found.verified.keys} == set(keys.ENROLLED_KINDS)
    assert "law" in found.verified.not_proved
    assert [remark.code for remark in found.verified.remarks] == ["absence"]


def test_the_first_decision_alone(world: "Story") -> None:
    found = verified(world, world.decision_bundle(world.loan, 0))
    assert len(found.decisions) == 1
    assert len(found.verified.readings) == 14


def test_a_facility_that_the_lender_did_not_sign(make_world: "Callable[..., World]") -> None:
    world = make_world("statements")
    loan = world.lend()
    body: dict[str, Any] = dict.fromkeys(("lender", "borrower"), world.signers["borrower"].thumbprint)
    body |= {"decision_key": world.signers["decider"].thumbprint}
    rules = statement.parse(world.statements[loan.facility][0]).body["rules"]
    body |= {"currency": "CNY", "limit_minor": 100_000_000, "rules": rules}
    facility = world.log("lender", keys.FACILITY, body)
    pledge = world.log("borrower", keys.PLEDGE, {"facility": facility, "association": loan.association, **PLEDGED})
    world.publish()
    loan.facility, loan.pledge = facility, pledge
    assert broken(world, warm(world, loan)) == "statement"


@pytest.mark.parametrize(
    ("who", "changes", "why"),
    [
        ("lender", {}, "borrower"),
        ("borrower", {"lot": "L8"}, "lot"),
        ("borrower", {"currency": "EUR"}, "currency"),
        ("borrower", {"principal_minor": 70_000_001}, "advance"),
        ("borrower", {"principal_minor": 100_000_001, "value_minor": 900_000_000}, "limit"),
    ],
)
def test_a_pledge_that_opens_no_loan(
    make_world: "Callable[..., World]", who: str, changes: dict[str, Any], why: str
) -> None:
    world = make_world("statements")
    loan = world.lend()
    body = {"facility": loan.facility, "association": loan.association, **PLEDGED, **changes}
    loan.pledge = world.log(who, keys.PLEDGE, body)
    world.publish()
    data = warm(world, loan)
    with pytest.raises(NotVerified, match=why) as refused:
        verified(world, data)
    assert refused.value.link == "statement"


def test_a_pledge_logged_after_the_decision(make_world: "Callable[..., World]") -> None:
    """Signed and logged, but later than the checkpoint on which it was decided."""
    world = make_world("late")
    loan = world.lend()
    world.anchor()
    for _ in range(12):
        world.minute(900)
    as_of = world.sync()
    loan.pledge = world.log(
        "borrower", keys.PLEDGE, {"facility": loan.facility, "association": loan.association, **PLEDGED}
    )
    opening = [statement.parse(world.statements[one][0]) for one in (loan.facility, loan.pledge, loan.association)]
    loan.state = core.initial_state(opening[0], opening[1], opening[2], loan.state.since_ms)
    world.decide(loan, as_of)
    world.publish()
    assert broken(world, world.decision_bundle(loan, 0)) == "as-of"


@pytest.mark.parametrize(
    "windows",
    ["reversed", "twice", "short", "text"],
)
def test_events_of_another_form(make_world: "Callable[..., World]", windows: str) -> None:
    world = make_world("events")
    loan = world.lend()
    spans = [[one, 1, 12] for one in sorted(world.signers[name].thumbprint for name in loan.nodes)]
    forms: dict[str, Any] = {
        "reversed": spans[::-1],
        "twice": [spans[0], spans[0]],
        "short": [spans[0][:2]],
        "text": "all",
    }
    assert broken(world, warm(world, loan, event=Map([("windows", forms[windows])]))) == "decision"


def test_an_event_with_another_field(make_world: "Callable[..., World]") -> None:
    world = make_world("events")
    loan = world.lend()
    assert broken(world, warm(world, loan, event=Map([("window", []), ("windows", [])]))) == "decision"


def test_a_decision_that_cites_a_node_of_another_lot(make_world: "Callable[..., World]") -> None:
    world = make_world("nodes")
    loan = world.lend(nodes=["node-a"])
    spans = {world.signers[name].thumbprint: (1, 12) for name in ("node-a", "node-b")}
    loan.nodes.append("node-b")
    world.anchor()
    for _ in range(12):
        world.minute(900)
    as_of = world.sync()
    loan.nodes.remove("node-b")
    made = world.decide(loan, as_of, event=core.event_value(spans))
    made.windows = spans
    loan.nodes.append("node-b")
    world.publish()
    assert broken(world, world.decision_bundle(loan, 0)) == "decision"


def test_a_decision_from_before_its_checkpoint(make_world: "Callable[..., World]") -> None:
    """The decision is in the very tree that it says it was made on: it was made before."""
    world = make_world("before")
    loan = world.lend()
    world.anchor()
    for _ in range(12):
        world.minute(900)
    as_of = world.sync()
    quorum_ms = ((world.now_ms + 1000) // 1000 + 2) * 1000
    made = world.decide(loan, as_of, as_of=[world.ledger.tree.size + 1, quorum_ms])
    made.asof_note = world.publish()
    with pytest.raises(NotVerified, match="stands in the ledger before") as refused:
        verified(world, world.decision_bundle(loan, 0))
    assert refused.value.link == "as-of"


def test_readings_from_after_the_checkpoint(make_world: "Callable[..., World]") -> None:
    world = make_world("after")
    loan = world.lend()
    world.anchor()
    for _ in range(6):
        world.minute(900)
    early = world.sync()
    for _ in range(6):
        world.minute(900)
    late = world.sync()
    as_of = world.ledger.check(early)
    made = world.decide(loan, late, as_of=[as_of.checkpoint.size, as_of.quorum_ms])
    made.asof_note = early
    world.publish()
    assert broken(world, world.decision_bundle(loan, 0)) == "as-of"


def test_no_decision_without_witnessed_time(make_world: "Callable[..., World]") -> None:
    """--unwitnessed-ok accepts a ledger without witnesses, but nobody can say when anything was."""
    world = make_world("blind")
    loan = world.lend()
    data = warm(world, loan)
    blind = type(world.trust).parse(world.trust_text("none"))
    with pytest.raises(NotVerified) as refused:
        verify_decision.verify_decision(Evidence(data, blind, unwitnessed_ok=True))
    assert refused.value.link == "time"


@pytest.mark.parametrize(("later_s", "links"), [(3600, {"effects", "state-after"}), (2**60, {"decision"})])
def test_an_anchor_cosigned_again_later(make_world: "Callable[..., World]", later_s: int, links: set[str]) -> None:
    """Other times are other inputs: the decision does not come out again. 2^60 s has not even an encoding."""
    world = make_world("again")
    loan = world.lend()
    world.minute(900)
    world.anchor()
    world.minute(900)
    world.now_ms += 2 * 3_600_000  # the gateway was offline: an hour more or less contradicts nothing
    world.decide(loan, world.sync())
    world.publish()
    members = archive.read(world.decision_bundle(loan, 0))
    name = next(name for name in members if name.startswith("anchor-"))
    genuine = note.parse(members[name])
    lines = [genuine.lines[0]]
    for witness, line in zip(world.witnesses, genuine.lines[1:], strict=True):
        time_s = checkpoint.cosignature_time(line) + later_s
        lines.append(checkpoint.cosign(world.signers[witness], line.name, genuine.text, time_s))
    members[name] = note.format(note.Note(genuine.text, lines))
    assert broken(world, archive.write(members)) in links


def test_without_the_decision_core(world: "Story", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tallystick_finance", None)
    monkeypatch.delitem(sys.modules, "tallystick_finance.decide")
    with pytest.raises(CannotTell, match="decision core"):
        verified(world, world.decision_bundle(world.loan, 0))


def test_a_huge_decision_number_ends_at_once(world: "Story") -> None:
    members = archive.read(world.decision_bundle(world.loan, 1))
    members[bundle.MANIFEST] = bundle.Manifest("decision", (world.loan.pledge, 2**63), world.origin).encode()
    assert broken(world, archive.write(members)) == "decision"
