"""Configurations and firmware at a node: from the offer to the boot that proves it."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from update_bench import Bench
from update_support import (
    LINK,
    LINK_KEY,
    config,
    firmware,
    order,
    small_image,
)

from tallystick_node import loader
from tallystick_node.files import Files
from tallystick_node.node import Node
from tallystick_wire import message, reading, transfer


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
    assert bench.node.counts["configs"] == 1
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


def test_unpacking_feeds_the_watchdog_after_every_file(bench: Bench) -> None:
    """It takes a small board longer than its watchdog waits, and so does looking through what was loaded."""
    one = firmware(small_image(count=30))
    seen: list[int] = []
    bench.node.updates.stored = lambda: seen.append(sum(path.startswith("0/") for path in bench.slots.content()))
    bench.load(one)
    assert max(later - earlier for earlier, later in pairwise([0, *seen])) == 1, "never two files without"
    assert seen[-1] == 30
    assert seen.count(0) >= one.manifest.size // 1024, "and while the image is checked"
    assert Node(bench.board, Files(bench.board.storage), bench.node.key, 9, None).updates.stored == bench.board.feed
