"""One serial link: a thread that reads frames into the intake queue, and reopens a port that went away."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tallystick_edge.metrics import Metrics
from tallystick_provisioning.errors import PortError
from tallystick_provisioning.serial_port import SerialPort

QUEUE_FRAMES = 4096  # about 1 MB; when it is full the link waits, the port's buffer fills, and nodes send again
PUT_TIMEOUT_S = 0.2  # how soon a waiting link notices that it should stop
REOPEN_FIRST_S = 0.5
REOPEN_MAX_S = 10.0  # a plugged-in node is heard within ten seconds

Arrivals = queue.Queue["Arrival"]


class Route(Protocol):
    """Where an answer to a node goes."""

    @property
    def name(self) -> str: ...

    def send(self, payload: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """A whole payload and the link it came by.

    `sender` is the kid that the link vouches for, where it can. `settle(durable)` is called once the payload is durable
    or refused for good (True), or when it could not be kept (False).
    """

    payload: bytes
    route: Route
    sender: bytes | None = None
    settle: Callable[[bool], None] | None = None


def hand_over(arrivals: Arrivals, arrival: Arrival, stop: threading.Event) -> None:
    """Into the queue; waits while it is full, until told to stop."""
    while not stop.is_set():
        try:
            arrivals.put(arrival, timeout=PUT_TIMEOUT_S)
            return
        except queue.Full:
            continue


class Link(Protocol):
    """A thread that puts what arrives into the queue it was made with."""

    def start(self, stop: threading.Event) -> None: ...
    def join(self) -> None: ...


class SerialLink:
    """A port that may come and go. `on_change(name, up)` is called from this link's thread."""

    def __init__(
        self, path: str, arrivals: Arrivals, metrics: Metrics, on_change: Callable[[str, bool, str], None]
    ) -> None:
        self.path = path
        self.name = f"serial:{path}"
        self._arrivals, self._metrics, self._on_change = arrivals, metrics, on_change
        self._port: SerialPort | None = None
        self._thread: threading.Thread | None = None

    def start(self, stop: threading.Event) -> None:
        self._thread = threading.Thread(target=self._run, args=(stop,), name=self.name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def send(self, payload: bytes) -> bool:
        """Hand one frame to the port; False when the link is down or does not take it: nodes ask again."""
        port = self._port
        if port is None:
            return False
        try:
            return port.send(payload)
        except PortError:
            return False  # the reading thread meets the same error and reopens

    def _run(self, stop: threading.Event) -> None:
        wait_s = REOPEN_FIRST_S
        complained = False
        while not stop.is_set():
            try:
                self._port = SerialPort(self.path)
            except PortError as error:
                self._metrics.link_failures.labels(self.name).inc()
                if not complained:
                    self._on_change(self.name, False, str(error))
                complained = True
                stop.wait(wait_s)
                wait_s = min(REOPEN_MAX_S, wait_s * 2)
                continue
            wait_s, complained = REOPEN_FIRST_S, True
            self._metrics.link_up.labels(self.name).set(1)
            self._on_change(self.name, True, "")
            reason = self._read(self._port, stop)
            self._metrics.link_up.labels(self.name).set(0)
            port, self._port = self._port, None
            port.close()
            if reason:
                self._on_change(self.name, False, reason)

    def _read(self, port: SerialPort, stop: threading.Event) -> str:
        """Read until told to stop ("") or the port fails; returns why."""
        while not stop.is_set():
            try:
                payloads = port.receive()
            except PortError as error:
                return str(error)
            self._metrics.damaged(self.name, port.decoder)
            self._metrics.link_received.labels(self.name).inc(len(payloads))
            for payload in payloads:
                hand_over(self._arrivals, Arrival(payload, self), stop)
        return ""
