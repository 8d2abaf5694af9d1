"""The verdict on a payload, and what the gateway learns from stored readings. No I/O."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick_edge import intake
from tallystick_edge import known as knowing
from tallystick_edge.buckets import Buckets
from tallystick_edge.intake import Verdict
from tallystick_edge.known import Known
from tallystick_proof import statement
from tallystick_wire import message, reading, senml
from tallystick_wire.reading import Chain, Reading


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("intake")


@pytest.fixture
def known(world: Any) -> Known:
    """What a gateway knows that node-a was enrolled with."""
    made = Known(world.trust)
    assert made.add_statement(world.statements[world.enrolments["node-a"]][0], None) is None
    return made


def judge(known: Known, payload: bytes, stored: bool = False) -> Verdict:
    return intake.judge(known, payload, lambda _: stored, lambda _: True)


def learn(known: Known, *readings: Reading) -> None:
    for one in readings:
        known.learn(one, None)


def measured(world: Any, name: str, count: int) -> list[Reading]:
    return [world.nodes[name].measure() for _ in range(count)]


def test_new(known: Known, world: Any) -> None:
    made = world.nodes["node-a"].measure()
    verdict = judge(known, made.data)
    assert (verdict.reason, verdict.store, verdict.ack) == (intake.NEW, made.data, made.kid)
    assert known.states[made.kid].seen.ack() == (0, []), "a verdict changes nothing"


def test_duplicate(known: Known, world: Any) -> None:
    made = world.nodes["node-a"].measure()
    learn(known, made)
    verdict = judge(known, made.data)
    assert (verdict.reason, verdict.store, verdict.ack) == (intake.DUPLICATE, None, made.kid)


def test_duplicate_in_one_commit(known: Known, world: Any) -> None:
    made = world.nodes["node-a"].measure()
    known.add_pending(made.kid, made.chain.seq, made.identity)
    assert judge(known, made.data).reason == intake.DUPLICATE


def test_fork(known: Known, world: Any, make_world: Callable[..., Any]) -> None:
    honest, forked = world.nodes["node-a"].measure(450), make_world("intake").nodes["node-a"].measure(900)
    learn(known, honest)
    verdict = judge(known, forked.data)
    assert (verdict.reason, verdict.store, verdict.ack) == (intake.FORK, forked.data, forked.kid)
    learn(known, forked)
    assert known.state(honest.kid).forks == 1
    assert {judge(known, one.data).reason for one in (honest, forked)} == {intake.DUPLICATE}


def test_forks_are_bounded(known: Known, world: Any, make_world: Callable[..., Any]) -> None:
    learn(known, world.nodes["node-a"].measure(450))
    known.state(world.signers["node-a"].kid).forks = knowing.MAX_FORKS_PER_NODE
    verdict = judge(known, make_world("intake").nodes["node-a"].measure(900).data)
    assert (verdict.reason, verdict.store, verdict.ack) == (intake.FORKS_FULL, None, None)


def test_older_than_memory(known: Known, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "RECENT_PER_NODE", 4)
    made = measured(world, "node-a", 10)
    learn(known, *made)
    assert len(known.state(made[0].kid).recent) == 4
    assert judge(known, made[0].data, stored=True).reason == intake.STORED_LONG_AGO
    assert judge(known, made[0].data, stored=False).reason == intake.FORK
    assert judge(known, made[9].data, stored=False).reason == intake.DUPLICATE


def test_what_the_node_gave_up_may_still_come(known: Known, world: Any) -> None:
    node = world.nodes["node-a"]
    made = measured(world, "node-a", 5)
    node.restart(lost=3)
    after = node.measure()
    learn(known, made[0], made[1], after)
    assert known.state(after.kid).seen.ack() == (after.chain.seq, [])
    assert judge(known, made[3].data).reason == intake.NEW


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\xd2\x84", b"\xd2" * 50, b"\x80", b"\x81\x65hallo"])
def test_malformed(known: Known, payload: bytes) -> None:
    assert judge(known, payload) == Verdict(intake.MALFORMED)


def test_other_messages(known: Known) -> None:
    for payload in (message.build_hello(), message.build_linked(bytes(8)), message.build_refused("no")):
        assert judge(known, payload) == Verdict(intake.OTHER_MESSAGE)


def test_bad_signature(known: Known, world: Any) -> None:
    made = world.nodes["node-a"].measure()
    for at in (-64, -1, 60):
        damaged = bytearray(made.data)
        damaged[at] ^= 1
        verdict = judge(known, bytes(damaged))
        assert verdict.reason in (intake.BAD_SIGNATURE, intake.MALFORMED)
        assert (verdict.store, verdict.ack) == (None, None)


def test_a_signature_of_another_reading_at_a_used_number_is_refused(known: Known, world: Any) -> None:
    first, second = measured(world, "node-a", 2)
    learn(known, first, second)
    assert judge(known, second.data[:-64] + first.data[-64:]).reason == intake.BAD_SIGNATURE


def test_wrong_name(known: Known, world: Any) -> None:
    signer = world.signers["node-a"]
    payload = senml.encode_pack(senml.base_name(world.trust.pen + 1, signer.kid), [senml.Record("d", None, True)])
    chain = Chain(1, 1, 0, reading.genesis(world.origin, signer.public_key), None)
    assert judge(known, statement.build_reading(signer, chain, payload)).reason == intake.WRONG_NAME


def test_a_gateways_key_signs_no_readings(world: Any) -> None:
    known = Known(world.trust)
    for identity in world.enrolments.values():
        known.add_statement(world.statements[identity][0], None)
    assert known.node(world.signers["gateway"].kid) is None
    assert known.node(world.signers["node-a"].kid) is not None


def test_revoked(known: Known, world: Any) -> None:
    made = measured(world, "node-a", 2)
    learn(known, made[0])
    assert known.add_statement(world.statements[world.revoke("node-a")][0], None) is None
    assert [judge(known, one.data).reason for one in made] == [intake.REVOKED, intake.REVOKED]


def test_a_strangers_statement_has_no_effect(known: Known, make_world: Callable[..., Any]) -> None:
    other = make_world("elsewhere")
    for data in (other.statements[other.enrolments["node-a"]][0], other.statements[other.revoke("node-a")][0], b"junk"):
        assert known.add_statement(data, None)
    assert (known.statements, known.bad_statements) == (4, 3), "the cursor moves all the same"
    assert known.node(other.signers["node-a"].kid) is None


def test_unknown(known: Known, world: Any) -> None:
    made = world.nodes["node-b"].measure()
    verdict = judge(known, made.data)
    assert (verdict.reason, verdict.store, verdict.ack) == (intake.UNKNOWN, made.data, None)
    known.add_pending(made.kid, made.chain.seq, made.identity)
    assert judge(known, made.data).reason == intake.UNKNOWN_AGAIN
    known.pending.clear()
    known.learn_unknown(made.kid, made.identity, 7)
    verdict = judge(known, made.data)
    assert (verdict.reason, verdict.store, verdict.ack) == (intake.UNKNOWN_AGAIN, None, None)


def test_enrolled_since(known: Known, world: Any) -> None:
    first, second = measured(world, "node-b", 2)
    forged = second.data[:-64] + first.data[-64:]
    known.learn_unknown(first.kid, first.identity, 7)
    known.learn_unknown(first.kid, reading.parse(forged).identity, 8)
    known.add_statement(world.statements[world.enrolments["node-b"]][0], None)
    verdict = judge(known, first.data)
    assert (verdict.reason, verdict.store, verdict.ack) == (intake.ENROLLED_SINCE, None, first.kid)
    assert judge(known, forged).reason == intake.BAD_SIGNATURE
    assert known.take_unknown(first.kid, first.identity) == 7
    assert known.take_unknown(first.kid, first.identity) is None


def test_unknown_readings_are_bounded(known: Known, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "MAX_UNKNOWN_PER_KID", 3)
    monkeypatch.setattr(knowing, "MAX_UNKNOWN_KIDS", 2)
    first, second, third, fourth = measured(world, "node-b", 4)
    known.learn_unknown(first.kid, first.identity, 1)
    known.learn_unknown(first.kid, second.identity, 2)
    known.add_pending(third.kid, third.chain.seq, third.identity)
    assert judge(known, fourth.data).reason == intake.UNKNOWN_FULL
    assert judge(known, first.data).reason == intake.UNKNOWN_AGAIN
    known.pending.clear()
    assert judge(known, fourth.data).reason == intake.UNKNOWN
    known.learn_unknown(b"other---", bytes(32), 3)
    assert known.unknown_is_full(b"a third-")
    assert not known.unknown_is_full(first.kid)


def test_rates(known: Known, world: Any) -> None:
    made = {name: world.nodes[name].measure() for name in ("node-a", "node-b")}
    asked: list[bytes] = []

    def may_spend(key: bytes) -> bool:
        asked.append(key)
        return False

    for name in made:
        verdict = intake.judge(known, made[name].data, lambda _: False, may_spend)
        assert (verdict.reason, verdict.store, verdict.ack) == (intake.RATE_LIMITED, None, None)
    assert asked == [made["node-a"].kid, b""], "all strangers share one bucket"


def test_buckets() -> None:
    buckets = Buckets(rate_per_s=2.0, burst=3.0)
    assert [buckets.take(b"a", 10.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.take(b"b", 10.0)
    assert [buckets.take(b"a", 11.0) for _ in range(3)] == [True, True, False]
    assert not buckets.take(b"a", 5.0), "time that falls gives nothing"
    assert [buckets.take(b"a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_boot_forgets_the_anchor(known: Known, world: Any) -> None:
    node = world.nodes["node-a"]
    note = world.ledger.published[-1][1]
    node.measure()
    node.hold(note)
    shown = node.measure()
    learn(known, shown)
    state = known.state(node.signer.kid)
    assert state.shown_anchor == world.ledger.published[-1][0]
    state.anchor_sent_ms = 5
    node.restart()
    learn(known, node.measure())
    forgotten: list[int | None] = [state.shown_anchor, state.anchor_sent_ms]
    assert (state.boot, forgotten) == (2, [None, None])
    learn(known, world.nodes["node-a"].made[1])
    assert state.boot == 2


def test_every_reason_is_counted_once() -> None:
    reasons = {value for name, value in vars(intake).items() if name.isupper() and isinstance(value, str)}
    assert reasons >= intake.STORES | intake.ACKNOWLEDGES | intake.REFUSALS
    assert not intake.REFUSALS & (intake.STORES | intake.ACKNOWLEDGES)
    assert intake.UNKNOWN not in intake.ACKNOWLEDGES


def test_a_foreign_topic(known: Known, world: Any) -> None:
    made, other = world.nodes["node-a"].measure(), world.nodes["node-b"].measure()

    def reason(payload: bytes, sender: bytes | None) -> str:
        return intake.judge(known, payload, lambda _: False, lambda _: True, sender).reason

    assert reason(made.data, made.kid) == intake.NEW
    assert reason(made.data, None) == intake.NEW
    verdict = intake.judge(known, made.data, lambda _: False, lambda _: True, other.kid)
    assert (verdict.reason, verdict.store, verdict.ack) == (intake.FOREIGN_TOPIC, None, None)
    assert reason(other.data, made.kid) == intake.FOREIGN_TOPIC, "of an unknown kid too"
    assert reason(b"junk", made.kid) == intake.MALFORMED
