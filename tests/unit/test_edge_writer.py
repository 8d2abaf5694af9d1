"""The writer: commit before acknowledgement, a full disk, anchors, and what the gateway says about itself."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick_edge import anchors, config
from tallystick_edge import known as knowing
from tallystick_edge import writer as writing
from tallystick_edge.anchors import Anchor
from tallystick_edge.clock import ClockReading
from tallystick_edge.entries import EntryMaker
from tallystick_edge.errors import LogFull
from tallystick_edge.files import Files
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known, NodeState
from tallystick_edge.link import Arrival
from tallystick_edge.log import Head, Log
from tallystick_edge.metrics import Metrics
from tallystick_edge.writer import Writer
from tallystick_proof import entry
from tallystick_proof.entry import GatewayEntry
from tallystick_proof.errors import PolicyError
from tallystick_wire import message

SITE_KEY = bytes(range(32))


class HandClock:
    def __init__(self) -> None:
        self.ms, self.state = 0, entry.CLOCK_NTP

    def read(self) -> ClockReading:
        return ClockReading(1_760_000_000_000 + self.ms, self.state, 20)

    def mono_ms(self) -> int:
        self.ms += 1
        return self.ms


class Route:
    """A link that remembers what it was handed."""

    name = "serial:test"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.up = True

    def send(self, payload: bytes) -> bool:
        if self.up:
            self.sent.append(payload)
        return self.up

    def take(self, kind: str) -> list[bytes]:
        found = [payload for payload in self.sent if message.kind(payload) == kind]
        self.sent = [payload for payload in self.sent if message.kind(payload) != kind]
        return found


class Bench:
    """One writer on a real log, driven by hand."""

    def __init__(self, folder: Path, world: Any) -> None:
        numbers = {"anchor_interval_ms": 100, "commit_ms": 1}
        text = config.template("t", "http://ledger.example", "s", ["/dev/null"], numbers)
        self.world, self.clock, self.route, self.output = world, HandClock(), Route(), io.StringIO()
        self.log = Log.open(folder / "log.db")
        enrolments = [world.statements[world.enrolments[name]][0] for name in ("node-a", "node-b")]
        self.log.confirm(1, 0, None, enrolments, Head(None, 0, None))
        self.metrics = Metrics()
        files = Files(world.signers["gateway"], "", SITE_KEY, world.trust)
        self.known = Known(world.trust)
        self.writer = Writer(
            config.parse(text, folder), files, self.log, self.known, EntryMaker(1, self.clock), self.metrics,
            Journal(self.output),
        )
        self.writer.step(0)  # takes the downlink

    def hear(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.writer.arrivals.put(Arrival(payload, self.route))
        self.writer.drain()

    def acks(self, name: str = "node-a") -> list[tuple[int, list[tuple[int, int]]]]:
        key = message.link_key(SITE_KEY, self.world.signers[name].thumbprint)
        opened = [message.open_ack(key, payload) for payload in self.route.take("ack")]
        return [(ack.high, ack.gaps) for ack in opened]

    def notes(self) -> list[int]:
        rows = [GatewayEntry.decode(data) for _, data in self.log.rows()]
        return [int(one.body[0]) for one in rows if one.kind == entry.NOTE]

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tallystick_gateway_{name}", labels) or 0.0


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("writer")


@pytest.fixture
def bench(tmp_path: Path, world: Any) -> Iterator[Bench]:
    made = Bench(tmp_path, world)
    yield made
    made.log.close()


def test_one_commit_and_one_ack_for_a_group(bench: Bench, world: Any) -> None:
    node = world.nodes["node-a"]
    bench.hear(*(node.measure().data for _ in range(50)))
    assert bench.count("commits_total") == 1
    assert bench.acks() == [(50, [])]
    assert bench.count("stored_total") == bench.count("verified_total") == 50


def test_the_commit_comes_before_the_ack(bench: Bench, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    commit, send = bench.log.commit, bench.route.send

    def watched_commit(entries: list[bytes], unknown: list[int]) -> int:
        order.append("commit")
        return commit(entries, unknown)

    def watched_send(payload: bytes) -> bool:
        order.append("ack")
        return send(payload)

    monkeypatch.setattr(bench.log, "commit", watched_commit)
    monkeypatch.setattr(bench.route, "send", watched_send)
    bench.hear(world.nodes["node-a"].measure().data)
    assert order == ["commit", "ack"]


def test_a_full_disk_stops_acks_and_nothing_else(bench: Bench, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = world.nodes["node-a"]
    first, second, third = node.measure(), node.measure(), node.measure()
    bench.hear(first.data)
    assert bench.acks() == [(1, [])]

    def full(entries: list[bytes], unknown: object = ()) -> int:
        raise LogFull("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(bench.log, "commit", full)
        bench.hear(second.data, second.data, first.data)
        assert bench.acks() == []
        bench.hear(second.data)
        bench.hear(first.data)
        assert bench.acks() == [(1, [])], "what is stored may still be acknowledged"
    assert bench.count("commit_failures_total", reason="LogFull") == 2
    assert bench.output.getvalue().count("event=commit-failed") == 1
    bench.hear(third.data)
    assert bench.acks() == [(3, [(2, 2)])]
    bench.hear(second.data)
    assert bench.acks() == [(3, [])]
    assert "event=commit-works-again" in bench.output.getvalue()


def test_notes_wait_while_the_disk_is_full(bench: Bench, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(entries: list[bytes], unknown: object = ()) -> int:
        raise LogFull("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(bench.log, "commit", full)
        for _ in range(writing.MAX_NOTES_WAITING + 50):
            bench.writer.link_changed("serial:x", False, "gone")
        bench.hear(world.nodes["node-a"].measure().data)
    bench.writer.step(0)
    assert bench.notes() == [entry.NOTE_LINK] * writing.MAX_NOTES_WAITING


def test_an_old_duplicate_is_looked_up_once(bench: Bench, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "RECENT_PER_NODE", 4)
    node = world.nodes["node-a"]
    made = [node.measure().data for _ in range(10)]
    bench.hear(*made)
    bench.acks()
    asked: list[bytes] = []
    look = bench.log.is_stored

    def is_stored(data: bytes) -> bool:
        asked.append(data)
        return look(data)

    monkeypatch.setattr(bench.log, "is_stored", is_stored)
    for _ in range(3):
        bench.hear(made[0], made[1])
    assert asked == made[:2]
    assert bench.acks() == [(10, [])] * 3
    assert (len(bench.log), bench.count("duplicate_total"), bench.count("fork_total")) == (10, 6, 0)


def test_a_link_that_does_not_take_an_ack(bench: Bench, world: Any) -> None:
    node = world.nodes["node-a"]
    bench.route.up = False
    first = node.measure()
    bench.hear(first.data)
    assert (bench.count("acked_total"), bench.count("unsent_total")) == (0, 1)
    bench.route.up = True
    bench.hear(first.data)
    assert bench.acks() == [(1, [])]


def test_unknown_then_enrolled(bench: Bench, world: Any, make_world: Callable[..., Any]) -> None:
    late = make_world("writer", nodes=("node-a", "node-b", "node-c"))
    node = late.nodes["node-c"]
    first = node.measure()
    bench.hear(first.data, first.data)
    assert (bench.acks("node-a"), bench.count("unknown_total"), bench.log.unknown_rows()) == ([], 2, {0})
    bench.log.confirm(1, 0, None, [late.statements[late.enrolments["node-c"]][0]], Head(None, 0, None))
    bench.writer.step(0)
    bench.hear(first.data)
    key = message.link_key(SITE_KEY, node.signer.thumbprint)
    (ack,) = bench.route.take("ack")
    assert message.open_ack(key, ack).high == 1
    assert (len(bench.log), bench.log.unknown_rows()) == (1, set())


def test_anchors_go_to_nodes_that_were_heard(bench: Bench, world: Any) -> None:
    node = world.nodes["node-a"]
    bench.writer.offer_anchor(Anchor(7, bytes(16)))
    bench.writer.step(0)
    assert bench.route.sent == []
    bench.hear(node.measure().data)
    key = message.link_key(SITE_KEY, node.signer.thumbprint)
    assert [message.open_anchor(key, payload) for payload in bench.route.take("anchor")] == [(7, bytes(16))]
    bench.writer.offer_anchor(Anchor(5, bytes(16)))
    bench.clock.ms += 200
    bench.writer.step(0)
    assert [message.open_anchor(key, payload)[0] for payload in bench.route.take("anchor")] == [7]


def test_what_was_refused_is_noted_as_a_sum(bench: Bench) -> None:
    bench.hear(*[b"junk"] * 5)
    assert bench.notes() == []
    bench.clock.ms += writing.REFUSED_NOTE_MS
    bench.writer.step(0)
    bench.writer.step(0)
    assert bench.notes() == [entry.NOTE_REFUSED]
    (row,) = [GatewayEntry.decode(data) for _, data in bench.log.rows()]
    assert dict(row.body[1].pairs) == {"malformed": 5}  # type: ignore[union-attr]


def test_a_change_of_the_clock_is_noted(bench: Bench) -> None:
    bench.clock.state = entry.CLOCK_UNSYNCED
    bench.writer.step(0)
    bench.writer.step(0)
    assert bench.notes() == [entry.NOTE_CLOCK]


def test_anchors_need_the_witnesses(world: Any, make_world: Callable[..., Any]) -> None:
    good, bare = world.ledger.published[-1][1], world.ledger.publish(lags_s=())
    half = world.ledger.publish(lags_s=(0,))
    assert anchors.from_note(good, world.trust).size == world.ledger.published[0][0]
    for note in (bare, half):
        with pytest.raises(PolicyError, match="not cosigned"):
            anchors.from_note(note, world.trust)
        assert anchors.from_stored(note, world.trust) is None
    foreign = make_world("elsewhere").ledger.published[-1][1]
    with pytest.raises(PolicyError):
        anchors.from_note(foreign, world.trust)
    assert anchors.from_stored(None, world.trust) is None
    assert anchors.from_stored(b"junk", world.trust) is None


@pytest.mark.parametrize(
    ("shown", "sent_ms", "due"),
    [(None, None, True), (6, None, True), (7, None, False), (8, None, False), (6, 900, True), (6, 901, False)],
)
def test_when_an_anchor_is_due(shown: int | None, sent_ms: int | None, due: bool) -> None:
    state = NodeState(shown_anchor=shown, anchor_sent_ms=sent_ms)
    assert anchors.is_due(Anchor(7, bytes(16)), state, 1000, 100) is due
    assert anchors.is_due(None, state, 1000, 100) is False


def test_a_broker_is_told_after_the_commit(bench: Bench, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not kept is not settled as durable, so the broker gives it again."""
    made = world.nodes["node-a"].measure()
    told: list[tuple[bool, int]] = []

    def deliver(payload: bytes) -> None:
        arrival = Arrival(payload, bench.route, made.kid, lambda durable: told.append((durable, len(readings(bench)))))
        bench.writer.arrivals.put(arrival)
        bench.writer.drain()

    with monkeypatch.context() as broken:
        broken.setattr(bench.log, "commit", full_disk)
        deliver(made.data)
    assert told == [(False, 0)]
    deliver(made.data)
    assert told == [(False, 0), (True, 1)]
    deliver(b"junk")  # it would come again for ever
    assert told[-1] == (True, 1)


def full_disk(entries: list[bytes], unknown: object = ()) -> int:
    raise LogFull("the disk is full")


def readings(bench: Bench) -> list[GatewayEntry]:
    rows = [GatewayEntry.decode(data) for _, data in bench.log.rows()]
    return [one for one in rows if one.kind == entry.READING]


def test_what_a_node_gave_up_is_not_waited_for(bench: Bench, world: Any) -> None:
    node = world.nodes["node-a"]
    made = [node.measure() for _ in range(6)]
    bench.hear(made[0].data, made[5].data)
    assert bench.acks() == [(6, [(2, 5)])]
    node.gap = (2, 4)
    declared = node.measure()
    bench.hear(declared.data)
    assert bench.acks() == [(7, [(5, 5)])]
    bench.hear(made[2].data, made[4].data)  # one of them comes all the same
    assert bench.acks() == [(7, [])]
    assert len(readings(bench)) == 5
    bench.hear(node.measure().data)
    assert bench.notes().count(entry.NOTE_GAP) == 1, "said once, however many readings repeat it"
    node.gap = (2, 8)
    bench.hear(node.measure().data)
    bench.writer.drain()
    assert bench.notes().count(entry.NOTE_GAP) == 2


def test_staff_ask_only_for_what_there_is(bench: Bench, world: Any) -> None:
    made = world.nodes["node-a"].measure()
    name = made.kid.hex()
    assert bench.writer.staff_asks("identify", name) == (False, f"node {name} was not heard since this gateway started")
    bench.hear(made.data)
    assert bench.writer.staff_asks("identify", name) == (True, f"node {name} was told to blink, by serial:test")
    assert bench.route.take("identify") == [message.build_identify()]
    assert bench.writer.staff_asks("explode", name)[0] is False
    assert bench.writer.staff_asks("identify", "no hex")[0] is False
    bench.route.up = False
    assert bench.writer.staff_asks("identify", name) == (False, f"node {name}: serial:test does not take it now")
