"""The host's end of a node's cable, for tests on any rig: says what provisioning and gateways say, and listens."""

import time
from collections.abc import Callable

from tallystick_emulators.errors import NodeError
from tallystick_provisioning.serial_port import SerialPort
from tallystick_wire import message, reading
from tallystick_wire.reading import Reading
from tallystick_wire.sequence import Seen

PATIENCE_S = 60.0  # a node boots in 0.1 s; a machine that runs many tests at once may take much longer
ASK_EVERY_S = 5.0  # a hello that came before a board listened is lost; a late answer would be heard as the next one


class Cable:
    """One open port. `readings` are all that arrived so far, each identity once, in the order of arrival."""

    def __init__(self, port: str) -> None:
        self._port = SerialPort(port)
        self._other: list[bytes] = []
        self.readings: list[Reading] = []
        self.seen = Seen()

    def close(self) -> None:
        self._port.close()

    def send(self, payload: bytes) -> None:
        self._port.send(payload)

    def hello(self) -> message.Node:
        """Who is there; asks until somebody answers."""
        return message.open_node(self.ask(message.build_hello(), "node"))

    def ask(self, payload: bytes, *kinds: str) -> bytes:
        """Send `payload` until a message of one of `kinds` comes back; NodeError when none does."""
        self._other.clear()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.send(payload)
            again = time.monotonic() + ASK_EVERY_S
            while time.monotonic() < again:
                self.listen()
                for answer in self._other:
                    if message.kind(answer) in kinds:
                        return answer
        raise NodeError(f"no answer of kind {' or '.join(kinds)} in {PATIENCE_S:.0f} s")

    def wait(self, condition: Callable[[list[Reading]], bool]) -> list[Reading]:
        """Listen until `condition(readings)`; returns them. NodeError when it never holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition(self.readings):
            if time.monotonic() > deadline:
                raise NodeError(f"waited {PATIENCE_S:.0f} s; {len(self.readings)} readings arrived")
            self.listen()
        return self.readings

    def wait_and_ack(self, link_key: bytes, condition: Callable[[list[Reading]], bool]) -> list[Reading]:
        """The same, and ack what arrives: without that a node sends no more than its window."""

        def acked_and_holds(readings: list[Reading]) -> bool:
            if readings:
                self.ack(link_key)
            return condition(readings)

        return self.wait(acked_and_holds)

    def ack(self, link_key: bytes) -> None:
        """Ack everything that arrived, as a gateway would."""
        newest = max(self.readings, key=lambda one: one.chain.seq)
        high, gaps = self.seen.ack()
        self.send(message.build_ack(link_key, newest.kid, newest.chain.boot, high, gaps))

    def hear(self) -> list[bytes]:
        """What arrives within a moment and is no reading."""
        self._other.clear()
        self.listen()
        return list(self._other)

    def listen(self) -> None:
        """Take what arrives within a moment."""
        for payload in self._port.receive():
            if message.kind(payload) != "reading":
                self._other.append(payload)
                continue
            parsed = reading.parse(payload)
            if all(parsed.identity != other.identity for other in self.readings):
                self.readings.append(parsed)
                self.seen.add(parsed.chain.seq)
                if parsed.boot_record is not None:
                    self.seen.forget(parsed.boot_record.last_persisted + 1, parsed.chain.seq - 1)
