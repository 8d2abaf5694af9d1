"""Batches: numbered when measured, signed when stored, stored when full, old or urgent; and a flash that is full."""

from itertools import pairwise

import pytest
from node_site import LINK, Site

from tallystick_node import app, given_up
from tallystick_node.batch import FLASH_RETRY_MS, MAX_BATCH_READINGS, Batch, Measured
from tallystick_node.board_memory import MemoryStorage
from tallystick_node.errors import StorageError
from tallystick_node.files import Files
from tallystick_node.given_up import MAX_RANGES, GivenUp
from tallystick_node.sensor import BELIEVE_AFTER
from tallystick_wire import cbor, senml
from tallystick_wire.message import Ack

BATCH = MAX_BATCH_READINGS


@pytest.fixture
def site() -> Site:
    made = Site()
    made.batch_readings = BATCH
    made.batch_ms = 1_000_000
    return made


# --- when a batch is stored


def measured(seq: int, uptime_ms: int) -> Measured:
    return Measured(seq, uptime_ms, None, b"payload")


def test_a_batch_is_due_when_it_is_full_or_old_or_urgent() -> None:
    batch = Batch(3, 1000)
    assert batch.due_in_ms(0) is None
    batch.add(measured(1, 100), urgent=False)
    assert [batch.due_in_ms(now) for now in (100, 600, 1100, 5000)] == [1000, 500, 0, 0]
    batch.add(measured(2, 200), urgent=False)
    assert (batch.is_full, batch.due_in_ms(200)) == (False, 900)
    batch.add(measured(3, 300), urgent=False)
    assert (batch.is_full, batch.due_in_ms(300)) == (True, 0)
    batch.clear()
    batch.add(measured(4, 400), urgent=True)
    assert batch.due_in_ms(400) == 0
    batch.clear()
    assert batch.due_in_ms(400) is None


@pytest.mark.parametrize(("asked", "given"), [(-1, 1), (0, 1), (7, 7), (BATCH, BATCH), (BATCH + 1, BATCH)])
def test_never_more_than_20_readings_are_not_on_flash(asked: int, given: int) -> None:
    assert Batch(asked, 0).limit == given


def test_at_most_20_readings_are_lost_in_a_power_cut_and_they_are_declared(site: Site) -> None:
    found = site.live(3 * BATCH - 1, LINK)
    assert [one.chain.seq for one in found] == list(range(1, 2 * BATCH + 1)), "the third batch is not full"
    site.batch_readings = 1
    after = site.live(4)
    assert after[0].boot_record is not None
    assert after[0].boot_record.last_persisted == 2 * BATCH
    assert after[0].chain.previous == found[-1].link
    assert (after[0].chain.seq, after[0].boot_record.reserved_bound) == (257, 256)


def test_nothing_is_sent_before_it_is_on_flash(site: Site) -> None:
    site.live(BATCH - 1, LINK)
    assert site.arrivals == []
    assert not any(name.startswith("s/") for name in site.memory.files)


def test_a_reading_keeps_the_time_at_which_it_was_measured(site: Site) -> None:
    found = site.live(BATCH + 1, LINK)
    assert [one.chain.uptime_ms for one in found] == [100 * number for number in range(BATCH)]
    for earlier, later in pairwise(found):
        assert later.chain.previous == earlier.link


def test_what_is_urgent_goes_out_at_once_with_what_came_before_it(site: Site) -> None:
    site.live(1, LINK)
    site.power_cycle(7)
    measurements = []

    def temperature() -> int:
        measurements.append(site.now_ms)
        site.sensor_works = len(measurements) != 5
        return Site.temperature(site)

    site.channels[0].read = temperature
    app.run(site)
    assert site.arrivals == [257, 258, 259, 260, 261], "the fault at the fifth is news, and does not wait for twenty"
    assert BELIEVE_AFTER > 2, "its end is not yet believed"


def test_the_oldest_waits_no_longer_than_it_may(site: Site) -> None:
    site.batch_ms = 350
    found = site.live(6, LINK)
    assert [one.chain.seq for one in found] == [1, 2, 3, 4, 5]


def test_an_anchor_goes_into_the_first_reading_after_it(site: Site) -> None:
    """Not into those of the batch that were measured before it came."""
    site.live(1, LINK)
    site.power_cycle()
    node = app.wake(site)
    node.take_reading(0)
    node.take_reading(100)
    assert node.chain is not None
    node.chain.accept_anchor(7, b"h" * 16, 150)
    node.take_reading(200)
    node.chain.accept_anchor(8, b"i" * 16, 200)
    node.take_reading(300)
    node.store_batch(300)
    node.send_pending(300)
    site.hear()
    found = [one for _, one in sorted(site.readings.items())]
    assert [one.chain.anchor for one in found] == [None, None, (7, b"h" * 16, 150), (8, b"i" * 16, 200)]


# --- a full flash


@pytest.fixture
def full(site: Site) -> Site:
    """Four segments fit, the gateway is away."""
    site.segment_limit = 4
    site.acking = False
    return site


def test_low_priority_channels_stop_above_three_quarters(full: Site) -> None:
    full.live(4 * BATCH, LINK)
    for segment_limit, names in ((6, ["t", "h", "b"]), (5, ["t"])):
        full.segment_limit = segment_limit
        full.power_cycle()
        node = app.wake(full)
        node.take_reading(0)
        node.take_reading(100)
        pack = senml.decode_pack(node.batch.entries[1].payload)
        assert [record.name for record in pack.records] == names


def test_without_that_setting_a_full_flash_takes_no_new_readings(full: Site) -> None:
    full.live(10 * BATCH, LINK)
    assert app.wake(full).store.pending(1000) == list(range(1, 4 * BATCH + 1))


def test_with_that_setting_the_oldest_are_given_up_and_declared(full: Site) -> None:
    full.give_up_oldest = True
    full.live(6 * BATCH, LINK)
    assert app.wake(full).store.pending(1000) == list(range(2 * BATCH + 1, 6 * BATCH + 1))
    full.acking = True
    full.readings.clear()
    found = full.live(BATCH + 6)
    assert [one.chain.seq for one in found[: 4 * BATCH]] == list(range(2 * BATCH + 1, 6 * BATCH + 1))
    assert [one.gap for one in found if one.gap is not None] == [(1, BATCH), (1, 2 * BATCH), (1, 2 * BATCH)]
    assert all(one.gap[1] < one.chain.seq for one in found if one.gap is not None)
    assert {one.gap for one in full.live(BATCH + 6) if one.chain.boot == 4} == {None}, "the gateway knows: said no more"
    assert cbor.decode(Files(full.memory).read("gap.0") or b"")[1] == []


def test_a_boot_record_that_is_given_up_takes_what_it_said_along(full: Site) -> None:
    """It alone said that numbers before it will never come: nobody may wait for them for ever."""
    full.give_up_oldest = True
    full.batch_readings = 1
    full.live(2, LINK)
    full.live(1)
    full.live(1)  # numbers 1, 2; 257; 513
    assert app.wake(full).store.pending(9) == [1, 2, 257, 513]
    full.live(3)
    node = app.wake(full)
    assert node.store.pending(9) == [513, 769, 770, 771]
    assert node.given_up is not None
    assert node.given_up.ranges == [(1, 256 + 1)], "with 3 to 256, which never were"
    full.acking = True
    full.readings.clear()
    full.live(5)
    assert full.waits_for() == []


def test_what_was_delivered_is_not_declared_lost(full: Site) -> None:
    """Gaps of an ack stay gaps: a range that swallows acked numbers would let an operator withhold those."""
    full.give_up_oldest = True
    full.live(4 * BATCH, LINK)
    full.power_cycle()
    full.batch_readings = 1
    node = app.wake(full)
    node.store.acked(Ack(bytes(8), 1, BATCH, [(3, 4), (9, 9)]), lambda seq, identity: None)
    node.take_reading(0)
    node.store_batch(0)
    assert node.given_up is not None
    assert node.given_up.ranges == [(3, 4), (9, 9)]


def test_nothing_is_removed_before_it_is_declared(full: Site) -> None:
    full.live(4 * BATCH, LINK)
    full.give_up_oldest, full.batch_readings = True, 1
    full.power_cycle()
    node = app.wake(full)
    node.take_reading(0)
    full.memory.full = True
    assert not node.store_batch(0)
    assert node.store.pending(1) == [1], "it could not be written down"


def test_a_flash_that_others_filled_gives_up_the_oldest_too(full: Site) -> None:
    """Below the limit of segments, but the write finds no space."""
    full.live(3 * BATCH, LINK)
    full.give_up_oldest, full.batch_readings = True, 1
    full.power_cycle()
    node = app.wake(full)
    node.take_reading(0)
    full.memory.full = True
    assert not node.store_batch(0)
    full.memory.full = False
    assert node.store_batch(FLASH_RETRY_MS)
    assert node.all_counts()["segments_given_up"] == 1
    assert node.given_up is not None
    assert (node.given_up.ranges, node.store.pending(1)) == ([(1, BATCH)], [BATCH + 1])


def test_a_power_cut_between_declaring_and_removing_is_finished_by_the_next_boot(full: Site) -> None:
    full.live(4 * BATCH, LINK)
    files = Files(full.memory)
    GivenUp(files, 1).add([(1, BATCH)])
    assert len([name for name in files.names() if name.startswith("s/")]) == 4
    node = app.wake(full)
    assert len([name for name in files.names() if name.startswith("s/")]) == 3
    assert node.store.pending(1) == [BATCH + 1]
    assert node.given_up is not None
    assert node.given_up.next_records(500)[0].value == 1


def test_a_lost_twin_declares_all_that_is_not_here(full: Site) -> None:
    """Whatever lies below the oldest reading on flash was acked, or it will never come."""
    full.give_up_oldest = True
    full.live(6 * BATCH, LINK)
    full.memory.files["gap.0"] = full.memory.files["gap.1"] = b"rot"
    full.readings.clear()
    full.acking = True
    full.batch_readings = 1
    assert (1, 3 * BATCH) in [one.gap for one in full.live(9)]


# --- the ranges themselves


@pytest.fixture
def files() -> Files:
    return Files(MemoryStorage())


def ack(high: int, *gaps: tuple[int, int]) -> Ack:
    return Ack(bytes(8), 1, high, list(gaps))


def test_neighbours_are_one_range_and_said_anew(files: Files) -> None:
    lost = GivenUp(files, 1)
    lost.add([(1, 20)])
    assert [record.value for record in lost.next_records(100)] == [1, 20]
    assert lost.next_records(101) == []
    lost.add([(21, 40), (50, 60)])
    assert [record.value for record in lost.next_records(102)] == [1, 40]
    assert [record.value for record in lost.next_records(103)] == [50, 60]
    assert lost.ranges == [(1, 40), (50, 60)] == GivenUp(files, 1).ranges


def test_a_range_is_kept_until_a_reading_that_says_it_is_acked(files: Files) -> None:
    lost = GivenUp(files, 1)
    lost.add([(1, 20)])
    lost.acked(ack(1000))
    lost.next_records(100)
    lost.acked(ack(120, (99, 101)))
    assert GivenUp(files, 1).ranges == [(1, 20)]
    lost.acked(ack(120, (99, 99)))
    assert lost.ranges == GivenUp(files, 1).ranges == []


def test_a_range_whose_reading_is_given_up_too_is_said_again(files: Files) -> None:
    """A gateway acks numbers that will never come: that is no news of what they would have said."""
    lost = GivenUp(files, 1)
    lost.add([(1, 20)])
    lost.next_records(25)
    lost.add([(23, 40)])
    lost.acked(ack(40))
    assert lost.ranges == [(1, 20), (23, 40)]
    assert [record.value for record in lost.next_records(50)] == [1, 20]


def test_a_power_cut_says_it_once_more(files: Files) -> None:
    lost = GivenUp(files, 1)
    lost.add([(1, 20)])
    lost.next_records(100)
    assert [record.value for record in GivenUp(files, 1).next_records(300)] == [1, 20]


def test_the_number_of_ranges_is_bounded(files: Files) -> None:
    lost = GivenUp(files, 1)
    for first in range(1, 10 * MAX_RANGES, 4):
        lost.add([(first, first + 1)])
    assert len(lost.ranges) == MAX_RANGES
    assert lost.ranges[0][0] == 1


def test_a_refused_write_gives_nothing_up(files: Files) -> None:
    lost = GivenUp(files, 1)
    lost.add([(1, 20)])
    files._storage.full = True  # type: ignore[attr-defined]
    with pytest.raises(StorageError):
        lost.add([(21, 40)])
    assert lost.ranges == [(1, 20)]


def test_what_may_be_lost_lies_in_the_twin_called_gap(files: Files) -> None:
    GivenUp(files, 1).add([(1, 20)])
    assert files.names() == ["gap.0", "gap.1"]
    assert given_up.MAX_RANGES == 16
