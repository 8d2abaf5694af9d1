"""Deep sleep on a board in memory: what goes on, what is believed, and what time it is. And the watchdog."""

from itertools import pairwise

import pytest
from node_site import LINK, Site

from tallystick_node import app, sleep_state, watchdog
from tallystick_node.batch import MAX_BATCH_READINGS
from tallystick_node.board_memory import MemoryRtc
from tallystick_node.clock import COMPARED_MS, LARGEST_DRIFT_PPM, SleepClock, Uptime, drift_ppm
from tallystick_node.delivery import GIVE_UP_MS
from tallystick_node.sensor import Channel
from tallystick_node.sleep_state import LONGEST_SLEEP_MS, MAX_SLEEP_STATE_BYTES, SleepState
from tallystick_node.watchdog import SHORTEST_DEADLINE_MS, Watchdog
from tallystick_wire import message

INTERVAL_MS = 60_000


class SleepySite(Site):
    """A board that sleeps between two readings. While it is awake a turn takes 100 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.interval_ms = INTERVAL_MS
        self.batch_readings = 4
        self.batch_ms = 20 * INTERVAL_MS
        self.rtc_memory = MemoryRtc()
        self.turn_ms = 100

    def idle(self, wait_ms: int) -> None:
        self.now_ms += self.turn_ms
        self.hear()

    def nights(self, count: int, turns: int = 300) -> None:
        """So many deep sleeps, each with its wake."""
        for _ in range(count):
            self.wake(turns)
            app.run(self)

    def seen(self) -> list[int]:
        return sorted(self.readings)


@pytest.fixture
def site() -> SleepySite:
    made = SleepySite()
    made.power_cycle(300)
    made.link.arriving.append(LINK)
    app.run(made)
    assert made.slept, "it fell asleep"
    return made


# --- a wake is no boot


def test_the_boot_goes_on_over_deep_sleeps(site: SleepySite) -> None:
    site.nights(12)
    found = [one for _, one in sorted(site.readings.items())]
    assert [one.chain.seq for one in found] == list(range(1, 13))
    assert {one.chain.boot for one in found} == {1}
    assert [one.boot_record is not None for one in found] == [True] + [False] * 11
    for earlier, later in pairwise(found):
        assert later.chain.previous == earlier.link
        assert INTERVAL_MS - 100 <= later.chain.uptime_ms - earlier.chain.uptime_ms <= INTERVAL_MS + 200


def test_a_wake_writes_nothing_but_a_batch(site: SleepySite) -> None:
    site.nights(1)
    before = dict(site.memory.files)
    site.nights(1)
    assert site.memory.files == before
    site.nights(1)
    assert set(site.memory.files) - set(before) == {"s/0000000001-0000000004.seg"}


def test_what_was_acked_is_not_sent_again_after_a_wake(site: SleepySite) -> None:
    site.nights(11)
    assert site.arrivals == sorted(set(site.arrivals))
    site.power_cycle(30)
    app.run(site)
    assert site.arrivals[-4:] == [9, 10, 11, 12], "a boot asks once more for its newest segment"


def test_an_anchor_waits_through_the_night_for_its_reading(site: SleepySite) -> None:
    key = bytes(range(32))
    site.wake(300)
    site.link.arriving.append(message.build_anchor(key, 7, b"h" * 16))
    app.run(site)
    site.nights(1)
    site.wake(300)
    site.link.arriving.append(message.build_anchor(key, 6, b"i" * 16))  # older than one that this boot knows
    app.run(site)
    site.nights(9)
    anchors = [one.chain.anchor for _, one in sorted(site.readings.items())]
    assert [anchor[0] for anchor in anchors if anchor is not None] == [7]
    assert anchors[1] is not None, "the first reading after it came"


def test_a_fault_that_lasts_is_no_news_at_every_wake(site: SleepySite) -> None:
    site.sensor_works = False
    site.nights(2)
    arrived = len(site.arrivals)
    site.nights(2)
    assert len(site.arrivals) == arrived, "these wait for their batch"


def test_what_is_urgent_is_not_slept_over(site: SleepySite) -> None:
    """The flash refuses it: it is tried again in ten seconds, and not after a sleep that forgets the hurry."""
    site.memory.full = True
    site.sensor_works = False
    nights = len(site.slept)
    site.wake(50)
    app.run(site)
    assert len(site.slept) == nights


def test_somebody_who_talks_keeps_it_awake(site: SleepySite) -> None:
    site.listen_ms = 5000
    site.wake(40)
    site.link.arriving.append(message.build_hello())
    nights = len(site.slept)
    app.run(site)
    assert len(site.slept) == nights, "4 s of uptime: it listens"
    assert message.kind(site.answers[-1]) == "node"


def test_a_node_that_is_not_enrolled_never_sleeps() -> None:
    board = SleepySite()
    board.power_cycle(50)
    app.run(board)
    assert board.slept == []


def test_without_an_ack_it_sleeps_all_the_same_and_tries_again_later(site: SleepySite) -> None:
    site.acking = False
    site.nights(3, turns=2000)
    tried = len(site.arrivals)
    assert tried >= 4, "the first batch"
    assert site.now_ms >= 3 * INTERVAL_MS + GIVE_UP_MS
    site.acking = True
    site.nights(12, turns=2000)
    assert site.seen()[:8] == [1, 2, 3, 4, 5, 6, 7, 8]


# --- when the memory is not believed


def test_memory_that_is_gone_is_a_boot_and_the_batch_is_declared(site: SleepySite) -> None:
    site.nights(5)
    assert site.rtc_memory is not None
    site.rtc_memory.data = b""
    site.nights(5)
    first = next(one for one in site.readings.values() if one.chain.boot == 2)
    assert first.boot_record is not None
    assert (first.boot_record.last_persisted, first.chain.seq) == (4, 257)
    assert first.chain.uptime_ms < INTERVAL_MS


def test_every_flipped_bit_of_the_memory_is_a_boot(site: SleepySite) -> None:
    site.nights(2)
    assert site.rtc_memory is not None
    good = site.rtc_memory.data
    for bit in range(0, 8 * len(good), 7):
        torn = bytearray(good)
        torn[bit // 8] ^= 1 << bit % 8
        assert sleep_state.decode(bytes(torn)) is None
    assert sleep_state.decode(good) is not None


def test_memory_is_cleared_before_it_is_used(site: SleepySite) -> None:
    """A node that fails right after a wake boots; it does not live the same wake twice."""
    assert site.rtc_memory is not None
    site.wake(1)
    node = app.wake(site)
    assert node.slept is not None
    assert site.rtc_memory.data == b""


def test_stale_memory_is_not_believed(site: SleepySite) -> None:
    """Of an earlier night, and since then numbers went to flash and to the gateway."""
    assert site.rtc_memory is not None
    stale = site.rtc_memory.data
    site.nights(6)
    used = set(site.seen())
    site.rtc_memory.data = stale
    site.nights(6)
    again = [one for one in site.readings.values() if one.chain.seq not in used]
    assert {one.chain.boot for one in again} == {2}
    assert all(one.chain.seq > 256 for one in again)


@pytest.mark.parametrize("cause", ["power-on", "watchdog", "soft"])
def test_memory_is_believed_only_after_a_deep_sleep(site: SleepySite, cause: str) -> None:
    site.wake(1)
    site.reset_cause = cause
    assert app.wake(site).slept is None


def state(**changes: object) -> SleepState:
    values = {"kid": bytes(8), "boot": 1, "newest_seq": 4, "uptime_ms": 10, "counted_ms": 1000, "clock": [0, 0]}
    return SleepState(**(values | {"next_reading_ms": 70, "parts": []} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "believed"),
    [
        ((bytes(8), 1, 4, 1000), True),
        ((b"x" * 8, 1, 4, 1000), False),
        ((bytes(8), 2, 4, 1000), False),
        ((bytes(8), 1, 5, 1000), False),
        ((bytes(8), 1, 4, 999), False),
        ((bytes(8), 1, 4, 1001 + 2 * LONGEST_SLEEP_MS), False),
    ],
)
def test_what_a_memory_must_fit(now: tuple[bytes, int, int, int], believed: bool) -> None:
    assert state().belongs_to(*now) is believed


def test_a_state_comes_back_as_it_was() -> None:
    kept = sleep_state.encode(state(parts=[1, [b"x", None]]))
    assert kept is not None
    again = sleep_state.decode(kept)
    assert again is not None
    assert (again.kid, again.clock, again.parts) == (bytes(8), [0, 0], [1, [b"x", None]])
    assert sleep_state.decode(b"") is None
    assert sleep_state.decode(b"\x00" * 40) is None


def test_what_is_too_much_for_the_memory_goes_to_flash(site: SleepySite) -> None:
    assert sleep_state.encode(state(parts=[bytes(MAX_SLEEP_STATE_BYTES)])) is None
    site.batch_readings, site.batch_ms = MAX_BATCH_READINGS, 10_000_000
    site.power_cycle(300)
    site.channels += [Channel(name, lambda: 21, -5500, 12500) for name in ("p", "pb", "pc", "pd")]
    app.run(site)
    site.nights(MAX_BATCH_READINGS)
    assert site.rtc_memory is not None
    assert 0 < len(site.rtc_memory.data) <= MAX_SLEEP_STATE_BYTES
    later = [one.chain.seq for one in site.readings.values() if one.chain.boot == 2]
    assert 257 in later, "a batch went to flash before it had twenty"


def test_twenty_readings_with_a_probe_and_a_door_fit_the_memory(site: SleepySite) -> None:
    site.batch_readings, site.batch_ms = MAX_BATCH_READINGS, 10_000_000
    site.channels += [Channel("p", lambda: -1800, -5500, 12500), Channel("d", lambda: False)]
    site.power_cycle(300)
    app.run(site)
    site.nights(MAX_BATCH_READINGS - 2)
    assert site.rtc_memory is not None
    assert len(site.rtc_memory.data) <= MAX_SLEEP_STATE_BYTES
    assert not [one for one in site.readings.values() if one.chain.boot == 2], "all of them wait in it"


# --- what time it is


def test_uptime_goes_on_from_where_it_is_told() -> None:
    ticks = iter([0, 40, 90, 100])
    uptime = Uptime(lambda: next(ticks), lambda later, earlier: later - earlier)
    uptime.go_on_from(1_000_000)
    assert [uptime.ms(), uptime.ms()] == [1_000_050, 1_000_060]


def test_drift_is_known_only_after_enough_was_compared() -> None:
    assert drift_ppm(COMPARED_MS // 10, COMPARED_MS // 10 - 1) == 0
    assert drift_ppm(1_010_000, 1_000_000) == 10_000
    assert drift_ppm(990_000, 1_000_000) == -10_000
    assert drift_ppm(1_000_000 + LARGEST_DRIFT_PPM + 1, 1_000_000) == 0, "no drift: somebody set the clock"


def test_a_sleep_clock_that_is_wrong_is_corrected_by_the_crystal(site: SleepySite) -> None:
    """Of a clock that is 3 % slow, less than a thousandth is left once a minute of waking was compared."""
    site.sleep_clock_ppm = 30_000
    site.linger_ms = 20_000  # the two clocks are compared while it is awake
    errors = []
    for _ in range(60):
        behind_ms = site.true_ms() - site.now_ms
        site.nights(1)
        errors.append(site.true_ms() - site.now_ms - behind_ms)
    assert errors[0] > 1500, "uncorrected at first"
    assert max(map(abs, errors[-10:])) < 60


def test_the_estimate_follows_the_weather() -> None:
    clock = SleepClock()
    for _ in range(1000):
        clock.watch(10_000, 9_900)
    assert clock.drift_ppm == pytest.approx(10_101, abs=10)
    for _ in range(1000):
        clock.watch(10_000, 10_100)
    assert clock.drift_ppm == pytest.approx(-9_900, abs=150)
    assert clock.counted_ms <= 2 * COMPARED_MS


# --- the watchdog


def test_the_watchdog_is_fed_only_while_there_is_progress() -> None:
    fed: list[int] = []
    dog = Watchdog(lambda: fed.append(1), 1000)
    for now_ms in (0, 500, 1000, 1001, 5000):
        dog.turn(now_ms)
    assert len(fed) == 3
    dog.progress(5000)
    dog.turn(6000)
    assert len(fed) == 4


def test_a_flash_that_refuses_for_ever_starves_the_watchdog() -> None:
    site = Site()
    site.live(1, LINK)
    site.interval_ms = SHORTEST_DEADLINE_MS // 10
    site.power_cycle()
    node = app.wake(site)
    site.memory.full = True
    fed = []
    for now_ms in range(0, 2 * SHORTEST_DEADLINE_MS, site.interval_ms):
        node.take_reading(now_ms)
        node.store_batch(now_ms)
        node.send_pending(now_ms)
        site.link.sent.clear()
        before = site.feeds
        node.watchdog.turn(now_ms)
        fed.append(site.feeds > before)
    assert fed[0]
    assert not fed[-1], "the loop turns, and nothing gets anywhere"


def test_a_node_without_a_log_waits_for_one_for_ever() -> None:
    site = Site()
    site.interval_ms = SHORTEST_DEADLINE_MS
    site.live(5)
    assert site.feeds == 5


def test_the_deadline_leaves_room_for_missed_batches() -> None:
    assert watchdog.deadline_ms(60_000, 60_000) == SHORTEST_DEADLINE_MS
    assert watchdog.deadline_ms(3_600_000, 1_800_000) == 3 * 5_400_000
