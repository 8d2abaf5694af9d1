"""A node on a board in memory with a gateway at its link: whole lives in a few milliseconds."""

from tallystick_node import app, inbox
from tallystick_node.board_memory import MemoryBoard
from tallystick_proof import keys
from tallystick_wire import message, reading
from tallystick_wire.reading import BootRecord, Reading
from tallystick_wire.sequence import Seen

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
LINK = message.build_link(LINK_KEY, ORIGIN, PEN)


class Site(MemoryBoard):
    """A board with a gateway at its link. The gateway acks at the end of each turn while `acking`."""

    def __init__(self) -> None:
        super().__init__()
        self.acking = True
        self.arrivals: list[int] = []
        self.readings: dict[int, Reading] = {}  # by number, over all boots
        self.answers: list[bytes] = []
        self.restarts: list[Exception] = []
        self.rots = ""  # a file that loses its end at the next measurement
        self._seen = Seen()

    def live(self, turns: int, *arriving: bytes) -> list[Reading]:
        """One boot; the readings that came for the first time."""
        known = set(self.readings)
        self.power_cycle(turns)
        self.link.arriving += arriving
        app.run(self)
        return [one for seq, one in sorted(self.readings.items()) if seq not in known]

    def counts(self, *arriving: bytes) -> dict[str, int]:
        """What a node that just woke counts when these arrive."""
        self.power_cycle()
        node = app.wake(self)
        for payload in arriving:
            inbox.answer(node, payload, 0)
        return node.counts

    @property
    def public_key(self) -> bytes:
        return app.wake(self).key.public_key

    def waits_for(self) -> list[tuple[int, int]]:
        """The numbers that the gateway thinks are still to come."""
        return self._seen.missing()

    def ack(self, high: int, key: bytes = LINK_KEY, boot: int = 1) -> bytes:
        return message.build_ack(key, keys.kid(self.public_key), boot, high, [])

    def temperature(self) -> int:
        if self.rots:
            self.memory.files[self.rots] = self.memory.files[self.rots][:-9]
            self.rots = ""
        return super().temperature()

    def restart(self, error: Exception) -> None:
        self.restarts.append(error)
        self.power_cycle(self.turns)

    def idle(self, wait_ms: int) -> None:
        super().idle(wait_ms)
        self.hear()

    def hear(self) -> None:
        """The gateway's turn."""
        heard, self.link.sent = self.link.sent, []
        for payload in heard:
            if message.kind(payload) == "reading":
                self._take(reading.parse(payload))
            else:
                self.answers.append(payload)

    def _take(self, one: Reading) -> None:
        self.arrivals.append(one.chain.seq)
        self.readings[one.chain.seq] = one
        self._seen.add(one.chain.seq)
        if one.boot_record is not None:
            self._seen.forget(one.boot_record.last_persisted + 1, one.chain.seq - 1)
        if one.gap is not None:
            self._seen.forget(*one.gap)
        if self.acking:
            self.link.arriving.append(message.build_ack(LINK_KEY, one.kid, one.chain.boot, *self._seen.ack()))


def boot_record(one: Reading) -> BootRecord:
    assert one.boot_record is not None
    return one.boot_record
