"""The verifier's walk over batches: neither more nor less is shown than the subject needs, and by whom."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from evidence_support import broken, codes, walked, with_members

from tallystick_proof import archive, bundle, checkpoint, entry, merkle, note
from tallystick_proof.bundle import Withheld
from tallystick_wire import cbor, cose

if TYPE_CHECKING:
    from small_world import Story, World


def rebuilt(world: "World", change: Callable[[list[bundle.Item], int], tuple[list[bundle.Item], int]]) -> bytes:
    """The window 3 to 7 of node-a with another choice of what its one batch shows; every proof is right."""
    data = world.window_bundle("node-a", 3, 7)
    members = archive.read(data)
    stem = next(name.removesuffix(".entries") for name in members if name.endswith(".entries"))
    gateway = world.gateways["gateway"]
    items = bundle.decode_entries("", members[stem + ".entries"])
    start, size, _ = bundle.decode_range("", members[stem + ".range"])
    items, start = change(items, start)
    hashes = gateway.tree.tree().range_proof(start, start + len(items), size)
    changed = {
        stem + ".entries": bundle.encode_entries(items),
        stem + ".range": bundle.encode_range(start, size, hashes),
    }
    return with_members(data, **changed)


def test_a_batch_rebuilt_unchanged(world: "Story") -> None:
    data = rebuilt(world, lambda items, start: (items, start))
    assert data == world.window_bundle("node-a", 3, 7)


def test_a_range_that_is_too_wide(world: "Story") -> None:
    entries = world.gateways["gateway"].entries

    def before(items: list[bundle.Item], start: int) -> tuple[list[bundle.Item], int]:
        return [Withheld(merkle.leaf_hash(entries[start - 1])), *items], start - 1

    def behind(items: list[bundle.Item], start: int) -> tuple[list[bundle.Item], int]:
        return [*items, Withheld(merkle.leaf_hash(entries[start + len(items)]))], start

    for change in (before, behind):
        assert broken(world, rebuilt(world, change)) == "unreachable"


def test_an_entry_shown_that_nobody_asked_for(world: "Story") -> None:
    entries = world.gateways["gateway"].entries

    def show(at: int) -> Callable[[list[bundle.Item], int], tuple[list[bundle.Item], int]]:
        return lambda items, start: ([*items[:at], entries[start + at], *items[at + 1 :]], start)

    assert broken(world, rebuilt(world, show(1))) == "unreachable"


def test_a_note_of_the_gateway_shown(world: "Story") -> None:
    entries = world.gateways["gateway"].entries
    note_index = next(at for at, data in enumerate(entries) if cbor.decode(data)[0] == entry.NOTE)
    data = world.window_bundle("node-a", 1, 2)
    members = archive.read(data)
    stem = next(name.removesuffix(".entries") for name in members if name.endswith(".entries"))
    size = bundle.parse_batch_stem(stem)[2]
    hidden = [Withheld(merkle.leaf_hash(one)) for one in entries[1:note_index]]
    items: list[bundle.Item] = [entries[0], *hidden, entries[note_index]]
    hashes = world.gateways["gateway"].tree.tree().range_proof(0, note_index + 1, size)
    changed = {
        stem + ".entries": bundle.encode_entries(items),
        stem + ".range": bundle.encode_range(0, size, hashes),
    }
    assert broken(world, with_members(data, **changed)) == "leaf"


def test_a_needed_entry_withheld(world: "Story") -> None:
    def hide(items: list[bundle.Item], start: int) -> tuple[list[bundle.Item], int]:
        shown = items[2]
        assert isinstance(shown, bytes)
        return [*items[:2], Withheld(merkle.leaf_hash(shown)), *items[3:]], start

    assert broken(world, rebuilt(world, hide)) == "chain"


def test_the_same_reading_twice(make_world: "Callable[..., World]") -> None:
    """A node sends again, the gateway logs it twice: one of the two entries is shown."""
    world = make_world("twice")
    world.anchor()
    world.minute()
    again = world.gateways["gateway"].take(entry.READING, world.nodes["node-a"].made[1].data)
    world.sync()
    data = world.reading_bundle("node-a", 1)
    assert codes(walked(world, data)) == ["absence"]
    members = archive.read(data)
    stem = next(name.removesuffix(".entries") for name in members if name.endswith(".entries"))
    entries = world.gateways["gateway"].entries
    size = bundle.parse_batch_stem(stem)[2]
    items: list[bundle.Item] = [entries[0], Withheld(merkle.leaf_hash(entries[1])), entries[again]]
    hashes = world.gateways["gateway"].tree.tree().range_proof(0, 3, size)
    changed = {
        stem + ".entries": bundle.encode_entries(items),
        stem + ".range": bundle.encode_range(0, size, hashes),
    }
    assert broken(world, with_members(data, **changed)) == "leaf"


def test_a_reading_with_an_unprotected_header(make_world: "Callable[..., World]") -> None:
    """Its signature holds, but not the form in which a gateway must log it."""
    world = make_world("unprotected")
    world.anchor()
    world.minute()
    made = world.nodes["node-a"].measure(450)
    signed = made.sign1
    parts = [signed.protected, cbor.Map([(1, 1)]), signed.payload, signed.signature]
    headed = cbor.encode(cbor.Tag(cose.TAG_SIGN1, parts))
    index = world.gateways["gateway"].take(entry.READING, headed)
    world.where["node-a", 2] = ("gateway", index)
    world.sync()
    assert broken(world, world.reading_bundle("node-a", 2)) == "leaf"


def test_two_gateways_in_one_bundle(make_world: "Callable[..., World]") -> None:
    world = make_world("two")
    world.anchor()
    for gateway in ("gateway", "gateway-2", "gateway"):
        world.now_ms += 60_000
        world.measure("node-a", gateway=gateway)
    world.sync()
    found = walked(world, world.window_bundle("node-a", 1, 3))
    assert [one.gateway for one in found.readings] == [
        world.signers[name].thumbprint for name in ("gateway", "gateway-2", "gateway")
    ]
    assert len(found.keys) == 3


def test_a_checkpoint_of_the_gateway_with_two_lines(world: "Story") -> None:
    data = world.reading_bundle("node-a", 2)
    name = next(name for name in archive.read(data) if name.startswith("batch-") and name.endswith(".checkpoint"))
    signed = note.parse(archive.read(data)[name])
    twice = note.format(note.Note(signed.text, signed.lines * 2))
    assert broken(world, with_members(data, **{name: twice})) == "gateway-signature"


def test_a_batch_signed_by_another_gateway(make_world: "Callable[..., World]") -> None:
    """The other gateway is enrolled too, and its tree head is in the ledger: it is still not this one's."""
    world = make_world("imposter")
    world.anchor()
    world.minute()
    honest, other = world.gateways["gateway"], world.gateways["gateway-2"]
    origin = checkpoint.gateway_origin(world.origin, honest.signer.thumbprint, 1)
    text = checkpoint.Checkpoint(origin, honest.tree.size, honest.tree.tree().root()).text
    line = note.SignatureLine(
        origin,
        note.VerifierKey(origin, note.TYPE_ED25519, honest.signer.public_key).key_id,
        other.signer.sign(note.NoteBody(text)),
    )
    forged = note.format(note.Note(text, [line]))
    honest.batches.append((honest.tree.size, forged, world.ledger.log(entry.CHECKPOINT, forged)))
    world.publish()
    assert broken(world, world.reading_bundle("node-a", 1)) == "gateway-signature"
