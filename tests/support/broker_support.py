"""A real Mosquitto with TLS on a free loopback port, its files made by the product's own command."""

import os
import queue
import re
import signal
import socket
import subprocess
from pathlib import Path

from free_port import free_port
from gateway_support import SITE_KEY
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from patience import PATIENCE_S, until

from tallystick_edge import broker_files
from tallystick_edge.broker_files import BrokerPlan
from tallystick_edge.link_config import MqttConfig
from tallystick_proof import keys
from tallystick_wire import broker as names
from tallystick_wire import message

HOST = "localhost"
GATEWAY_USER = "gateway"


class Broker:
    """`allow` says who may log in; start and stop at will. With `port`, what lies in `folder` is for that port."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._nodes: set[bytes] = set()
        if port is None:
            self.allow()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / broker_files.AUTHORITY

    @property
    def password_file(self) -> Path:
        return self.folder / broker_files.GATEWAY_PASSWORD

    @property
    def link(self) -> MqttConfig:
        """What a gateway's configuration says."""
        return MqttConfig(HOST, self.ca, GATEWAY_USER, self.password_file, self.port)

    def settings(self) -> dict[str, str]:
        """What a node's environment says."""
        return {"TALLYSTICK_MQTT": self.address, "TALLYSTICK_MQTT_CA": str(self.ca)}

    def allow(self, *thumbprints: bytes) -> None:
        """Let these nodes in too; a broker that runs learns it at once."""
        self._nodes |= set(thumbprints)
        plan = BrokerPlan(self.folder, [HOST], self.port, "127.0.0.1", GATEWAY_USER, SITE_KEY, self._nodes)
        broker_files.write(plan)
        self.reload()

    def reload(self) -> None:
        """Read users and access list again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        config = self.folder / "as-run.conf"
        text = (self.folder / broker_files.CONFIG).read_text("utf-8")
        # Started as root Mosquitto would become another user, who cannot read a test's folder.
        config.write_text(text + ("user root\n" if os.geteuid() == 0 else ""), "utf-8")
        command = ["mosquitto", "-v", "-c", str(config)]
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._listens, lambda: f"no broker: {self.log()[-1000:]}")

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """In good order: what is queued is kept."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def log(self) -> str:
        path = self.folder / "broker.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def forget_log(self) -> None:
        """Before the next start: packets() counts anew."""
        (self.folder / "broker.log").unlink()

    def packets(self, kid: bytes) -> int:
        """How many packets came from a node. (A CONNECT has a line of its own form.)"""
        log, client = self.log(), names.user(kid)
        return log.count(f" as {client} (") + len(re.findall(rf"Received [A-Z]+ from {client}\b", log))


class Intruder:
    """A plain client of the broker that logs in as anybody whose password the test knows. It never sends again.

    `heard` is what it got on the topics it listens to.
    """

    def __init__(self, broker: Broker, user: str, password: str) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, f"intruder-{user}", protocol=MQTTv5)
        self._client.username_pw_set(user, password)
        self._client.tls_set(str(broker.ca))
        self._reasons: dict[int, int] = {}
        self.heard: queue.Queue[bytes] = queue.Queue()
        self._client.on_publish = self._published
        self._client.on_subscribe = self._subscribed
        self._client.on_message = lambda _client, _data, published: self.heard.put(bytes(published.payload))
        self._client.connect(HOST, broker.port)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes) -> int:
        """The broker's reason code: 0 and 16 (nobody listens) are good."""
        number = self._client.publish(topic, payload, qos=1).mid
        assert number is not None
        return self._answer(number)

    def listen(self, topic: str) -> int:
        """The broker's reason code: 0 is good."""
        number = self._client.subscribe(topic)[1]
        assert number is not None
        return self._answer(number)

    def _answer(self, number: int) -> int:
        until(lambda: number in self._reasons, "the broker does not answer")
        return self._reasons[number]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _published(self, _client: Client, _data: object, number: int, reason: ReasonCode, _more: object) -> None:
        self._reasons[number] = int(reason.value)

    def _subscribed(
        self, _client: Client, _data: object, number: int, reasons: list[ReasonCode], _more: object
    ) -> None:
        self._reasons[number] = int(reasons[0].value)


def as_node(broker: Broker, signer: keys.Signer) -> Intruder:
    """Someone who has read a node's password out of its flash."""
    link_key = message.link_key(SITE_KEY, signer.thumbprint)
    return Intruder(broker, names.user(signer.kid), names.password(link_key))


def as_gateway(broker: Broker) -> Intruder:
    """Someone who has read a gateway's password."""
    return Intruder(broker, GATEWAY_USER, broker.password_file.read_text("ascii").strip())
