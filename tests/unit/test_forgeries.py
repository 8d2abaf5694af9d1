"""Who holds one key, or none, cannot speak for another: forged authorities, borrowed roles, invented readings."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tallystick_finance import decide as core
from tallystick_proof import archive, bundle, entry, keys, merkle, statement, tiles
from tallystick_proof.enrolment import Directory
from tallystick_proof.errors import EnrolmentError, MerkleError, NotVerified
from tallystick_proof.evidence import Evidence
from tallystick_proof.keys import Signer
from tallystick_proof.policy import Witnessed
from tallystick_proof.verdict import verify
from tallystick_tools.verify_decision import verify_decision
from tallystick_wire import cose, reading

if TYPE_CHECKING:
    from small_world import Loan, World

HOUR_MS = 3_600_000


def forged(data: bytes) -> bytes:
    """The same message under a signature that nobody made."""
    return data[:-1] + bytes([data[-1] ^ 1])


def test_an_enrolment_that_no_authority_signed(make_world: "Callable[..., World]") -> None:
    """Names the authority's key, asked for by the new key itself, and everything else is right too."""
    world = make_world("forged")
    for who in world.enrolments:
        genuine = world.statements[world.enrolments[who]][0]
        directory = Directory(world.trust)
        with pytest.raises(EnrolmentError, match="signature of the enrolment does not hold"):
            directory.add(statement.parse(forged(genuine)), 1)
        assert directory.keys() == []
        assert directory.add(statement.parse(genuine), 1).kind == world.signers[who].role


def test_a_revocation_that_no_authority_signed(make_world: "Callable[..., World]") -> None:
    world = make_world("forged")
    directory = Directory(world.trust)
    directory.add(statement.parse(world.statements[world.enrolments["node-a"]][0]), 1)
    revocation = world.statements[world.revoke("node-a", "compromised")][0]
    with pytest.raises(EnrolmentError, match="signature of the revocation does not hold"):
        directory.add(statement.parse(forged(revocation)), 2)
    key = directory.key(world.signers["node-a"].thumbprint)
    assert key is not None
    assert key.revoked_index is None


def test_a_statement_truly_signed_by_a_key_of_another_role(make_world: "Callable[..., World]") -> None:
    """A thief of the lender's key makes an association with his own signer, which knows no roles."""
    world = make_world("roles")
    lender = world.signers["lender"]
    thief = Signer(keys.INSTALLER, world.secret("lender"))
    assert thief.public_key == lender.public_key
    body = {"place": "p", "lot": "l", "nodes": [bytes(32)], "since_ms": 0}
    common = {"aud": world.origin, "jti": bytes(16), "exp": None}
    signed = statement.parse(statement.build(thief, keys.ASSOCIATION, {**common, **body}))
    statement.verify(signed, lender.public_key)
    directory = Directory(world.trust)
    directory.add(statement.parse(world.statements[world.enrolments["lender"]][0]), 1)
    with pytest.raises(EnrolmentError, match="a organisation key may not sign a association"):
        directory.signer(signed, 2)


def test_a_reading_that_its_node_did_not_sign(make_world: "Callable[..., World]") -> None:
    """Gateway and operator together log an invented reading: every proof holds but the node's own signature."""
    world = make_world("invented")
    world.anchor()
    world.minute()
    honest = world.nodes["node-a"].measure(900)
    cold = honest.payload.replace(b"\x19\x03\x84", b"\x19\x01\xc2")  # 9.00 becomes 4.50 degrees
    assert cold != honest.payload
    invented = reading.parse(cose.assemble(honest.sign1.protected, cold, honest.sign1.signature))
    for shown, link in ((honest, None), (invented, "signature")):
        index = world.gateways["gateway"].take(entry.READING, shown.data)
        world.nodes["node-a"].made[2], world.where["node-a", 2] = shown, ("gateway", index)
        world.sync()
        evidence = Evidence(world.reading_bundle("node-a", 2), world.trust)
        if link is None:
            assert verify(evidence).readings[-1].reading.pack.get("t") == honest.pack.get("t")
            continue
        with pytest.raises(NotVerified) as refused:
            verify(evidence)
        assert refused.value.link == link


def test_growth_from_another_tree_than_the_one_before() -> None:
    """A log that rewrites its past and proves that the new tree grew: from a root that nobody has seen."""
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(20)]
    stored: dict[tuple[int, int], bytes] = {}

    def save(level: int, number: int, hashes: bytes) -> None:
        stored[level, number] = hashes

    def load(level: int, number: int) -> bytes | None:
        return stored.get((level, number))

    tiles.append(load, save, 0, leaves)
    tree = tiles.Tree(load, 20)
    for size in range(1, 20):
        seen = merkle.root([merkle.leaf_hash(b"as it was"), *leaves[1:size]])
        proof = tree.consistency_proof(size, 20)
        merkle.verify_consistency(size, 20, merkle.root(leaves[:size]), tree.root(20), proof)
        with pytest.raises(MerkleError, match="other roots"):
            merkle.verify_consistency(size, 20, seen, tree.root(20), proof)


def test_a_bundle_that_names_another_ledger(make_world: "Callable[..., World]") -> None:
    """Everything in it is about the ledger of trust.toml, but for the manifest."""
    world = make_world("north")
    world.anchor()
    world.minute()
    world.sync()
    members = archive.read(world.reading_bundle("node-a", 1))
    thumbprint = world.signers["node-a"].thumbprint
    members[bundle.MANIFEST] = bundle.Manifest("reading", (thumbprint, 1), "ledger.example/south").encode()
    with pytest.raises(NotVerified) as refused:
        verify(Evidence(archive.write(members), world.trust))
    assert refused.value.link == "trust"


def test_a_proof_of_something_else(make_world: "Callable[..., World]") -> None:
    """Each proof in the bundle is exchanged for a good proof of another entry of the same ledger."""
    world = make_world("proof")
    world.anchor()
    world.minute()
    world.sync()
    members = archive.read(world.reading_bundle("node-a", 1))
    proofs = [name for name in members if name.endswith(".tlog-proof")]
    assert len(proofs) == 3
    other = world.ledger.proof(world.statements[world.enrolments["node-b"]][1])
    for name in proofs:
        with pytest.raises(NotVerified) as refused:
            verify(Evidence(archive.write({**members, name: other}), world.trust))
        assert refused.value.link == "root"


# --- decisions: the lie is carried through, so that only the check against it is in the way


def warmed(make_world: "Callable[..., World]", name: str) -> "tuple[World, Loan]":
    """A loan whose lot was warm for twelve minutes."""
    world = make_world(name)
    loan = world.lend()
    world.anchor()
    for _ in range(12):
        world.minute(900)
    return world, loan


def refusal(world: "World", loan: "Loan") -> NotVerified:
    world.publish()
    with pytest.raises(NotVerified) as refused:
        verify_decision(Evidence(world.decision_bundle(loan, 0), world.trust))
    return refused.value


def test_a_decision_of_another_decision_key(make_world: "Callable[..., World]") -> None:
    """Enrolled for decisions, and in the bundle; but not the one that the facility names."""
    world, loan = warmed(make_world, "decider")
    other = world.signers["decider"] = Signer(keys.DECISION, world.secret("another decider"))
    world.enrolments["decider"] = world.enrol("decider")
    world.decide(loan, world.sync())
    assert other.thumbprint != statement.parse(world.statements[loan.facility][0]).body["decision_key"]
    refused = refusal(world, loan)
    assert refused.link == "enrolment"
    assert "not the one it must be" in refused.detail


def test_a_facility_in_the_lenders_name(make_world: "Callable[..., World]") -> None:
    """Signed by an organisation that is not the lender in it."""
    world, loan = warmed(make_world, "lender")
    facility, pledge = (
        {name: value for name, value in statement.parse(world.statements[one][0]).body.items() if name != "jti"}
        for one in (loan.facility, loan.pledge)
    )
    lender = world.signers["borrower"].thumbprint
    loan.facility = world.log("lender", keys.FACILITY, facility | {"lender": lender})
    loan.pledge = world.log("borrower", keys.PLEDGE, pledge | {"facility": loan.facility})
    world.publish()
    opening = [statement.parse(world.statements[one][0]) for one in (loan.facility, loan.pledge, loan.association)]
    loan.state = core.initial_state(opening[0], opening[1], opening[2], loan.state.since_ms)
    world.decide(loan, world.sync())
    refused = refusal(world, loan)
    assert refused.link == "statement"
    assert "not signed by the lender" in refused.detail


def test_a_decision_that_dates_its_checkpoint_later(
    make_world: "Callable[..., World]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator pretends that an hour more of silence had passed."""
    world, loan = warmed(make_world, "later")
    world.sync()
    as_of = world.publish()
    check = world.ledger.check

    def later(data: bytes) -> Witnessed:
        found = check(data)
        return replace(found, quorum_ms=(found.quorum_ms or 0) + HOUR_MS) if data is as_of else found

    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "check", later)
        world.decide(loan, as_of)
    assert refusal(world, loan).link == "as-of"


def test_a_decision_on_readings_that_came_later(
    make_world: "Callable[..., World]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decided as of a checkpoint that does not hold what the decision cites."""
    world, loan = warmed(make_world, "backdated")
    early = world.publish()
    world.sync()
    index, observation = world.ledger_index, world.observation

    def observe(name: str, seq: int) -> core.Observation:
        with monkeypatch.context() as patch:
            patch.setattr(world, "ledger_index", index)
            return observation(name, seq)

    with monkeypatch.context() as patch:
        patch.setattr(world, "ledger_index", lambda name, seq: 0)
        patch.setattr(world, "observation", observe)
        world.decide(loan, early)
    assert refusal(world, loan).link == "as-of"


def test_the_same_stories_without_a_lie(make_world: "Callable[..., World]") -> None:
    world, loan = warmed(make_world, "honest")
    world.sync()
    world.decide(loan, world.publish())
    world.publish()
    found = verify_decision(Evidence(world.decision_bundle(loan, 0), world.trust))
    assert found.decisions[-1].state == loan.state
