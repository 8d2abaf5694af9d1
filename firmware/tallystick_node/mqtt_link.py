"""The link over an MQTT broker: one payload per PUBLISH, one write per packet, TLS and nothing else.

The gateway's own acknowledgement is the real one. The broker's PUBACK says only that it took the packet, and frees a
place in the window; what comes to nothing behind it is sent again like everything that is not acknowledged.
"""

import select

from tallystick_node import mqtt_packet, tls_socket
from tallystick_node.errors import LinkError
from tallystick_node.tls_socket import TlsSocket
from tallystick_wire import broker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from tallystick_node.mqtt_packet import Packet

    class Radio(Protocol):
        """What carries the connection, when it can be switched off."""

        def power(self, on: bool) -> None: ...
        def is_up(self) -> bool: ...


DEFAULT_PORT = 8883
MAX_WINDOW = 16  # packets without PUBACK, and as many readings as the node sends before an acknowledgement
FIRST_PAUSE_MS = 1000
LONGEST_PAUSE_MS = 60_000  # a broker that comes back is found within a minute
LOOK_UP_EVERY = 4  # attempts: a look-up waits, and a name server that is gone could keep the watchdog hungry
KEEP_ALIVE_S = 60
ANSWER_WITHIN_MS = 20_000  # a handshake on the slowest board, or a broker that is gone
EXPIRY_S = 60  # what no gateway took by then the node has sent again: the broker must not fill up with copies
_MAX_NUMBER = 0xFFFF
_CONNECT, _PING = -1, -2  # what waits for an answer beside the numbers of packets


class MqttLink:
    """board.Link. Without log_in it does nothing. receive() is what takes a connection further: call it every turn.

    `note` gets one line when the connection comes, and when it fails in another way than before. `others` are streams
    that end a wait() too: a board's cable.
    """

    resend_after_ms = 10_000  # the broker holds what it took; a gateway that restarts needs some seconds
    losses = 0

    def __init__(
        self,
        host: str,
        port: int,
        ca_path: str,
        now_ms: "Callable[[], int]",
        note: "Callable[[str], None]",
        radio: "Radio | None" = None,
        others: "list[Any] | None" = None,
    ) -> None:
        self._host, self._port, self._ca_path = host, port, ca_path
        self._now_ms, self._note, self._radio = now_ms, note, radio
        self._others = others or []
        self._kid = b""
        self._password = ""
        self._is_on = True
        self._counts: "dict[str, int]" = {}
        self._said = ""
        self._attempt = 0
        self._addresses: "list[Any]" = []
        self._address: "Any" = None
        self._pause_ms = FIRST_PAUSE_MS
        self._next_try_ms = 0
        self._connection: "TlsSocket | None" = None
        self._largest: int = mqtt_packet.MAX_PACKET_BYTES
        self._quiet_until_ms: int = 0
        self._forget_connection()

    def log_in(self, kid: bytes, link_key: bytes) -> None:
        """Who this node is, from its enrolment on."""
        self._forget_connection()
        self._kid, self._password = kid, broker.password(link_key)
        self._next_try_ms = 0

    def receive(self) -> "list[bytes]":
        """The payloads that have arrived; and one step further with the connection."""
        heard: "list[bytes]" = []
        try:
            if self._connection is None:
                self._open()
            else:
                self._step(self._connection, heard)
        except LinkError as error:
            self._drop(error)
        return heard

    def send(self, payload: bytes) -> bool:
        """True when a packet with all of it is on its way to the broker."""
        connection = self._connection
        if connection is None or not self._is_up or connection.is_busy() or self._window_left() <= 0:
            return False
        if self._now_ms() < self._quiet_until_ms:
            return False
        number = self._next_number()
        packet = mqtt_packet.publish(number, broker.up_topic(self._kid), payload, EXPIRY_S)
        if len(packet) > self._largest:
            self._count("mqtt_oversize")
            return False
        try:
            self._write(connection, packet, number)
        except LinkError as error:
            self._drop(error)
            return False
        return True

    def wait(self, wait_ms: int) -> None:
        """Until something arrives, at most `wait_ms`."""
        if self._connection is not None:
            self._connection.wait(wait_ms, self._others)
            return
        if self._wants_up():
            wait_ms = min(wait_ms, max(0, self._next_try_ms - self._now_ms()))
        poll = select.poll()
        for other in self._others:
            poll.register(other, select.POLLIN)
        poll.poll(wait_ms)

    def counts(self) -> "dict[str, int]":
        """mqtt_dns, mqtt_tcp, mqtt_ca, mqtt_tls, mqtt_login, mqtt_lost, mqtt_malformed: connections that failed, by
        how; mqtt_refused, mqtt_nobody, mqtt_oversize, mqtt_foreign: single packets."""
        return dict(self._counts)

    def power(self, on: bool) -> None:
        """Connect, now; or say goodbye and switch the radio off."""
        if on == self._is_on:
            return
        self._is_on = on
        self._next_try_ms = 0
        if not on and self._connection is not None:
            self._say_goodbye(self._connection)
        if self._radio is not None:
            self._radio.power(on)

    def is_up(self) -> bool:
        return self._is_up

    # -- a connection comes, lives and goes

    def _wants_up(self) -> bool:
        return self._is_on and bool(self._kid) and (self._radio is None or self._radio.is_up())

    def _open(self) -> None:
        if not self._wants_up() or self._now_ms() < self._next_try_ms:
            return
        attempt = self._attempt
        self._attempt += 1
        if not self._addresses or attempt % LOOK_UP_EVERY == 0:
            self._addresses = tls_socket.look_up(self._host, self._port)  # when it fails the old ones stay
        self._address = self._addresses[attempt % len(self._addresses)]
        self._connection = TlsSocket(self._host, self._address, self._ca_path)
        name = broker.user(self._kid)
        self._write(self._connection, mqtt_packet.connect(name, name, self._password, KEEP_ALIVE_S), _CONNECT)

    def _step(self, connection: TlsSocket, heard: "list[bytes]") -> None:
        connection.step()
        for packet in self._parser.feed(connection.read()):
            self._take(connection, packet, heard)
        now_ms = self._now_ms()
        if self._unanswered and now_ms - min(self._unanswered.values()) > ANSWER_WITHIN_MS:
            raise LinkError("mqtt_lost", "%s does not answer" % self._host)
        if self._is_up and now_ms - self._sent_ms >= self._ping_after_ms and not connection.is_busy():
            self._write(connection, mqtt_packet.PING, _PING)

    def _take(self, connection: TlsSocket, packet: "Packet", heard: "list[bytes]") -> None:
        if packet.kind == mqtt_packet.CONNACK:
            self._answered(_CONNECT)
            self._logged_in(connection, packet)
        elif packet.kind == (mqtt_packet.PUBACK if self._is_up else mqtt_packet.SUBACK):
            self._answered(packet.number)
            if self._is_up:
                self._published(packet)
            else:
                self._subscribed(packet)
        elif packet.kind == mqtt_packet.PINGRESP:
            self._answered(_PING)
        elif packet.kind == mqtt_packet.DISCONNECT:
            raise LinkError("mqtt_lost", "%s says goodbye, reason %d" % (self._host, packet.reason))
        elif packet.kind != mqtt_packet.PUBLISH:
            raise LinkError(mqtt_packet.MALFORMED, "%s answers what was never sent" % self._host)
        elif packet.topic == broker.down_topic(self._kid).encode():
            heard.append(packet.payload)
        else:
            self._count("mqtt_foreign")

    def _logged_in(self, connection: TlsSocket, packet: "Packet") -> None:
        """CONNACK: who we are is believed, and the broker names its limits."""
        if packet.reason:
            raise LinkError("mqtt_login", "%s does not let this node in, reason %d" % (self._host, packet.reason))
        limits = packet.properties
        if limits.get(mqtt_packet.MAXIMUM_QOS, 1) < 1:
            raise LinkError("mqtt_login", "%s takes no QoS 1" % self._host)
        self._window = min(MAX_WINDOW, limits.get(mqtt_packet.RECEIVE_MAXIMUM, MAX_WINDOW))
        self._largest = min(self._largest, limits.get(mqtt_packet.MAXIMUM_PACKET, self._largest))
        self._ping_after_ms = limits.get(mqtt_packet.SERVER_KEEP_ALIVE, KEEP_ALIVE_S) * 1000 // 2
        number = self._next_number()
        self._write(connection, mqtt_packet.subscribe(number, broker.down_topic(self._kid)), number)

    def _subscribed(self, packet: "Packet") -> None:
        if packet.reason >= mqtt_packet.LOWEST_REFUSAL:
            text = "%s does not let this node hear its topic, reason %d" % (self._host, packet.reason)
            raise LinkError("mqtt_login", text)
        self._is_up = True
        self._addresses, self._attempt = [self._address], 1  # the right one: no look-up at the next loss
        self.losses += 1  # what was on its way when the last connection ended
        self._up_since_ms = self._now_ms()
        self._say("%s: connected" % self._host)

    def _published(self, packet: "Packet") -> None:
        if packet.reason >= mqtt_packet.LOWEST_REFUSAL:
            self._count("mqtt_refused")
            self._say("%s refuses what this node says, reason %d" % (self._host, packet.reason))
        elif packet.reason == mqtt_packet.NOBODY_LISTENS:
            self._count("mqtt_nobody")
            self._wait_for_a_gateway()
        else:
            self._quiet_ms = FIRST_PAUSE_MS

    def _wait_for_a_gateway(self) -> None:
        """The broker keeps nothing for nobody: ask again later, with the oldest first."""
        now_ms = self._now_ms()
        if now_ms >= self._quiet_until_ms:
            self.losses += 1
            self._quiet_until_ms = now_ms + self._quiet_ms
            self._quiet_ms = min(LONGEST_PAUSE_MS, 2 * self._quiet_ms)

    def _drop(self, error: LinkError) -> None:
        self._count(error.count)
        self._say(str(error))
        now_ms = self._now_ms()
        if self._is_up and now_ms - self._up_since_ms >= LONGEST_PAUSE_MS:
            self._pause_ms = FIRST_PAUSE_MS
        # Nodes of one room do not all come back in the same instant.
        self._next_try_ms = now_ms + self._pause_ms + self._pause_ms * self._kid[-1] // 512
        self._pause_ms = min(LONGEST_PAUSE_MS, 2 * self._pause_ms)
        self._forget_connection()

    def _say_goodbye(self, connection: TlsSocket) -> None:
        try:
            if not connection.is_busy():
                connection.write(mqtt_packet.GOODBYE)
        except LinkError:
            pass  # nobody is there to hear it
        self._forget_connection()

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._parser = mqtt_packet.Parser()
        self._is_up = False
        self._up_since_ms = 0
        self._unanswered: "dict[int, int]" = {}  # number, _CONNECT or _PING -> when it was sent
        self._window = MAX_WINDOW
        self._largest = mqtt_packet.MAX_PACKET_BYTES
        self._ping_after_ms = KEEP_ALIVE_S * 1000 // 2
        self._sent_ms = 0
        self._number = 0
        self._quiet_ms = FIRST_PAUSE_MS
        self._quiet_until_ms = 0

    # -- one packet

    def _write(self, connection: TlsSocket, packet: bytes, number: int) -> None:
        """One write for a whole packet: head and payload apart would wait for each other (Nagle, delayed ACK)."""
        self._sent_ms = self._unanswered[number] = self._now_ms()
        connection.write(packet)

    def _answered(self, number: int) -> None:
        if number not in self._unanswered:
            raise LinkError(mqtt_packet.MALFORMED, "%s answers what was never sent" % self._host)
        del self._unanswered[number]

    def _window_left(self) -> int:
        return self._window - len(self._unanswered)

    def _next_number(self) -> int:
        while True:
            self._number = self._number % _MAX_NUMBER + 1
            if self._number not in self._unanswered:
                return self._number

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._note("mqtt: " + text)


def address(text: str) -> "tuple[str, int]":
    """(host, port) of "host" or "host:port"."""
    host, _, port = text.rpartition(":")
    if not host:
        return text, DEFAULT_PORT
    return host, int(port)
