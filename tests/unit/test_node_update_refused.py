"""Configurations and firmware at a node: what is not exactly right changes nothing."""

import hashlib
from collections.abc import Callable, Iterator

import pytest
from update_bench import Bench
from update_support import (
    BOARD,
    CHANCE,
    DOWNLINK,
    FIRMWARE,
    LINK,
    LINK_KEY,
    ORIGIN,
    PEN,
    config,
    firmware,
    now_ms,
    order,
    small_image,
)

from tallystick_fleet import update_manifest
from tallystick_node import app, loader
from tallystick_proof import keys
from tallystick_provisioning.offers import Offer
from tallystick_wire import cbor, manifest, message, transfer


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.say(LINK)
    yield made
    made.slots.close()


def wrong_signature(one: Offer) -> Offer:
    data = one.data[:-9] + bytes([one.data[-9] ^ 1]) + one.data[-8:]
    return Offer(data, manifest.parse(data))


OTHER_KEY = keys.generate(keys.DOWNLINK, CHANCE.randbytes)


def other_role() -> Offer:
    """A configuration signed with the firmware key: no tool of ours makes one."""
    seed = keys.format_secret(FIRMWARE).split()[2]
    return config(signer=keys.Signer(keys.DOWNLINK, bytes.fromhex(seed)))


def downlink_firmware(image: bytes) -> Offer:
    """Firmware signed with the downlink key."""
    seed = keys.format_secret(DOWNLINK).split()[2]
    return firmware(image, signer=keys.Signer(keys.FIRMWARE, bytes.fromhex(seed)))


REFUSALS: dict[str, tuple[Callable[[bytes, bytes], Offer], str]] = {
    "old version": (lambda kid, image: config(ordered=order(5)), "updates_old"),
    "older version": (lambda kid, image: config(ordered=order(4)), "updates_old"),
    "old firmware": (lambda kid, image: firmware(image, order(5)), "updates_old"),
    "another node": (lambda kid, image: config(ordered=order(9, target=b"other888")), "updates_wrong_target"),
    "firmware for another node": (
        lambda kid, image: firmware(image, order(9, target=b"other888")),
        "updates_wrong_target",
    ),
    "another log": (lambda kid, image: config(ordered=order(9, origin="other/log")), "updates_wrong_log"),
    "wrong signature": (lambda kid, image: wrong_signature(config(ordered=order(9))), "updates_wrong_signature"),
    "firmware with a wrong signature": (
        lambda kid, image: wrong_signature(firmware(image, order(9))),
        "updates_wrong_signature",
    ),
    "a stranger's key": (lambda kid, image: config(ordered=order(9), signer=OTHER_KEY), "updates_wrong_key"),
    "the firmware key on a config": (lambda kid, image: other_role(), "updates_wrong_key"),
    "the downlink key on firmware": (lambda kid, image: downlink_firmware(image), "updates_wrong_key"),
    "expired": (lambda kid, image: config(ordered=order(9, days=-1)), "updates_expired"),
    "expired firmware": (lambda kid, image: firmware(image, order(9, days=-1)), "updates_expired"),
    "another board": (
        lambda kid, image: firmware(small_image(board="mpy6.3-xtensawin"), order(9)),
        "updates_wrong_board",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_not_right_changes_nothing(bench: Bench, name: str) -> None:
    make, count = REFUSALS[name]
    assert bench.word(config(ordered=order(5))) == transfer.KEPT
    bench.load(firmware(small_image(seed=3), order(5)))
    bench.boot()
    bench.prove()
    before = bench.everything()
    bench.node.counts.clear()
    assert bench.word(make(bench.node.kid, bench.image)) == count
    assert bench.node.counts == {count: 1}
    assert bench.everything() == before
    assert not bench.node.updates.reboot_due(0, 1000)


def test_right_up_to_the_last_moment(bench: Bench) -> None:
    one = config(ordered=order(1, target=bench.node.kid))
    assert bench.word(one, one.manifest.expires_ms + 1) == "updates_expired"
    assert bench.word(one, one.manifest.expires_ms) == transfer.KEPT


def test_a_download_that_expires_is_not_finished(bench: Bench) -> None:
    one = firmware(bench.image)
    bench.load(one, most=2)
    assert bench.word(one, one.manifest.expires_ms + 1) == "updates_expired"
    bench.boot()
    assert bench.word(one, one.manifest.expires_ms + 1) == "updates_expired"


def damaged(offset: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


@pytest.mark.parametrize(
    "damage",
    [damaged(-1), damaged(-40), lambda data: data[:-1], lambda data: data + b"\0", damaged(8)],
    ids=["mac", "manifest", "truncated", "longer", "time"],
)
def test_an_offer_without_the_link_key_is_not_even_read(bench: Bench, damage: Callable[[bytes], bytes]) -> None:
    before = bench.everything()
    offer = transfer.build_offer(LINK_KEY, now_ms(), config().data)
    assert bench.say(damage(offer)) is None
    assert sum(bench.node.counts.values()) == 1
    assert set(bench.node.counts) <= {"offers_refused", "bad_messages"}
    assert bench.say(transfer.build_offer(bytes(32), now_ms(), config().data)) is None
    assert bench.node.counts["offers_refused"] >= 1
    assert bench.everything() == before


@pytest.mark.parametrize("junk", [b"\0", b"\xd2", b"x" * 700, cbor.encode([1, 2, 3])])
def test_a_manifest_that_is_none(bench: Bench, junk: bytes) -> None:
    before = bench.everything()
    answer = bench.say(transfer.build_offer(LINK_KEY, now_ms(), junk))
    assert answer is not None
    assert transfer.open_outcome(answer)[1] == "updates_malformed"
    assert bench.node.counts == {"updates_malformed": 1}
    assert bench.everything() == before


def test_chunks_that_are_not_right(bench: Bench) -> None:
    one = firmware(bench.image)
    bench.load(one, most=2)  # the list and the first chunk
    before, identity, piece = bench.everything(), one.manifest.identity, one.piece(1)
    assert piece is not None
    bench.node.counts.clear()
    forged = piece[:-1] + bytes([piece[-1] ^ 1])
    oversize = cbor.encode(["chunk", identity, 1, piece + b"x"])
    for payload, count in (
        (transfer.build_chunk(identity, 1, forged), "chunks_wrong_hash"),
        (transfer.build_chunk(identity, 1, piece[:-1]), "chunks_wrong_size"),
        (transfer.build_chunk(identity, 2, one.piece(2) or b""), "chunks_unexpected"),
        (transfer.build_chunk(identity, 0, one.piece(0) or b""), "chunks_unexpected"),
        (transfer.build_chunk(bytes(16), 1, piece), "chunks_unexpected"),
        (oversize, "chunks_malformed"),
        (cbor.encode(["chunk", identity, -10_000, piece]), "chunks_malformed"),
        (cbor.encode(["chunk", identity, 1, "text"]), "chunks_malformed"),
    ):
        counted = bench.node.counts.get(count, 0)
        assert bench.say(payload) is None
        assert bench.node.counts[count] == counted + 1
        assert bench.everything() == before
    assert sum(bench.node.counts.values()) == 8
    assert bench.load(one)[1] == transfer.build_outcome(identity, transfer.LOADED)


def test_a_list_that_was_not_signed(bench: Bench) -> None:
    one = firmware(bench.image)
    bench.offer(one)
    forged = bytes(len(one.hashes))
    assert bench.say(transfer.build_chunk(one.manifest.identity, -1, forged)) is None
    assert bench.node.counts == {"lists_wrong_hash": 1}
    assert bench.load(one)[1] == transfer.build_outcome(one.manifest.identity, transfer.LOADED)


def test_signed_but_no_image(bench: Bench) -> None:
    """The signer's mistake: the old firmware goes on, and the version is spent."""
    one = firmware(b"no image" * 200, board=BOARD)
    assert bench.load(one)[1] == transfer.build_outcome(one.manifest.identity, "images_malformed")
    assert not bench.node.updates.reboot_due(0, 1000)
    assert bench.boot().counts == {}
    assert bench.running == loader.FACTORY
    assert bench.word(one) == "updates_failed_before"


def test_a_node_that_was_given_no_keys_takes_nothing() -> None:
    bench = Bench()
    bench.say(message.build_link(LINK_KEY, ORIGIN, PEN))
    before = bench.everything()
    assert bench.word(config()) == bench.word(firmware(bench.image)) == "updates_without_key"
    assert bench.everything() == before
    bench.slots.close()


def test_a_board_without_slots_takes_configurations_only() -> None:
    bench = Bench()
    bench.say(LINK)
    bench.board.slots = None
    bench.node = app.wake(bench.board)
    assert bench.word(firmware(bench.image)) == "updates_without_slots"
    assert bench.word(config(ordered=order(1))) == transfer.KEPT
    bench.slots.close()


def test_a_node_that_is_not_enrolled_takes_nothing() -> None:
    bench = Bench()
    assert bench.say(transfer.build_offer(LINK_KEY, now_ms(), config().data)) is None
    assert bench.node.counts == {"offers_refused": 1}
    bench.slots.close()


def test_a_full_flash_is_tried_again(bench: Bench) -> None:
    bench.board.memory.full = True
    before = bench.everything()
    for one in (config(), firmware(bench.image)):
        assert bench.say(transfer.build_offer(LINK_KEY, now_ms(), one.data)) is None
    assert bench.node.counts == {"flash_refused": 2}
    assert bench.everything() == before
    bench.board.memory.full = False
    assert bench.load(firmware(bench.image))[1]
    bench.boot()
    assert bench.running == "0"


def test_what_is_only_shown_changes_nothing(bench: Bench) -> None:
    """As update_node.ask_about shows an offer: after the end of all time. The words say what the node has."""
    one, two = config(ordered=order(5)), firmware(bench.image, order(5))
    before = bench.everything()
    for offer in (one, two):
        assert bench.word(offer, manifest.MAX_TIME_MS) == "updates_expired"
    assert bench.everything() == before
    bench.load(one)
    assert bench.word(one, manifest.MAX_TIME_MS) == transfer.CURRENT
    assert bench.word(config(ordered=order(4)), manifest.MAX_TIME_MS) == "updates_old"
    bench.load(two, most=2)
    assert bench.word(two, manifest.MAX_TIME_MS) == "updates_expired", "it is half here"
    bench.load(two)
    bench.boot()
    assert bench.word(two, manifest.MAX_TIME_MS) == transfer.ON_TRIAL
    bench.boot()
    assert bench.word(two, manifest.MAX_TIME_MS) == "updates_failed_before"


def test_an_image_of_right_chunks_and_a_wrong_hash_is_counted_and_not_installed(bench: Bench) -> None:
    """The signer's two hashes disagree: each chunk is right, the whole is not what was signed."""
    hashes = manifest.chunk_hashes(bench.image, update_manifest.CHUNK_BYTES)
    fields = {
        "board": BOARD,
        "size": len(bench.image),
        "chunk_bytes": update_manifest.CHUNK_BYTES,
        "image": bytes(32),
        "chunks": hashlib.sha256(hashes).digest(),
    }
    data = update_manifest._sign(FIRMWARE, keys.FIRMWARE_IMAGE, order(), fields, CHANCE.randbytes)
    one = Offer(data, manifest.parse(data), bench.image, hashes)
    assert bench.load(one)[1] == transfer.build_outcome(one.manifest.identity, "images_wrong_hash")
    assert bench.node.counts["images_wrong_hash"] == 1
    bench.boot()
    assert bench.running == loader.FACTORY
