"""Configurations and firmware at a node: what it takes, and that nothing else changes anything."""

from collections.abc import Callable, Iterator

import pytest
from update_support import (
    BOARD,
    CHANCE,
    DOWNLINK,
    FIRMWARE,
    LINK,
    LINK_KEY,
    MPY,
    ORIGIN,
    PEN,
    Slots,
    config,
    firmware,
    now_ms,
    order,
    small_image,
)

from tallystick_node import app, inbox, loader
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.node import Node
from tallystick_node.slots import FileSlots
from tallystick_proof import keys
from tallystick_provisioning.offers import Offer
from tallystick_wire import cbor, manifest, message, reading, transfer


class Bench:
    """A node in memory with real slots on disk; `boot` is a power cut and the loader's choice."""

    def __init__(self) -> None:
        self.board = MemoryBoard()
        self.slots = Slots()
        self.image = small_image()
        self.running = loader.FACTORY
        self.node = self.boot()

    def boot(self) -> Node:
        self.board.power_cycle()
        self.running = loader.choose(str(self.slots.root))
        self.board.slots = FileSlots(str(self.slots.root), MPY)
        self.node = app.wake(self.board)
        return self.node

    def is_on_trial(self) -> bool:
        return self.node.updates.on_trial

    def say(self, payload: bytes) -> bytes | None:
        return inbox.answer(self.node, payload, 0)

    def offer(self, one: Offer, time_ms: int | None = None) -> bytes:
        answer = self.say(transfer.build_offer(LINK_KEY, now_ms() if time_ms is None else time_ms, one.data))
        assert answer is not None
        return answer

    def word(self, one: Offer, time_ms: int | None = None) -> str:
        identity, word = transfer.open_outcome(self.offer(one, time_ms))
        assert identity == one.manifest.identity
        return word

    def load(self, one: Offer, most: int = 1000) -> tuple[list[int], bytes]:
        """Bring at most so many pieces; (the indexes that were asked for, the last answer)."""
        wanted: list[int] = []
        answer = self.offer(one)
        while message.kind(answer) == "want" and len(wanted) < most:
            _, index = transfer.open_want(answer)
            wanted.append(index)
            piece = one.piece(index)
            assert piece is not None
            heard = self.say(transfer.build_chunk(one.manifest.identity, index, piece))
            assert heard is not None
            answer = heard
        return wanted, answer

    def prove(self) -> None:
        """A reading is made, stored, sent and acked."""
        self.node.take_reading(self.board.now_ms)
        assert self.node.store_batch(self.board.now_ms)
        self.node.send_pending(self.board.now_ms)
        sent = [reading.parse(data) for data in self.board.link.sent if message.kind(data) == "reading"]
        newest = sent[-1]
        self.say(message.build_ack(LINK_KEY, newest.kid, newest.chain.boot, newest.chain.seq, []))

    def everything(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        return dict(self.board.memory.files), self.slots.content()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.say(LINK)
    yield made
    made.slots.close()


# ---- configuration


def test_a_configuration_holds_from_the_next_boot_on(bench: Bench) -> None:
    hashes = [boot_hash(bench)]
    one = config('interval_ms = 5000\nbatch_readings = 7\nname = "cold"\n[offsets]\nt = -0.25\n[alarms.t]\nhighest = 8')
    assert bench.word(one) == transfer.KEPT
    assert bench.node.updates.reboot_due(0, 1000)
    assert bench.node.settings.interval_ms == 100, "not before the boot"
    bench.boot()
    told = bench.node.settings
    assert (told.interval_ms, told.batch_readings, told.name, told.give_up_oldest) == (5000, 7, "cold", False)
    channel = next(channel for channel in bench.board.channels if channel.name == "t")
    assert (channel.offset, channel.alarm_low, channel.alarm_high) == (-25, None, 800)
    assert not bench.node.updates.reboot_due(0, 1000)
    assert bench.word(one) == transfer.CURRENT
    hashes.append(boot_hash(bench))
    assert bench.word(config("", order(2))) == transfer.KEPT
    bench.boot()
    assert (bench.node.settings.interval_ms, channel.offset) == (100, 0), "what is left out is the board's own"
    hashes.append(boot_hash(bench))
    assert hashes[0] == hashes[2] != hashes[1], "the boot record says what holds"


def boot_hash(bench: Bench) -> bytes:
    bench.board.link.sent.clear()
    bench.node.take_reading(0)
    bench.node.store_batch(0)
    bench.node.send_pending(0)
    record = next(
        found.boot_record
        for found in map(reading.parse, bench.board.link.sent)
        if found.chain.boot == bench.node.boot and found.boot_record
    )
    bench.prove()
    return record.config_hash


# ---- firmware


def test_firmware_is_loaded_tried_and_confirmed(bench: Bench) -> None:
    one = firmware(bench.image)
    wanted, answer = bench.load(one)
    assert wanted == [-1, *range(one.manifest.chunk_count)]
    assert transfer.open_outcome(answer) == (one.manifest.identity, transfer.LOADED)
    assert bench.node.updates.reboot_due(0, 1000)
    bench.boot()
    assert bench.running == "0"
    assert bench.is_on_trial()
    assert bench.word(one) == transfer.ON_TRIAL
    bench.prove()
    assert not bench.is_on_trial()
    assert bench.node.counts["updates_confirmed"] == 1
    for _ in range(3):
        bench.boot()
        assert bench.running == "0"
        assert bench.word(one) == transfer.CURRENT


def test_the_next_firmware_goes_to_the_other_slot(bench: Bench) -> None:
    for version, slot in ((1, "0"), (2, "1"), (3, "0")):
        image = small_image(seed=version)
        bench.load(firmware(image, order(version)))
        bench.boot()
        assert bench.running == slot
        bench.prove()
        files = {path: data for path, data in bench.slots.content().items() if path.startswith(slot + "/")}
        assert len(files) == 5
        assert all(data in image for data in files.values())


def test_firmware_that_does_not_prove_itself_is_rolled_back(bench: Bench) -> None:
    """Stored and acked must be readings of the trial's own boot: what the old firmware made proves nothing."""
    bench.node.take_reading(0)
    bench.node.store_batch(0)
    one = firmware(bench.image)
    bench.load(one)
    bench.boot()
    bench.node.send_pending(0)
    old = reading.parse(bench.board.link.sent[-1])
    bench.say(message.build_ack(LINK_KEY, old.kid, old.chain.boot, old.chain.seq, []))
    assert bench.is_on_trial()
    assert not bench.node.updates.reboot_due(60_000, 60_000)
    assert bench.node.updates.reboot_due(60_001, 60_000), "its time is over"
    for _ in range(2):
        bench.boot()
        assert bench.running == loader.FACTORY
        assert not bench.is_on_trial()
        assert bench.word(one) == "updates_failed_before"
    again = firmware(bench.image, order(2))
    assert bench.load(again)[1] == transfer.build_outcome(again.manifest.identity, transfer.LOADED)
    bench.boot()
    assert bench.running == "0", "the same image may be tried again under a new version"


def test_a_rollback_is_counted_in_the_boot_after_it(bench: Bench) -> None:
    bench.load(firmware(bench.image))
    bench.boot()
    bench.boot()
    assert bench.node.counts == {"updates_rolled_back": 1}
    assert bench.boot().counts == {}


def test_nothing_else_is_taken_while_firmware_is_on_trial(bench: Bench) -> None:
    bench.load(firmware(bench.image))
    for _ in range(2):  # before the reboot, and after it
        assert bench.word(config("", order(9))) == "updates_too_early"
        assert bench.word(firmware(small_image(seed=2), order(9))) == "updates_too_early"
        bench.boot()


def test_it_goes_on_behind_what_it_has(bench: Bench) -> None:
    """Whatever the number of pieces after which the power goes: no piece is asked for twice."""
    one = firmware(bench.image)
    asked: list[int] = []
    while True:
        wanted, answer = bench.load(one, most=1)
        asked += wanted
        if message.kind(answer) == "outcome":
            break
        bench.boot()
    assert asked == [-1, *range(one.manifest.chunk_count)]


def test_what_the_image_before_has_in_common_is_not_asked_for(bench: Bench) -> None:
    bench.load(firmware(bench.image, order(1)), most=4)
    longer = bench.image + b"\x13tallystick_node/z.py\0\0\0\0"
    wanted, _ = bench.load(firmware(longer, order(2)))
    assert wanted[:2] == [-1, 3]


# ---- refusals


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
