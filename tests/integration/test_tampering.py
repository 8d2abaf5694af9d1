"""Whatever is changed in a bundle, it is never verified, and each refusal names the link that broke."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from tampering_support import FLIPS, flipped, refused, replaced

from tallystick_proof import archive, entry, keys, note, statement, tlog_proof
from tallystick_proof.evidence import LINKS
from tallystick_proof.keys import Signer
from tallystick_proof.policy import Policy, Witnessed
from tallystick_proof.trust import Trust
from tallystick_tools.outcome import NOT_VERIFIED, VERIFIED, walk
from tallystick_wire import cose, reading

if TYPE_CHECKING:
    from small_world import Story


@pytest.fixture(scope="module")
def remembered() -> Iterator[None]:
    """The real pure functions, each asked once for the same bytes: half a million walks in a minute."""
    patch = pytest.MonkeyPatch()
    for module, name in (
        (keys, "verify_signature"),
        (statement, "parse"),
        (reading, "parse"),
        (note, "parse"),
        (tlog_proof, "parse"),
        (cose, "sig_structure"),
        (entry.GatewayEntry, "decode"),
    ):
        patch.setattr(module, name, functools.lru_cache(maxsize=4096)(getattr(module, name)))
    checked: dict[tuple[int, bytes, str], Witnessed] = {}
    check = Policy.check

    def check_once(asked: Policy, data: bytes, origin: str) -> Witnessed:
        at = (id(asked), data, origin)
        if at not in checked:
            checked[at] = check(asked, data, origin)
        return checked[at]

    patch.setattr(Policy, "check", check_once)
    yield
    patch.undo()


def role(name: str) -> str:
    """What kind of member it is: key .cose, batch .range, ..."""
    return f"{name.partition('-')[0]}.{name.rpartition('.')[2]}"


# --- every byte


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_every_byte_of_the_archive(world: "Story", bundles: dict[str, bytes], kind: str) -> None:
    data = bundles[kind]
    assert walk(data, world.trust).code == VERIFIED
    for at in range(len(data)):
        for bits in FLIPS:
            assert refused(walk(flipped(data, at, bits), world.trust)) == "archive"


@pytest.mark.parametrize(("kind", "flips"), [("reading", FLIPS), ("window", FLIPS[:1]), ("decision", FLIPS[:1])])
@pytest.mark.usefixtures("remembered")
def test_every_byte_of_every_member(
    world: "Story", bundles: dict[str, bytes], kind: str, flips: tuple[int, ...]
) -> None:
    """With the archive rebuilt and every checksum right: what is left to find the change are signatures and proofs."""
    members = archive.read(bundles[kind])
    links: dict[str, set[str]] = {}
    for name, content in members.items():
        for at in range(len(content)):
            for bits in flips:
                data = replaced(members, name, flipped(content, at, bits))
                links.setdefault(role(name), set()).add(refused(walk(data, world.trust)))
    assert all(found <= set(LINKS) | {"cannot tell"} for found in links.values())
    assert "witness" in links["anchor.checkpoint"]
    assert "gateway-signature" in links["batch.checkpoint"]
    assert "root" in links["batch.entries"]
    assert "enrolment" in links["key.cose"]


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
@pytest.mark.usefixtures("remembered")
def test_every_member_one_byte_longer_or_shorter(world: "Story", bundles: dict[str, bytes], kind: str) -> None:
    members = archive.read(bundles[kind])
    for name, content in members.items():
        for changed in (content + b"\n", content + b"\0", content[:-1], b"\0" + content, content[1:], b""):
            refused(walk(replaced(members, name, changed), world.trust))


# --- whole members


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_each_member_removed(world: "Story", bundles: dict[str, bytes], kind: str) -> None:
    members = archive.read(bundles[kind])
    for name in members:
        data = archive.write({other: content for other, content in members.items() if other != name})
        outcome = walk(data, world.trust)
        refused(outcome)
        assert outcome.code == NOT_VERIFIED


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_each_member_swapped_with_another_of_its_kind(world: "Story", bundles: dict[str, bytes], kind: str) -> None:
    members = archive.read(bundles[kind])
    swaps = 0
    for left, right in itertools.combinations(members, 2):
        if left.rpartition(".")[2] == right.rpartition(".")[2] and members[left] != members[right]:
            swaps += 1
            refused(walk(archive.write({**members, left: members[right], right: members[left]}), world.trust))
            refused(walk(replaced(members, left, members[right]), world.trust))
    assert swaps > len(members) / 4


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_each_member_from_a_bundle_of_another_world(
    world: "Story", make_story: "Callable[..., Story]", bundles: dict[str, bytes], kind: str
) -> None:
    other = make_story("south")
    foreign = {
        "reading": other.reading_bundle("node-a", 2),
        "window": other.window_bundle("node-b", 3, 8),
        "decision": other.decision_bundle(other.loan, 1),
    }[kind]
    members, strange = archive.read(bundles[kind]), archive.read(foreign)
    assert walk(foreign, other.trust).code == VERIFIED
    for name, content in strange.items():
        refused(walk(archive.write({**members, name: content}), world.trust))
        for own in members:
            if role(own) == role(name) and members[own] != content:
                refused(walk(replaced(members, own, content), world.trust))
    refused(walk(foreign, world.trust))


def test_each_member_from_another_bundle_of_the_same_world(world: "Story", bundles: dict[str, bytes]) -> None:
    """The same fact has the same bytes everywhere; everything else is refused, even where it is true."""
    for kind, other in itertools.permutations(bundles, 2):
        members, strange = archive.read(bundles[kind]), archive.read(bundles[other])
        for name, content in strange.items():
            if members.get(name) != content:
                refused(walk(archive.write({**members, name: content}), world.trust))


def test_a_member_that_nobody_needs(world: "Story", bundles: dict[str, bytes]) -> None:
    for data in bundles.values():
        for name in ("readme.txt", "anchor-1.checkpoint", "asof-7.checkpoint", "key-00.cose.txt", "statement-1.txt"):
            assert refused(walk(replaced(archive.read(data), name, b"hello"), world.trust)) == "unreachable"


# --- another trust


def test_another_trust(make_story: "Callable[..., Story]", bundles: dict[str, bytes]) -> None:
    other = make_story("south")
    for data in bundles.values():
        assert refused(walk(data, other.trust)) == "trust"


@pytest.mark.parametrize(
    ("who", "link"),
    [
        ("w2", "witness"),
        ("ledger", "witness"),
        ("authority-node", "enrolment"),
        ("authority-gateway", "enrolment"),
        ("authority-organisation", "enrolment"),
        ("authority-installer", "enrolment"),
        ("authority-decision", "enrolment"),
    ],
)
def test_a_trust_that_knows_another_key(world: "Story", bundles: dict[str, bytes], who: str, link: str) -> None:
    """trust.toml with one key exchanged for a stranger's."""
    known = world.signers[who]
    stranger = Signer(known.role, b"\x42" * 32)
    text = world.trust_text().replace(known.public_key.hex(), stranger.public_key.hex())
    for key_type in (note.TYPE_ED25519, note.TYPE_COSIGNATURE):
        for name in (world.origin, f"{who}.example/{world.name}"):
            old, new = (note.VerifierKey(name, key_type, key.public_key).vkey for key in (known, stranger))
            text = text.replace(old, new)
    assert text != world.trust_text()
    assert refused(walk(bundles["decision"], Trust.parse(text))) == link


def test_a_cosignature_of_a_witness_that_the_policy_does_not_name(world: "Story", bundles: dict[str, bytes]) -> None:
    """A quorum without it is met, and it is refused all the same: its bytes would be free."""
    lines = world.trust_text("1").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("witness w2")).replace("1 w1 w2", "1 w1")
    assert refused(walk(bundles["reading"], Trust.parse(text))) == "witness"
