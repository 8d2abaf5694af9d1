"""The ledger's doors against hostile bytes, and its verdicts against a model of twenty lines over random histories."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_support import LiveLedger, TestGateway, fsck_findings

from tallystick_ledger.admit import admit
from tallystick_ledger.errors import Refusal
from tallystick_ledger.facts import START, Fact, facts
from tallystick_ledger.segment import unpack
from tallystick_ledger.sequencer import sequence
from tallystick_ledger.sync_door import authorize, decode_body, receive
from tallystick_ledger.witness_client import request_body
from tallystick_proof import statement
from tallystick_tools.witness import consider, parse
from tallystick_wire import reading, senml

GATEWAYS = ("gateway", "gateway-2")
NODES = ("node-a", "node-b")
READINGS = 4  # sequence numbers of each node: few, so that they collide


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    found = LiveLedger(tmp_path_factory.mktemp("fuzz"), make_world("fuzz"))
    found.enrol(*GATEWAYS, "node-a", "installer")
    found.settle()
    found.world.nodes["node-a"].measure(450, 10)
    yield found
    assert fsck_findings(found) == []
    found.close()


@st.composite
def mutations(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with some bytes changed, cut out or put in."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(("flip", "cut", "insert"))):
            case "flip" if data:
                data[at] ^= draw(st.integers(1, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_doors_answer_hostile_bytes_with_refusals(live: LiveLedger, data: st.DataObject) -> None:
    world = live.world
    gateway = TestGateway(world)
    gateway.take(world.nodes["node-a"].made[1].data)
    body = gateway.request().encode()
    good = {
        "statement": world.statements[world.enrolments["lender"]][0],
        "plain": body,
        "zstd": zstandard.compress(body),
    }
    door = data.draw(st.sampled_from(sorted(good)))
    hostile = data.draw(st.one_of(mutations(good[door]), st.binary(max_size=200)))
    with contextlib.suppress(Refusal):
        if door == "statement":
            admit(live.ledger, hostile)
        else:
            key = authorize(live.ledger, gateway.signer.thumbprint.hex(), f"Bearer {gateway.bearer}")
            receive(live.ledger, key, decode_body(hostile, "zstd" if door == "zstd" else None), 0)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_hostile_entries_are_admitted_and_judged(live: LiveLedger, data: st.DataObject) -> None:
    """Whatever an entry holds, the batch goes through."""
    gateway = TestGateway(live.world, "gateway-2", epoch=data.draw(st.integers(1, 1 << 31)))
    made: bytes = live.world.nodes["node-a"].made[1].data
    gateway.take(made, data.draw(mutations(made)))
    gateway.take_raw(data.draw(mutations(gateway.entries[0])) or b"x", data.draw(st.binary(min_size=1, max_size=100)))
    with contextlib.suppress(Refusal):  # an epoch that is closed by now
        gateway.sync(live.ledger)
    sequence(live.ledger)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_witness_answers_anything(live: LiveLedger, data: st.DataObject) -> None:
    with live.ledger.db.read() as tx:
        ((signed,),) = tx.execute("SELECT note FROM publication ORDER BY id LIMIT 1")
    good = request_body(0, [], signed)
    assert parse(good).old_size == 0
    hostile = data.draw(st.one_of(mutations(good), st.binary(max_size=300)))
    logs = {live.world.origin: list(live.world.trust.policy.logs)}
    assert consider({}, logs, hostile).status in (200, 400, 403, 404, 409, 422)


# --- histories

ITEMS = st.tuples(
    st.sampled_from(("good", "clone", "bad", "junk")), st.sampled_from(NODES), st.integers(1, READINGS)
)
EVENTS = st.one_of(
    st.tuples(st.just("batch"), st.sampled_from(GATEWAYS), st.lists(ITEMS, min_size=1, max_size=5)),
    st.tuples(st.just("enrol"), st.sampled_from(NODES)),
    st.tuples(st.just("revoke"), st.sampled_from((*NODES, "gateway-2"))),
    st.tuples(st.just("sequence")),
)


class Bodies:
    """The readings that a history is made of, each made once."""

    def __init__(self, world: Any) -> None:
        self.made: dict[str, list[bytes]] = {
            name: [world.nodes[name].measure(450, 10).data for _ in range(READINGS)] for name in NODES
        }
        self.world = world

    def of(self, what: str, name: str, seq: int) -> bytes:
        good = self.made[name][seq - 1]
        if what == "good":
            return good
        if what == "bad":
            return good[:-1] + bytes([good[-1] ^ 1])
        if what == "junk":
            return good[:-1]
        signer = self.world.signers[name]
        pack = senml.encode_pack(
            senml.base_name(self.world.trust.pen, signer.kid), [senml.Record("t", "Cel", senml.Decimal(-2, 1))]
        )
        return statement.build_reading(signer, reading.parse(good).chain, pack)


def expected(history: list[tuple[Any, ...]]) -> list[str]:
    """Verdicts in log order, as the documentation says them. `history` holds only what went into the log."""
    order = [event for event in history if event[0] != "sequence"]
    enrolled = {event[1] for event in order if event[0] == "enrol"}
    verdicts = []
    first: dict[tuple[str, int], str] = {}
    revoked: set[str] = set()
    for event in order:
        if event[0] == "revoke":
            revoked.add(event[1])
        if event[0] != "batch":
            continue
        for what, name, seq in event[2]:
            if what == "junk":
                verdicts.append("malformed")
            elif name not in enrolled:
                verdicts.append("unknown key")
            elif what == "bad":
                verdicts.append("bad signature")
            elif {name, event[1]} & revoked:
                verdicts.append("revoked")
            elif (name, seq) in first:
                verdicts.append("duplicate" if first[name, seq] == what else "fork")
            else:
                first[name, seq] = what
                verdicts.append("valid")
    return verdicts


def stored(live: LiveLedger) -> list[str]:
    with live.ledger.db.read() as tx:
        rows = tx.execute("SELECT batch, rows FROM segment")
    placed = [(batch, item.offset, item.verdict) for batch, packed in rows for item in unpack(packed)]
    return [verdict for _, _, verdict in sorted(placed)]


def play(live: LiveLedger, bodies: Bodies, events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Do what the history says; what of it went into the log."""
    world = live.world
    gateways = {name: TestGateway(world, name) for name in GATEWAYS}
    done: list[tuple[Any, ...]] = []
    for event in events:
        try:
            match event:
                case ("batch", name, items):
                    gateways[name].take(*(bodies.of(*item) for item in items))
                    gateways[name].sync(live.ledger)
                case ("enrol", name) if event in done:
                    continue
                case ("enrol", name):
                    live.enrol(name)
                case ("revoke", name):
                    live.admit(world.statements[world.revoke(name)][0])
                case _:
                    sequence(live.ledger)
            done.append(event)
        except Refusal:
            continue  # of an unknown or revoked key: no part of the log
    return done


@given(st.lists(EVENTS, min_size=1, max_size=14))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_verdicts_are_those_of_the_model(make_world: Callable[..., Any], events: list[tuple[Any, ...]]) -> None:
    world = make_world("model")
    folder = Path(tempfile.mkdtemp())
    live = LiveLedger(folder, world)
    try:
        live.enrol(*GATEWAYS)
        done = play(live, Bodies(world), events)
        live.settle()
        assert stored(live) == expected(done)
        assert fsck_findings(live) == []
        whole = facts(live.ledger, START, 10_000)
        for limit in (1, 3):
            assert paged(live, limit) == whole
        assert sum(fact.verdict == "valid" for fact in whole) == expected(done).count("valid")
    finally:
        live.close()
        shutil.rmtree(folder)


def paged(live: LiveLedger, limit: int) -> list[Fact]:
    found: list[Fact] = []
    while page := facts(live.ledger, found[-1].place if found else START, limit):
        found += page
    return found
