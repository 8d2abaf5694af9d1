"""One broker as a link: what nodes publish goes into the intake queue, and is acknowledged to the broker only when it
is durable here. So a gateway that dies in between gets it again.

The session outlives the connection (clean start false, a week), so a gateway that restarts finds what the broker took
meanwhile. The loop is our own, over paho's calls for that: one thread, and no failure that nobody sees.
"""

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt import MQTTException
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tallystick_edge.link import Arrival, Arrivals, hand_over
from tallystick_edge.link_config import MqttConfig
from tallystick_edge.metrics import Metrics
from tallystick_provisioning import secret_file
from tallystick_provisioning.errors import ProvisioningError
from tallystick_wire import broker
from tallystick_wire.frame import MAX_FRAME_PAYLOAD_BYTES

MAX_UNACKED = 256  # what the broker may send before the first of it is durable: more than one commit
MAX_UNSENT = 1024  # acknowledgements that a broker which stalls has not taken; nodes ask again
MAX_BROKER_PACKET_BYTES = 4096  # the largest payload, its topic, and room for properties
SESSION_S = 7 * 24 * 3600  # how long a broker keeps readings for a gateway that is away
KEEP_ALIVE_S = 15
CONNECT_TIMEOUT_S = 5.0
LOOP_S = 0.2  # how soon the link notices that it should stop
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0
# What paho lets through when a broker sends what is no MQTT.
_BROKEN_STREAM = (MQTTException, OSError, ValueError, IndexError, struct.error)

OnChange = Callable[[str, bool, str], None]


class MqttLink:
    """A broker that may come and go. `on_change(name, up, why)` is called from this link's thread."""

    def __init__(
        self, settings: MqttConfig, client_id: str, arrivals: Arrivals, metrics: Metrics, on_change: OnChange
    ) -> None:
        self.name = settings.name
        self._settings, self._client_id = settings, client_id
        self._arrivals, self._metrics, self._on_change = arrivals, metrics, on_change
        self._session: _Session | None = None
        self._thread: threading.Thread | None = None

    def start(self, stop: threading.Event) -> None:
        self._thread = threading.Thread(target=self._run, args=(stop,), name=self.name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def send(self, kid: bytes, payload: bytes) -> bool:
        """Publish to one node; False when the broker is away: nodes ask again."""
        session = self._session
        return session is not None and session.send(kid, payload)

    def _run(self, stop: threading.Event) -> None:
        wait_s, complained = RETRY_FIRST_S, False
        while not stop.is_set():
            session = _Session(self._settings, self._client_id, self._receive(stop))
            why, was_up = self._live(session, stop)
            if was_up:
                wait_s, complained = RETRY_FIRST_S, False
            if stop.is_set():
                return
            self._metrics.link_failures.labels(self.name).inc()
            if not complained:
                self._on_change(self.name, False, why)
            complained = True
            stop.wait(wait_s)
            wait_s = min(RETRY_MAX_S, wait_s * 2)

    def _live(self, session: "_Session", stop: threading.Event) -> tuple[str, bool]:
        """One connection from its beginning to its end: (why it ended, whether it was up)."""
        was_up = False
        try:
            session.open()
            while not stop.is_set() and session.turn():
                if session.is_up and not was_up:
                    was_up, self._session = True, session
                    self._metrics.link_up.labels(self.name).set(1)
                    self._on_change(self.name, True, "")
        except (*_BROKEN_STREAM, ProvisioningError) as error:
            session.why = session.why or f"{self._settings.host}: {_words(error)}"
        finally:
            self._session = None
            self._metrics.link_up.labels(self.name).set(0)
            session.close()
        return session.why or "the broker closed the connection", was_up

    def _receive(self, stop: threading.Event) -> Callable[["_Session", MQTTMessage], None]:
        """What to do with a PUBLISH. What cannot come from a node is settled at once: it would come again forever."""

        def take(session: _Session, published: MQTTMessage) -> None:
            settle = session.settling(published)
            kid = broker.kid_of(published.topic)
            wrong = "strange-topic" if kid is None else "oversize" if _is_too_long(published) else ""
            if wrong or kid is None:
                self._metrics.frames_damaged.labels(self.name, wrong).inc()
                settle(True)
                return
            self._metrics.link_received.labels(self.name).inc()
            arrival = Arrival(bytes(published.payload), _NodeRoute(self, kid), kid, settle)
            hand_over(self._arrivals, arrival, stop)

        return take


@dataclass(frozen=True, slots=True)
class _NodeRoute:
    """The way back to one node."""

    link: MqttLink
    kid: bytes

    @property
    def name(self) -> str:
        return self.link.name

    def send(self, payload: bytes) -> bool:
        return self.link.send(self.kid, payload)


class _Session:
    """One connection. open() and turn() belong to the link's thread; send() and what settles to the writer's."""

    def __init__(
        self, settings: MqttConfig, client_id: str, receive: Callable[["_Session", MQTTMessage], None]
    ) -> None:
        self.is_up = False
        self.why = ""
        self._settings, self._receive = settings, receive
        self._unsent = 0
        self._lost = False  # something that arrived could not be kept
        self._awaited, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5, manual_ack=True)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_disconnect = self._disconnected
        self._client.on_message = lambda _client, _data, published: self._receive(self, published)
        self._client.on_publish = self._published
        # paho then leaves writing to turn(), whoever it is that sends.
        self._client.on_socket_register_write = lambda *_: self._wake()

    def open(self) -> None:
        """Connect; OSError and others say why not."""
        settings, client = self._settings, self._client
        context = ssl.create_default_context(cafile=settings.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        client.tls_set_context(context)
        client.username_pw_set(settings.username, secret_file.read(settings.password_file).strip())
        asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        asked.SessionExpiryInterval = SESSION_S
        asked.ReceiveMaximum = MAX_UNACKED
        asked.MaximumPacketSize = MAX_BROKER_PACKET_BYTES
        client.connect(settings.host, settings.port, KEEP_ALIVE_S, clean_start=False, properties=asked)

    def turn(self) -> bool:
        """Wait a little, read and write what goes; False when the connection is over."""
        client = self._client
        connection: Any = client.socket()  # a socket, whatever paho's types say
        if connection is None or self._lost or self.why:
            return False
        waiting = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        writing = [connection] if client.want_write() else []
        readable, _, _ = select.select([connection, self._awaited], writing, [], 0 if waiting else LOOP_S)
        if self._awaited in readable:
            self._awaited.recv(MAX_UNSENT)
        if waiting or connection in readable:
            client.loop_read()
        if client.want_write():
            client.loop_write()
        client.loop_misc()
        return True

    def send(self, kid: bytes, payload: bytes) -> bool:
        if self._unsent >= MAX_UNSENT:
            return False
        self._unsent += 1
        return self._client.publish(broker.down_topic(kid), payload).rc == 0

    def settling(self, published: MQTTMessage) -> Callable[[bool], None]:
        """What the writer calls when this message is durable (or refused for good), or could not be kept."""

        def settle(durable: bool) -> None:
            if durable:
                self._client.ack(published.mid, published.qos)
            elif published.qos:
                self._lost = True  # the broker sends it again on the next connection, and only then
                self._wake()

        return settle

    def close(self) -> None:
        self._client.on_socket_register_write = None
        self._client.disconnect()
        for one in (self._client.socket(), self._awaited, self._waker):
            if one is not None:
                one.close()

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except OSError:
            return  # full: it wakes up anyway; or closed: this connection is over

    def _connected(self, client: Client, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
        if reason.is_failure:
            self.why = f"{self._settings.host} does not let this gateway in: {reason}"
            return
        client.subscribe(broker.ALL_NODES_UP, options=SubscribeOptions(qos=1, noLocal=True, retainHandling=2))

    def _subscribed(self, _client: Client, _data: object, _mid: int, reasons: list[ReasonCode], _more: object) -> None:
        if any(reason.is_failure for reason in reasons):
            self.why = f"{self._settings.host} does not let this gateway hear its nodes: {reasons[0]}"
            return
        self.is_up = True

    def _disconnected(self, _client: Client, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
        if reason.is_failure:
            self.why = self.why or f"{self._settings.host}: {reason}"

    def _published(self, *_: object) -> None:
        self._unsent -= 1


def _is_too_long(published: MQTTMessage) -> bool:
    return len(published.payload) > MAX_FRAME_PAYLOAD_BYTES


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    return str(getattr(error, "strerror", None) or error)
