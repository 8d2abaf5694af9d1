"""The gateway's link to a real broker, by itself: what comes again and what does not, and how much is on its way."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from broker_support import Broker, Intruder, as_node
from patience import PATIENCE_S, until

from tallystick_edge.link import Arrival, Arrivals
from tallystick_edge.metrics import Metrics
from tallystick_edge.mqtt_link import MAX_UNACKED, MqttLink
from tallystick_wire import broker as names

QUIET_S = 1.0  # how long "nothing comes" is watched


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("mqtt-link")


@pytest.fixture
def signer(world: Any) -> Any:
    return world.signers["node-a"]


@pytest.fixture
def other(world: Any) -> Any:
    return world.signers["node-b"]


@pytest.fixture
def broker(tmp_path: Path, signer: Any, other: Any) -> Iterator[Broker]:
    made = Broker(tmp_path / "broker")
    made.allow(signer.thumbprint, other.thumbprint)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def node(broker: Broker, signer: Any) -> Iterator[Intruder]:
    made = as_node(broker, signer)
    yield made
    made.close()


class Ear:
    """A link, and the queue that it fills."""

    def __init__(self, broker: Broker) -> None:
        self.arrivals: Arrivals = queue.Queue(4096)
        self.changes: list[tuple[bool, str]] = []
        self.metrics = Metrics()
        self.link = MqttLink(broker.link, "tallystick-test", self.arrivals, self.metrics, self._changed)
        self.stop = threading.Event()

    def _changed(self, name: str, up: bool, why: str) -> None:
        self.changes.append((up, why))

    def wait_up(self, times: int = 1) -> None:
        until(lambda: len([up for up, _ in self.changes if up]) >= times, lambda: str(self.changes))

    def next(self, timeout_s: float = PATIENCE_S) -> Arrival | None:
        try:
            return self.arrivals.get(timeout=timeout_s)
        except queue.Empty:
            return None


@contextmanager
def listening(broker: Broker) -> Iterator[Ear]:
    ear = Ear(broker)
    ear.link.start(ear.stop)
    try:
        ear.wait_up()
        yield ear
    finally:
        ear.stop.set()
        ear.link.join()


def settle(arrival: Arrival | None, durable: bool) -> None:
    assert arrival is not None
    assert arrival.settle is not None
    arrival.settle(durable)


def test_what_could_not_be_kept_comes_again(broker: Broker, node: Intruder, signer: Any) -> None:
    topic = names.up_topic(signer.kid)
    with listening(broker) as ear:
        for payload in (b"one", b"two"):
            node.publish(topic, payload)
        first, second = ear.next(), ear.next()
        settle(first, True)
        settle(second, False)
        ear.wait_up(times=2)
        again = ear.next()
        assert again is not None
        assert (again.payload, again.sender) == (b"two", signer.kid)
        settle(again, True)
        assert ear.next(QUIET_S) is None
    with listening(broker) as ear:
        assert ear.next(QUIET_S) is None, "what is settled does not come again"


def test_what_nobody_settled_comes_again_to_the_next_gateway(broker: Broker, node: Intruder, signer: Any) -> None:
    with listening(broker) as ear:
        node.publish(names.up_topic(signer.kid), b"one")
        assert ear.next() is not None
    node.publish(names.up_topic(signer.kid), b"two")  # while nobody is there
    with listening(broker) as ear:
        found = [ear.next(), ear.next()]
        assert [one.payload for one in found if one is not None] == [b"one", b"two"]
        for one in found:
            settle(one, True)


def test_a_broker_sends_no_more_than_was_asked_for(broker: Broker, node: Intruder, signer: Any) -> None:
    topic = names.up_topic(signer.kid)
    with listening(broker) as ear:
        for number in range(MAX_UNACKED + 20):
            node.publish(topic, b"%d" % number)
        waiting = [ear.next(), *iter(lambda: ear.next(QUIET_S), None)]
        assert len(waiting) <= MAX_UNACKED
        for arrival in waiting:
            settle(arrival, True)
        for _ in range(MAX_UNACKED + 20 - len(waiting)):
            settle(ear.next(), True)
        assert ear.next(QUIET_S) is None, "each came once"


def test_an_answer_reaches_its_node_and_no_other(broker: Broker, node: Intruder, signer: Any, other: Any) -> None:
    beside = as_node(broker, other)
    try:
        assert node.listen(names.down_topic(signer.kid)) == 0
        assert beside.listen(names.down_topic(other.kid)) == 0
        with listening(broker) as ear:
            assert ear.link.send(signer.kid, b"x")
            assert ear.link.send(other.kid, b"y")
            assert node.heard.get(timeout=PATIENCE_S) == b"x"
            assert beside.heard.get(timeout=PATIENCE_S) == b"y", "the other's came first, if it came at all"
        assert not ear.link.send(signer.kid, b"x"), "nobody is there any more"
    finally:
        beside.close()


def test_a_wrong_password_is_said(broker: Broker) -> None:
    broker.password_file.write_text("another\n", "ascii")
    ear = Ear(broker)
    ear.link.start(ear.stop)
    until(lambda: ear.changes, "it says nothing")
    ear.stop.set()
    ear.link.join()
    assert ear.changes == [(False, "localhost does not let this gateway in: Not authorized")]
