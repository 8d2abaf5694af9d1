"""Who holds one key, or none, cannot speak for another: forged authorities, borrowed roles, invented readings."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tallystick_proof import entry, keys, merkle, statement, tiles
from tallystick_proof.enrolment import Directory
from tallystick_proof.errors import EnrolmentError, MerkleError, NotVerified
from tallystick_proof.evidence import Evidence
from tallystick_proof.keys import Signer
from tallystick_proof.verdict import verify
from tallystick_wire import cose, reading

if TYPE_CHECKING:
    from tests.conftest import World


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
