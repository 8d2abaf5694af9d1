"""A real ledger on a real database in a temporary folder, without HTTP: what the ledger's tests share.

Keys, statements and readings come from the `world` fixture's maker (small_world.py); `logged` counts nothing of it:
what is in this ledger is only what a test puts there.
"""

from pathlib import Path
from typing import Any

import httpx

from tallystick_ledger.admit import admit
from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Database
from tallystick_ledger.directory import Keys
from tallystick_ledger.fsck import fsck
from tallystick_ledger.fsck_gateways import Stores
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.publish import Publisher
from tallystick_ledger.sequencer import sequence
from tallystick_ledger.sync_door import authorize, receive
from tallystick_ledger.witness_client import WitnessClient
from tallystick_proof import checkpoint, entry, merkle, note
from tallystick_proof.entry import GatewayEntry
from tallystick_proof.keys import Signer
from tallystick_proof.merkle import Frontier
from tallystick_proof.sync import SyncAnswer, SyncRequest
from tallystick_tools.witness import Witness, save_state


class Clock:
    """A clock that a test moves."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def seconds(self) -> int:
        return self.now_ms // 1000


class LiveLedger:
    """A ledger, its sequencer, its publisher and the world's two witnesses, in this process."""

    def __init__(self, folder: Path, world: Any, quorum: str = "all") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.world = folder, world
        self.clock = Clock(world.now_ms)
        self.ledger = self.open()
        self.witnesses = [self._witness(name) for name in world.witnesses]
        self.publisher = self._publisher()

    def open(self) -> Ledger:
        """One more handle on the same files, as another process would have."""
        return Ledger(Database(self.folder / "ledger.db"), Blobs(self.folder / "blobs"), self.world.trust, self.clock)

    def enrol(self, *names: str) -> None:
        """Admit these enrolments; pending until `settle`."""
        for name in names:
            admit(self.ledger, self.world.statements[self.world.enrolments[name]][0])

    def admit(self, data: bytes) -> bytes:
        return admit(self.ledger, data)[0]

    def settle(self) -> None:
        """Sequence and publish everything."""
        sequence(self.ledger)
        self.clock.now_ms += 1000
        self.publisher.publish_once()
        self.clock.now_ms += 2000

    def close(self) -> None:
        self.publisher.close()
        self.ledger.db.close()

    def _witness(self, name: str) -> Witness:
        state = self.folder / f"{name}.json"
        if not state.exists():
            save_state(state, {})
        vkeys = list(self.world.trust.policy.logs)
        logs = {self.world.origin: vkeys}
        return Witness(self.world.signers[name], f"{name}.example/{self.world.name}", logs, state, self.clock.seconds)

    def _publisher(self) -> Publisher:
        clients = [
            WitnessClient(f"http://{name}", list(self.world.trust.policy.witnesses.values()), _transport(witness))
            for name, witness in zip(self.world.witnesses, self.witnesses, strict=True)
        ]
        return Publisher(self.ledger, self.world.signers["ledger"], clients, 60_000, self.clock)


def _transport(witness: Witness) -> httpx.MockTransport:
    """The network between ledger and witness, without a network."""

    def answer(request: httpx.Request) -> httpx.Response:
        given = witness.add_checkpoint(request.read())
        return httpx.Response(given.status, content=given.body)

    return httpx.MockTransport(answer)


class TestGateway:
    """A gateway's log as the ledger sees it: it can also lie."""

    __test__ = False

    def __init__(self, world: Any, name: str = "gateway", epoch: int = 1) -> None:
        self.world, self.epoch = world, epoch
        self.signer: Signer = world.signers[name]
        self.bearer: str = world.secret(f"token {name}").hex()
        self.entries: list[bytes] = []
        self.sent = 0

    def take(self, *bodies: entry.Body, kind: int = entry.READING) -> None:
        for body in bodies:
            now_ms, clock = self.world.now_ms, entry.CLOCK_NTP
            self.take_raw(GatewayEntry(kind, 1, len(self.entries), now_ms, clock, 20, "serial", body).encode())

    def take_raw(self, *entries: bytes) -> None:
        self.entries += entries

    def note(self, size: int | None = None, root: bytes | None = None, signer: Signer | None = None) -> bytes:
        """A signed checkpoint of this log at `size`, of another root when a test wants a lie."""
        size = len(self.entries) if size is None else size
        frontier = Frontier()
        for item in self.entries[:size]:
            frontier.append(merkle.leaf_hash(item))
        origin = checkpoint.gateway_origin(self.world.origin, self.signer.thumbprint, self.epoch)
        text = checkpoint.Checkpoint(origin, size, frontier.root() if root is None else root).text
        return note.format(note.Note(text, [note.sign_note(signer or self.signer, origin, text)]))

    def request(self) -> SyncRequest:
        return SyncRequest(self.sent, self.entries[self.sent :], self.note())

    def sync(self, ledger: Ledger, request: SyncRequest | None = None, cursor: int = 0) -> SyncAnswer:
        """Send what is new, or a request of the test's own."""
        key = authorize(ledger, self.signer.thumbprint.hex(), f"Bearer {self.bearer}")
        answer = receive(ledger, key, request or self.request(), cursor)
        self.sent = answer.known_size
        return answer


def fsck_findings(live: LiveLedger) -> list[str]:
    """What `cloud fsck` would say."""
    view = Database(live.folder / "ledger.db")
    try:
        with view.read() as tx:
            ledger = live.ledger
            keys = Keys(ledger.db, ledger.trust, live.clock)
            return fsck(Stores(tx, ledger.blobs, ledger.trust, keys), lambda _: None)
    finally:
        view.close()
