"""A real node's flash runs full while its gateway is away: what it gave up is declared, proved, and is silence."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from finance_support import MINUTE_MS, Bank
from second_verifier import Verifier

from tallystick_finance.evidence import decision_bundle
from tallystick_ledger.errors import Conflict
from tallystick_ledger.evidence import reading_bundle, window_bundle
from tallystick_node import app
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.state import Config
from tallystick_proof import statement
from tallystick_proof.evidence import Evidence
from tallystick_proof.verdict import verify
from tallystick_tools import verify_text
from tallystick_tools.verify_decision import verify_decision
from tallystick_wire import message, reading
from tallystick_wire.sequence import Seen

SEGMENTS, BATCH = 4, 5  # the flash holds twenty readings
LINK_KEY = bytes(32)


class Board(MemoryBoard):
    """A small flash, and a key that the test's world has enrolled."""

    def __init__(self, seed: bytes) -> None:
        super().__init__()
        self._seed = seed
        self.segment_limit, self.batch_readings = SEGMENTS, BATCH
        self.give_up_oldest = True
        self.celsius_cents = 450

    def random_bytes(self, count: int) -> bytes:
        return self._seed

    def temperature(self) -> int:
        return self.celsius_cents


class Room:
    """A loan on a room that this one node watches; `minute` is what the node does in one, `deliver` what it sends."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.loan = bank.lend()
        self.board = Board(bank.world.secret("node-a"))
        self.node = app.wake(self.board)
        self.node.enrol(Config(bank.world.origin, 32473, LINK_KEY))
        self.thumbprint = bank.thumbprint("node-a")
        self.seen = Seen()
        self.delivered: list[reading.Reading] = []

    def minutes(self, count: int, celsius_cents: int = 450) -> None:
        self.board.celsius_cents = celsius_cents
        for _ in range(count):
            self.bank.wait(1)
            self.board.now_ms += MINUTE_MS
            self.node.take_reading(self.board.now_ms)
            if self.node.batch.is_full:
                assert self.node.store_batch(self.board.now_ms)

    def deliver(self) -> None:
        """The gateway is there: everything that lies on the flash reaches it and is acked."""
        self.node.store_batch(self.board.now_ms)
        while pending := self.node.store.pending(16):
            for data in map(self.node.store.get, pending):
                one = reading.parse(data)
                self.delivered.append(one)
                self.bank.gateway.take(data)
                self.seen.add(one.chain.seq)
                if one.gap is not None:
                    self.seen.forget(*one.gap)
            high, gaps = self.seen.ack()
            self.node.forget(message.Ack(self.node.kid, self.node.boot, high, gaps), self.board.now_ms)

    def come_back(self) -> None:
        """The gateway is there again: the backlog, and one batch that may declare what was given up last."""
        self.deliver()
        self.minutes(BATCH)
        self.deliver()
        self.bank.sync()

    @property
    def folded(self) -> int:
        last = self.bank.loan(self.loan.id).state.nodes[0].last
        return 0 if last is None else last.seq


@pytest.fixture
def room(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[Room]:
    bank = Bank(tmp_path, make_world)
    made = Room(bank)
    made.minutes(10)
    made.deliver()
    bank.sync()
    yield made
    bank.close()


def test_what_a_full_flash_gave_up_is_proved_as_given_up(room: Room) -> None:
    room.minutes(40)
    room.come_back()
    numbers = [one.chain.seq for one in room.delivered]
    given_up = sorted(set(range(1, 56)) - set(numbers))
    assert given_up == list(range(11, 11 + len(given_up)))
    assert 20 <= len(given_up) < 40
    assert room.folded == 55
    ledger, trust = room.bank.live.ledger, room.bank.world.trust
    found = verify(Evidence(window_bundle(ledger, room.thumbprint, 1, 55), trust))
    assert [one.reading.chain.seq for one in found.readings] == numbers
    [told] = [remark.text for remark in found.remarks if remark.code == "given-up"]
    words = f"{len(given_up)} readings, 11 to {given_up[-1]}, were given up by the node between reading 10 and"
    assert told.startswith(words)
    declares = next(one for one in found.readings if one.reading.gap is not None)
    assert list(verify_text.measured(declares)) == ["temperature 4.50 °C"], "a full flash keeps what matters"
    assert verify(Evidence(reading_bundle(ledger, room.thumbprint, 55), trust))


def test_the_gap_is_silence(room: Room) -> None:
    room.minutes(95)
    room.come_back()
    [decision] = room.bank.decisions(room.loan.id)
    effects = statement.parse(decision.data).body["effects"]
    assert effects[0][:2] == ["alert", "silence"]
    room.bank.publish()
    data = decision_bundle(room.bank.finance, decision.identity)
    verdict = verify_decision(Evidence(data, room.bank.world.trust))
    assert Verifier(data, room.bank.world.trust_text()).effects == effects, "the second verifier says the same"
    assert "given-up" in {remark.code for remark in verdict.verified.remarks}


def test_the_gap_is_warm_when_one_side_is(room: Room) -> None:
    """Ten cold minutes, one warm one, then nothing is known for twenty and more: too warm."""
    room.minutes(1, 900)
    room.deliver()
    room.bank.sync()
    room.minutes(44)
    room.come_back()
    [decision] = room.bank.decisions(room.loan.id)
    assert statement.parse(decision.data).body["effects"][0][:2] == ["alert", "too-warm"]


def test_readings_wait_for_the_one_that_declares(room: Room) -> None:
    """The gateway syncs in the middle of the backlog: nothing is folded over the gap, nothing is lost."""
    room.minutes(40)
    room.node.store_batch(room.board.now_ms)
    pending = room.node.store.pending(100)
    backlog = [reading.parse(room.node.store.get(seq)) for seq in pending]
    complete = (at for at, one in enumerate(backlog) if one.gap is not None and one.gap[1] >= pending[0] - 1)
    declares = next(complete, len(backlog))
    for one in backlog[:declares]:
        room.bank.gateway.take(one.data)
    room.bank.sync()
    assert room.folded == 10
    ledger = room.bank.live.ledger
    with pytest.raises(Conflict, match="do not link"):
        window_bundle(ledger, room.thumbprint, 1, backlog[declares - 1].chain.seq)
    room.come_back()
    assert room.folded == 55
