"""Bundles made by chance: the walk always answers with a verdict, and only the genuine one passes."""

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick_proof import archive, bundle
from tallystick_proof.errors import ArchiveError, CannotTell
from tallystick_proof.evidence import LINKS
from tallystick_tools.outcome import VERIFIED, Expectation, Outcome, walk
from tallystick_tools.verify_text import as_json, plain, proved
from tallystick_wire import cbor

if TYPE_CHECKING:
    from small_world import Story

SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
NAMES = st.text(sorted(archive.NAME_CHARACTERS), min_size=1, max_size=12).filter(lambda name: name[0] != ".")
MEMBER_NAMES = st.one_of(
    NAMES,
    st.sampled_from([bundle.MANIFEST, "anchor-7.checkpoint", "asof-0.checkpoint", "batch-x.entries", "key-00.cose"]),
    st.builds(
        lambda stem, suffix: stem + suffix,
        st.sampled_from(
            [bundle.key_stem(bytes(32)), bundle.statement_stem(bytes(32)), bundle.batch_stem(bytes(32), 1, 7), "batch-"]
        ),
        st.sampled_from([".cose", ".tlog-proof", ".entries", ".range", ".checkpoint", ""]),
    ),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**64), 2**64 - 1),
        st.binary(max_size=40),
        st.sampled_from([bytes(32), b"\xff" * 32]),
        st.text(string.printable, max_size=12),
        st.sampled_from(["reading", "window", "decision", "ledger.example/north"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.one_of(st.integers(0, 5), st.text(string.ascii_lowercase, max_size=3)), inner, max_size=5),
        st.builds(cbor.Tag, st.sampled_from([4, 18, 99]), inner),
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def bundles(world: "Story") -> list[bytes]:
    return [
        world.reading_bundle("node-a", 2),
        world.window_bundle("node-b", 3, 8),
        world.decision_bundle(world.loan, 1),
    ]


def verdict(world: "Story", data: bytes) -> Outcome:
    """Any outcome is fine, an exception is not; and every outcome can be told."""
    outcome = walk(data, world.trust, now_ms=world.now_ms)
    assert outcome.broken is None or outcome.broken[0] in LINKS
    assert as_json(outcome)["exit"] == outcome.code
    assert all(line.isprintable() for line in proved(outcome))
    return outcome


@SHARED
@given(data=st.binary(max_size=400))
def test_any_bytes(world: "Story", data: bytes) -> None:
    assert verdict(world, data).code != VERIFIED


@SHARED
@given(members=st.dictionaries(MEMBER_NAMES, st.binary(max_size=200), max_size=8))
def test_any_members(world: "Story", members: dict[str, bytes]) -> None:
    assert verdict(world, archive.write(members)).code != VERIFIED


@SHARED
@given(members=st.dictionaries(MEMBER_NAMES, VALUES, max_size=8), kind=st.sampled_from(sorted(bundle.KINDS)))
def test_any_values_in_members(world: "Story", members: dict[str, object], kind: str) -> None:
    """Well-formed CBOR of any shape behind a manifest that is right."""
    numbers = [1] * bundle.KINDS[kind]
    manifest = bundle.Manifest(kind, (world.signers["node-a"].thumbprint, *numbers), world.origin).encode()
    written = {name: cbor.encode(value) for name, value in members.items()}
    assert verdict(world, archive.write({**written, bundle.MANIFEST: manifest})).code != VERIFIED


@SHARED
@given(data=st.data())
def test_genuine_bundles_with_something_changed(world: "Story", bundles: list[bytes], data: st.DataObject) -> None:
    """A member cut, stretched, spliced, repeated, or put in another's place."""
    genuine = data.draw(st.sampled_from(bundles))
    members = archive.read(genuine)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(members)))
        content = members[name]
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
        other = data.draw(st.one_of(st.binary(max_size=40), st.sampled_from(sorted(members.values()))))
        members[name] = content[:start] + other + content[end:]
    changed = archive.write(members)
    assert (verdict(world, changed).code == VERIFIED) == (changed == genuine)


@SHARED
@given(data=st.data())
def test_genuine_bundles_with_bytes_of_the_archive_changed(
    world: "Story", bundles: list[bytes], data: st.DataObject
) -> None:
    genuine = data.draw(st.sampled_from(bundles))
    changed = bytearray(genuine)
    for at in data.draw(st.lists(st.integers(0, len(genuine) - 1), min_size=1, max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    assert (verdict(world, bytes(changed)).code == VERIFIED) == (bytes(changed) == genuine)


@SHARED
@given(kind=st.sampled_from(sorted(bundle.KINDS)), name=st.binary(min_size=32, max_size=32), data=st.data())
def test_manifests_round_trip(kind: str, name: bytes, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=bundle.KINDS[kind], max_size=bundle.KINDS[kind]))
    manifest = bundle.Manifest(kind, (name, *numbers), data.draw(st.text(max_size=20)))
    assert bundle.Manifest.decode(manifest.encode()) == manifest


@SHARED
@given(data=st.binary(max_size=120))
def test_the_readers_of_members(data: bytes) -> None:
    for read in (
        bundle.Manifest.decode,
        lambda content: bundle.decode_entries("m", content),
        lambda content: bundle.decode_range("m", content),
        lambda content: bundle.parse_batch_stem(content.decode("latin-1")),
        archive.read,
    ):
        try:
            read(data)
        except (ArchiveError, CannotTell):
            continue


@SHARED
@given(
    items=st.lists(st.one_of(st.binary(max_size=40), st.builds(bundle.Withheld, st.binary(min_size=32, max_size=32)))),
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=6),
)
def test_batches_round_trip(items: list[bundle.Item], hashes: list[bytes]) -> None:
    if items:
        assert bundle.decode_entries("m", bundle.encode_entries(items)) == items
    assert bundle.decode_range("m", bundle.encode_range(5, 9, hashes)) == (5, 9, hashes)


@SHARED
@given(text=st.text())
def test_text_from_outside(text: str) -> None:
    assert plain(text).isprintable()
    try:
        Expectation.parse(text)
    except CannotTell:
        return
