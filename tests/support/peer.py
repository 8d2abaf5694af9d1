"""A gateway as a node knows it, played by a test: what it acked it has, what it only heard it may lose."""

from itertools import pairwise

from crash_support import one_of_each

from tallystick_proof.chain import missing_between
from tallystick_tools.rig import Cable
from tallystick_wire import message, reading
from tallystick_wire.reading import Reading
from tallystick_wire.sequence import Seen


class Peer(Cable):
    """`heard` is everything that arrived, again and again; `stored` by number what was acked."""

    def __init__(self, port: str, link_key: bytes) -> None:
        super().__init__(port)
        self._link_key = link_key
        self._unacked: list[Reading] = []
        self.heard: list[Reading] = []
        self.stored: dict[int, Reading] = {}

    def listen(self) -> None:
        for payload in self._port.receive():
            if message.kind(payload) == "reading":
                self.heard.append(reading.parse(payload))
                self._unacked.append(self.heard[-1])
            else:
                self._other.append(payload)

    def take_other(self) -> list[bytes]:
        """What arrived that is no reading."""
        found = self._other.copy()
        self._other.clear()
        return found

    def forget(self) -> None:
        """The gateway crashed: what was not acked is gone."""
        self._unacked.clear()

    def store(self) -> None:
        """Make durable what arrived, then ack it."""
        if not self._unacked:
            return
        for one in self._unacked:
            self.stored.setdefault(one.chain.seq, one)
        self._unacked.clear()
        seen = Seen()
        for seq, one in self.stored.items():
            seen.add(seq)
            if one.boot_record is not None:
                seen.forget(one.boot_record.last_persisted + 1, seq - 1)
        boot = max(one.chain.boot for one in self.stored.values())
        self.send(message.build_ack(self._link_key, one.kid, boot, *seen.ack()))

    def check(self, genesis: bytes) -> None:
        """No number was used twice, each reading names the one before it, and nothing that was heard is lost."""
        one_of_each(((one.kid, one.chain.seq), one.identity) for one in self.heard)
        chain = [self.stored[seq] for seq in sorted(self.stored)]
        assert chain[0].chain.previous == genesis
        for earlier, later in pairwise(chain):
            assert missing_between(earlier, later) is not None, f"{later.chain.seq} does not follow {earlier.chain.seq}"
            assert later.chain.previous == earlier.link, f"{later.chain.seq} does not name {earlier.chain.seq}"
        lost = {one.chain.seq for one in self.heard} - set(self.stored)
        assert not lost, f"lost {sorted(lost)}"
