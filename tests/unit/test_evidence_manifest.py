"""A bundle's manifest, its subject, and the sizes of its members."""

from typing import TYPE_CHECKING, Any

import pytest
from evidence_support import broken, walked, with_members

from tallystick_proof import archive, bundle
from tallystick_proof.bundle import Builder, Manifest, Withheld
from tallystick_proof.errors import ArchiveError, CannotTell, NotVerified
from tallystick_proof.evidence import Evidence
from tallystick_proof.sync import MAX_BATCH_BYTES
from tallystick_proof.verdict import verify
from tallystick_wire import cbor

if TYPE_CHECKING:
    from small_world import Story


# --- manifest and members


@pytest.mark.parametrize(
    ("value", "link"),
    [
        (cbor.Map([(1, 1), (2, "item"), (3, [bytes(32), 1]), (4, "ledger.example/north")]), "manifest"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(32)]), (4, "ledger.example/north")]), "manifest"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(31), 1]), (4, "ledger.example/north")]), "manifest"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(32), True]), (4, "ledger.example/north")]), "manifest"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(32), 1]), (4, "ledger.example/south")]), "trust"),
        (cbor.Map([(1, 1), (2, "reading"), (3, [bytes(32), 1]), (4, "ledger.example/north"), (5, 0)]), "manifest"),
        (cbor.Map([(1, True), (2, "reading"), (3, [bytes(32), 1]), (4, "ledger.example/north")]), "manifest"),
        ([1, 2, 3], "manifest"),
    ],
)
def test_manifests(world: "Story", value: Any, link: str) -> None:
    data = with_members(world.reading_bundle("node-a", 2), **{bundle.MANIFEST: cbor.encode(value)})
    assert broken(world, data) == link


def test_a_later_version(world: "Story") -> None:
    value = cbor.Map([(1, 2), (2, "reading"), (3, [bytes(32), 1]), (4, "ledger.example/north")])
    data = with_members(world.reading_bundle("node-a", 2), **{bundle.MANIFEST: cbor.encode(value)})
    with pytest.raises(CannotTell, match="version 2"):
        Evidence(data, world.trust)


def test_another_subject(world: "Story") -> None:
    data = world.reading_bundle("node-a", 2)
    node, other = world.signers["node-a"].thumbprint, world.signers["node-b"].thumbprint
    subjects: list[tuple[str, bundle.Subject, str]] = [
        ("reading", (node, 1), "unreachable"),
        ("reading", (node, 3), "chain"),
        ("reading", (other, 2), "enrolment"),
        ("reading", (world.signers["gateway"].thumbprint, 2), "enrolment"),
        ("window", (node, 2, 2), "unreachable"),
        ("window", (node, 1, 3), "chain"),
        ("window", (node, 2, 1), "chain"),
    ]
    for kind, subject, link in subjects:
        manifest = Manifest(kind, subject, world.origin).encode()
        assert broken(world, with_members(data, **{bundle.MANIFEST: manifest})) == link, subject


def test_a_decision_has_its_own_walk(world: "Story") -> None:
    with pytest.raises(CannotTell):
        verify(Evidence(world.decision_bundle(world.loan, 0), world.trust))


def test_the_builder_refuses_two_versions_of_one_fact(world: "Story") -> None:
    builder = Builder("reading", [bytes(32), 1], world.origin)
    builder.add_anchor(7, b"one")
    builder.add_anchor(7, b"one")
    with pytest.raises(ArchiveError, match="twice"):
        builder.add_anchor(7, b"other")
    wrong: list[list[bytes | int]] = [[bytes(32)], [bytes(31), 1], [bytes(32), 1, 1], [bytes(32), -1]]
    for subject in wrong:
        with pytest.raises(ArchiveError, match="subject"):
            Builder("reading", subject, world.origin)


def test_progress_is_told(world: "Story") -> None:
    told: list[tuple[str, int, int]] = []
    evidence = Evidence(
        world.window_bundle("node-a", 1, 8), world.trust, progress=lambda *what: told.append(what)
    )
    verify(evidence)
    assert ("batches", 0, 3) in told
    assert ("readings", 0, 8) in told


# --- limits


def test_members_are_refused_by_size_before_they_are_decoded(world: "Story") -> None:
    data = world.reading_bundle("node-a", 2)
    stem = next(name.removesuffix(".entries") for name in archive.read(data) if name.endswith(".entries"))
    huge = {
        bundle.MANIFEST: (bundle.MAX_MANIFEST_BYTES, "manifest"),
        stem + ".range": (bundle.MAX_RANGE_BYTES, "root"),
        stem + ".entries": (bundle.MAX_ENTRIES_BYTES, "leaf"),
    }
    for name, (most, link) in huge.items():
        with pytest.raises(NotVerified, match=f"at most {most}") as refused:
            walked(world, with_members(data, **{name: bytes(most + 1)}))
        assert refused.value.link == link
    with pytest.raises(NotVerified, match=f"1 to {bundle.MAX_ITEMS} are allowed"):
        walked(world, with_members(data, **{stem + ".entries": b"\x40" * (bundle.MAX_ITEMS + 1)}))
    assert len(bundle.decode_entries("m", b"\x40" * bundle.MAX_ITEMS)) == bundle.MAX_ITEMS


def test_the_largest_batch_fits_its_member() -> None:
    """All withheld, or 4 MiB of entries: the bound refuses nothing that a gateway may sync."""
    withheld: list[bundle.Item] = [Withheld(bytes(32))] * bundle.MAX_ITEMS
    shown: list[bundle.Item] = [bytes(MAX_BATCH_BYTES // bundle.MAX_ITEMS)] * bundle.MAX_ITEMS
    for items in (withheld, shown):
        assert len(bundle.encode_entries(items)) <= bundle.MAX_ENTRIES_BYTES
    assert len(bundle.encode_range(2**62, 2**63, [bytes(32)] * 126)) <= bundle.MAX_RANGE_BYTES
    assert len(Manifest("window", (bytes(32), 2**63, 2**63), "x" * 128).encode()) <= bundle.MAX_MANIFEST_BYTES
