"""The world of `tallystick bench chain`: real keys, a real ledger with a witness, a real gateway, all in this process.

Only the network is left out: the witness and the sync door are called instead of connected to.
"""

import hashlib
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import httpx

from tallystick_edge import intake
from tallystick_edge.clock import Clock
from tallystick_edge.config import Config
from tallystick_edge.entries import EntryMaker
from tallystick_edge.files import Files
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known
from tallystick_edge.log import Log
from tallystick_edge.metrics import Metrics
from tallystick_edge.sync import Syncer
from tallystick_ledger.admit import admit
from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Database
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.publications import Publication
from tallystick_ledger.publish import Publisher
from tallystick_ledger.sequencer import sequence
from tallystick_ledger.sync_door import authorize, decode_body, receive
from tallystick_ledger.witness_client import WitnessClient
from tallystick_proof import keys, note
from tallystick_proof.keys import Signer
from tallystick_proof.trust import Trust
from tallystick_provisioning import enrolments, trust_setup
from tallystick_tools.bench_measure import Meter
from tallystick_tools.errors import BenchError
from tallystick_tools.witness import Witness, save_state
from tallystick_wire import cbor
from tallystick_wire.reading import Reading

ORIGIN, WITNESS_NAME = "bench.example/log", "witness.example/bench"
PEN = 32473  # for documentation (RFC 5612)
LEDGER_URL, WITNESS_URL = "http://ledger.example", "http://witness.example"
DAY_S = 86_400
WITNESS_STATE = "witness.json"
SOURCE = "serial:bench"

Handler = Callable[[httpx.Request], httpx.Response]


class Direct(httpx.BaseTransport):
    """A network of one function."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._handler(request)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class World:
    """Keys, trust.toml, and a folder with a ledger in which a node and a gateway are enrolled and published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seed = secrets.token_bytes(keys.SEED_BYTES)
        self.token = secrets.token_hex(keys.SEED_BYTES)
        self.node = Signer(keys.NODE, self.seed)
        self.gateway, self.ledger, self.witness = map(_make, (keys.GATEWAY, keys.LEDGER, keys.WITNESS))
        self._authorities = {kind: _make(keys.AUTHORITY_PREFIX + kind) for kind in keys.ENROLLED_KINDS}
        self.trust = self._trust()
        self.enrolment = self._enrol(self.node, None, enrolments.node_instrument("bench", "1", bytes(8)))
        folder.mkdir()
        save_state(folder / WITNESS_STATE, {})
        with closing(Chain(self, folder, Meter(1))) as chain:
            admit(chain.ledger, self.enrolment)
            admit(chain.ledger, self._enrol(self.gateway, hashlib.sha256(self.token.encode()).digest(), None))
            published = chain.publish()
        self.anchor = (published.size, published.hash)

    def open(self, folder: Path, meter: Meter) -> "Chain":
        """The chain as it stands before the first reading, on a copy in a new folder."""
        shutil.copytree(self.folder, folder)
        return Chain(self, folder, meter)

    def _trust(self) -> Trust:
        ledger = note.VerifierKey(ORIGIN, note.TYPE_ED25519, self.ledger.public_key)
        witness = note.VerifierKey(WITNESS_NAME, note.TYPE_COSIGNATURE, self.witness.public_key)
        plan = trust_setup.Plan(self.folder, ledger, (witness,), 1, PEN, DAY_S)
        return plan.trust(list(self._authorities.values()))

    def _enrol(self, signer: Signer, token_hash: bytes | None, instrument: cbor.Map | None) -> bytes:
        request = enrolments.own_request(signer, ORIGIN, secrets.token_bytes, token_hash)
        authority = self._authorities[signer.role]
        return enrolments.enrolment(authority, self.trust, request, secrets.token_bytes, instrument)


class Intake:
    """What a gateway's writer does with arrivals: judge, then keep. One log file."""

    def __init__(self, world: World, path: Path) -> None:
        self.log = Log.open(path)
        self.maker = EntryMaker(1, Clock())
        self._known = Known(world.trust)
        self._known.add_statement(world.enrolment, None)

    def judge(self, payload: bytes) -> Reading:
        """A new reading; BenchError when it is anything else."""
        verdict = intake.judge(self._known, payload, self.log.is_stored, lambda kid: True)
        if verdict.reading is None or verdict.reason != intake.NEW:
            raise BenchError(f"the gateway says {verdict.reason!r} of a reading")
        self._known.add_pending(verdict.reading.kid, verdict.reading.chain.seq, verdict.reading.identity)
        return verdict.reading

    def commit(self, group: Sequence[Reading]) -> None:
        """Durable, then known."""
        self.log.commit([self.maker.reading(one.data, SOURCE) for one in group])
        self._known.pending.clear()
        for one in group:
            self._known.learn(one, self.maker.now_ms())

    def close(self) -> None:
        self.log.close()


class Chain:
    """Gateway, ledger and witness on the files in `folder`. What the sync door does is the step "door" of `meter`."""

    def __init__(self, world: World, folder: Path, meter: Meter) -> None:
        self.world, self._meter = world, meter
        self.ledger = Ledger(Database(folder / "ledger.db"), Blobs(folder / "blobs"), world.trust, now_ms)
        logs = {ORIGIN: list(world.trust.policy.logs)}
        self._witness = Witness(world.witness, WITNESS_NAME, logs, folder / WITNESS_STATE, lambda: now_ms() // 1000)
        vkeys = list(world.trust.policy.witnesses.values())
        self._client = WitnessClient(WITNESS_URL, vkeys, Direct(self._cosign))
        self._publisher = Publisher(self.ledger, world.ledger, [self._client], DAY_S * 1000, now_ms)
        self.intake = Intake(world, folder / "log.db")
        self._syncer = self._make_syncer(folder)

    def publish(self) -> Publication:
        """Sequence what is pending and publish it, cosigned."""
        sequence(self.ledger)
        published = self._publisher.publish_once()
        if published is None:
            raise BenchError("the ledger published nothing")
        return published

    def sync(self) -> None:
        """Sign the gateway's log and hand it over; BenchError unless the ledger took all of it."""
        self._syncer.round()
        if backlog := self.intake.log.backlog():
            raise BenchError(f"the ledger did not take {backlog} entries of the gateway")

    def close(self) -> None:
        self._publisher.close()
        self._client.close()
        self.intake.close()
        self.ledger.db.close()

    def _cosign(self, request: httpx.Request) -> httpx.Response:
        answer = self._witness.add_checkpoint(request.read())
        return httpx.Response(answer.status, content=answer.body)

    def _take(self, request: httpx.Request) -> httpx.Response:
        """The sync door, as its HTTP handler calls it."""
        body = request.read()
        with self._meter.step("door"):
            gateway = authorize(self.ledger, self.world.gateway.thumbprint.hex(), request.headers["authorization"])
            decoded = decode_body(body, request.headers.get("content-encoding"))
            answer = receive(self.ledger, gateway, decoded, int(request.url.params["cursor"])).encode()
        return httpx.Response(200, content=answer)

    def _make_syncer(self, folder: Path) -> Syncer:
        unread = folder / "unread"  # what these files would hold stands in `files`
        config = Config(unread, unread, LEDGER_URL, unread, unread, unread, links=())
        files = Files(self.world.gateway, self.world.token, bytes(32), self.world.trust)
        log, maker = self.intake.log, self.intake.maker
        return Syncer(config, files, log, maker, Metrics(), Journal(), lambda anchor: None, Direct(self._take))


def _make(role: str) -> Signer:
    return keys.generate(role, secrets.token_bytes)
