"""When a node's radio is up, and what goes over it in which order."""

from itertools import pairwise

import pytest
from node_site import LINK, Site

from tallystick_node import app
from tallystick_node.board_memory import MemoryLink, MemoryStorage
from tallystick_node.delivery import FIRST_PAUSE_MS, GIVE_UP_MS, LONGEST_PAUSE_MS, Delivery
from tallystick_node.files import Files
from tallystick_node.outbox import WINDOW_READINGS
from tallystick_node.segment import Common
from tallystick_node.store import Store
from tallystick_wire.message import Ack

LINGER_MS = 3000


class Radio(MemoryLink):
    """It takes payloads only while it is up, and notes when it was switched."""

    def __init__(self) -> None:
        super().__init__()
        self.switched: list[bool] = []

    def power(self, on: bool) -> None:
        super().power(on)
        self.switched.append(on)

    def send(self, payload: bytes) -> bool:
        return self.up and super().send(payload)


class Rig:
    """A store, a radio, and the delivery between them."""

    def __init__(self) -> None:
        self.store = Store(Files(MemoryStorage()), 1000)
        self.store.recover(Common(b"", b""))
        self.radio = Radio()
        self.counts: list[str] = []
        self.delivery = Delivery(self.radio, self.store, LINGER_MS, self.counts.append)

    def write(self, first: int, count: int) -> None:
        self.store.write(first, [self.store.pack(b"%d" % seq) for seq in range(first, first + count)])

    def ack(self, high: int, now_ms: int, *gaps: tuple[int, int]) -> None:
        ack = Ack(bytes(8), 1, high, list(gaps))
        forgotten = self.store.acked(ack, lambda seq, identity: None)
        self.delivery.heard(now_ms)
        self.delivery.acked(ack, forgotten, now_ms)

    def turns(self, first_ms: int, last_ms: int) -> None:
        for now_ms in range(first_ms, last_ms + 1, 500):
            self.delivery.turn(now_ms)

    def sent(self) -> list[int]:
        found, self.radio.sent = self.radio.sent, []
        return [int(payload) for payload in found]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_radio_is_down_while_nothing_waits(rig: Rig) -> None:
    rig.turns(0, 10_000)
    assert rig.radio.switched == [False]
    rig.write(1, 3)
    rig.delivery.turn(20_000)
    assert (rig.radio.switched, rig.sent()) == ([False, True], [1, 2, 3])
    rig.ack(3, 20_500)
    rig.turns(20_500, 20_500 + LINGER_MS - 500)
    assert rig.radio.up, "it listens for a while: the gateway may have something to say"
    rig.delivery.turn(20_500 + LINGER_MS)
    assert not rig.radio.up


def test_a_backlog_goes_out_in_order_through_a_window(rig: Rig) -> None:
    for first in range(1, 100, 20):
        rig.write(first, 20)
    arrived = []
    for now_ms in range(0, 40_000, 500):
        rig.delivery.turn(now_ms)
        sent = rig.sent()
        assert len(sent) <= WINDOW_READINGS
        arrived += sent
        if arrived:
            rig.ack(arrived[-1], now_ms)
    assert arrived == list(range(1, 101))


def test_what_an_ack_misses_is_sent_again_at_once_and_once(rig: Rig) -> None:
    """Later readings arrived, so it is lost, and the rest of the site waits for it."""
    rig.write(1, 6)
    rig.delivery.turn(0)
    assert rig.sent() == [1, 2, 3, 4, 5, 6]
    rig.ack(5, 500, (2, 3))
    rig.delivery.turn(500)
    assert rig.sent() == [2, 3]
    rig.ack(5, 600, (2, 3))
    rig.delivery.turn(600)
    assert rig.sent() == [], "on its way"


def test_without_acks_the_radio_gives_up_and_the_pauses_grow(rig: Rig) -> None:
    rig.write(1, 3)
    ups, was_up = [], False
    for now_ms in range(0, 8 * 3_600_000, 1000):
        rig.delivery.turn(now_ms)
        if rig.radio.up and not was_up:
            ups.append(now_ms)
        was_up = rig.radio.up
    pauses = [later - earlier - GIVE_UP_MS for earlier, later in pairwise(ups)]
    assert pauses[:6] == [FIRST_PAUSE_MS * 2**number for number in range(5)] + [LONGEST_PAUSE_MS]
    assert set(pauses[5:]) == {LONGEST_PAUSE_MS}


def test_an_ack_forgets_the_pauses(rig: Rig) -> None:
    rig.write(1, 3)
    rig.turns(0, GIVE_UP_MS + FIRST_PAUSE_MS + 500)
    assert rig.radio.up
    rig.ack(3, GIVE_UP_MS + FIRST_PAUSE_MS + 500)
    assert rig.delivery.sleep()[0] == 0


def test_words_without_acks_do_not_keep_a_radio_up(rig: Rig) -> None:
    """A gateway that talks and stores nothing would empty the battery."""
    rig.write(1, 3)
    for now_ms in range(0, GIVE_UP_MS + 1000, 500):
        rig.delivery.heard(now_ms)
        rig.delivery.turn(now_ms)
    assert not rig.radio.up


def test_a_radio_that_was_up_all_the_time_is_given_its_time_for_a_new_batch(rig: Rig) -> None:
    for now_ms in range(0, 10 * GIVE_UP_MS, 500):
        rig.delivery.heard(now_ms)  # anchors come, so it stays up
        rig.delivery.turn(now_ms)
    rig.write(1, 3)
    rig.turns(10 * GIVE_UP_MS, 11 * GIVE_UP_MS - 1000)
    assert rig.radio.switched == []
    assert rig.sent()[:3] == [1, 2, 3]


def test_what_is_urgent_waits_for_no_pause(rig: Rig) -> None:
    rig.write(1, 3)
    rig.turns(0, GIVE_UP_MS + 1000)
    assert not rig.radio.up
    rig.write(4, 1)
    rig.delivery.turn(GIVE_UP_MS + 1500)
    assert not rig.radio.up, "an ordinary batch does wait"
    rig.delivery.hurry()
    rig.delivery.turn(GIVE_UP_MS + 2000)
    assert rig.radio.up


def test_after_a_deep_sleep_the_radio_is_down_and_remembers_its_pause(rig: Rig) -> None:
    rig.write(1, 3)
    rig.turns(0, GIVE_UP_MS + 1000)
    kept = rig.delivery.sleep()
    again = Rig()
    again.write(1, 3)
    again.delivery.resume(kept)
    again.delivery.turn(GIVE_UP_MS + 30_000)
    assert not again.radio.up
    assert again.delivery.rest_ms(GIVE_UP_MS + 30_000) == FIRST_PAUSE_MS - 30_000
    again.delivery.turn(GIVE_UP_MS + FIRST_PAUSE_MS)
    assert (again.radio.up, again.sent()) == (True, [1, 2, 3])


def test_a_node_answers_on_the_link_that_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings go over the radio; whoever holds the cable is answered on the cable."""
    site = Site()
    site.live(1, LINK)
    radio = Radio()

    def with_radio(turns: int = 0) -> None:
        Site.power_cycle(site, turns)
        site.cable = site.link
        site.link = radio

    monkeypatch.setattr(site, "power_cycle", with_radio)
    site.power_cycle(2)
    cable = site.cable
    cable.arriving.append(LINK)
    app.run(site)
    assert [type(payload) for payload in cable.sent] == [bytes], "linked"
    assert {one.chain.seq for one in site.readings.values() if one.chain.boot > 1} == {257, 258}
