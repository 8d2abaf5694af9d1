"""Facts: what consumers read. A cursor goes on where it stood, whatever the page size, and misses nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_support import LiveLedger, TestGateway

from tallystick_ledger import export
from tallystick_ledger.facts import START, Fact, facts
from tallystick_ledger.sequencer import sequence
from tallystick_proof import entry
from tallystick_wire import cbor
from tallystick_wire.cbor import Map


@pytest.fixture
def live(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    found = LiveLedger(tmp_path, make_world("facts"))
    found.enrol("gateway", "gateway-2", "node-a")
    found.settle()
    yield found
    found.close()


def made(live: LiveLedger, count: int, name: str = "node-a") -> list[bytes]:
    return [live.world.nodes[name].measure(450, 10).data for _ in range(count)]


def tell(live: LiveLedger) -> dict[str, list[bytes]]:
    """A little history: two gateways, a late enrolment, a note, junk."""
    heard = {"a": made(live, 4), "b": made(live, 5, "node-b")}
    gateway, other = TestGateway(live.world), TestGateway(live.world, "gateway-2")
    gateway.take(*heard["a"][:2], *heard["b"][:2])
    gateway.take((entry.NOTE_LINK, Map([("up", True)])), kind=entry.NOTE)
    gateway.take_raw(b"junk")
    gateway.sync(live.ledger)
    other.take(heard["b"][0], heard["b"][2], heard["a"][1])
    other.sync(live.ledger)
    live.settle()
    live.enrol("node-b")
    gateway.take(*heard["a"][2:], *heard["b"][3:])
    gateway.sync(live.ledger)
    live.settle()
    return heard


def paged(live: LiveLedger, limit: int) -> list[Fact]:
    found: list[Fact] = []
    while page := facts(live.ledger, found[-1].place if found else START, limit):
        assert len(page) <= limit
        found += page
    return found


def test_every_page_size_gives_the_same_facts(live: LiveLedger) -> None:
    tell(live)
    whole = facts(live.ledger, START, 1000)
    assert [fact.place for fact in whole] == sorted({fact.place for fact in whole}), "places rise and are unique"
    for limit in range(1, len(whole) + 2):
        assert paged(live, limit) == whole


def test_each_place_is_a_cursor(live: LiveLedger) -> None:
    tell(live)
    whole = facts(live.ledger, START, 1000)
    for at, fact in enumerate(whole):
        assert facts(live.ledger, fact.place, 1000) == whole[at + 1 :]


def test_a_consumer_sees_every_valid_reading_exactly_once_as_valid(live: LiveLedger) -> None:
    heard = tell(live)
    valid = [fact.data for fact in facts(live.ledger, START, 1000) if fact.verdict == "valid"]
    assert sorted(valid) == sorted(heard["a"] + heard["b"])


def test_what_stood_before_an_enrolment_is_told_as_it_was_and_again_behind_it(live: LiveLedger) -> None:
    heard = tell(live)
    told = [(fact.place, fact.verdict) for fact in facts(live.ledger, START, 1000) if fact.data == heard["b"][0]]
    assert told == [((3, 2), "unknown key"), ((4, 0), "unknown key"), ((5, 1), "valid"), ((5, 3), "duplicate")]


def test_only_what_is_published(live: LiveLedger) -> None:
    whole = facts(live.ledger, START, 1000)
    gateway = TestGateway(live.world)
    gateway.take(*made(live, 1))
    gateway.sync(live.ledger)
    sequence(live.ledger)
    assert facts(live.ledger, START, 1000) == whole
    live.settle()
    assert len(facts(live.ledger, START, 1000)) == len(whole) + 1


def test_latest_ms_is_that_of_the_first_checkpoint_over_the_batch(live: LiveLedger) -> None:
    tell(live)
    by_place = {fact.place: fact for fact in facts(live.ledger, START, 1000)}
    # Told behind the enrolment, but logged with its batch: the earlier time is the one that is proved.
    assert by_place[5, 1].latest_ms == by_place[3, 2].latest_ms
    assert by_place[5, 0].latest_ms != by_place[3, 2].latest_ms


def test_facts_of_a_database_opened_anew(live: LiveLedger) -> None:
    tell(live)
    again = live.open()
    assert facts(again, START, 1000) == facts(live.ledger, START, 1000)
    again.db.close()


def exported(live: LiveLedger) -> list[Any]:
    return cbor.decode_sequence(b"".join(export.readings(live.ledger)))


def test_export_has_each_reading_once_in_log_order(live: LiveLedger) -> None:
    heard = tell(live)
    items = exported(live)
    assert sorted(item[4] for item in items) == sorted(heard["a"] + heard["b"])
    assert {item[3] for item in items} == {"valid"}
    assert [(item[0], item[1]) for item in items] == sorted((item[0], item[1]) for item in items)
    assert items[0][2] == live.world.now_ms


def test_export_of_what_is_not_valid(live: LiveLedger) -> None:
    unknown = made(live, 2, "node-b")
    (good,) = made(live, 1)
    bad = bytearray(good)
    bad[-1] ^= 1
    gateway, other = TestGateway(live.world), TestGateway(live.world, "gateway-2")
    gateway.take(*unknown, bytes(bad))
    gateway.sync(live.ledger)
    other.take(*unknown, good)
    other.sync(live.ledger)
    live.settle()
    items = [(item[3], item[4]) for item in exported(live)]
    assert items == [("unknown key", unknown[0]), ("unknown key", unknown[1]), ("valid", good)]
