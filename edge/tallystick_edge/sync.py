"""Sync: sign what is in the log, send it, keep the answer. Its own thread; the log is the only thing it shares.

Every round also runs with nothing new, because answers carry enrolments, revocations and the ledger's checkpoint.
"""

import random
import threading
from collections.abc import Callable

import httpx
import zstandard

from tallystick_edge import anchors
from tallystick_edge.config import Config
from tallystick_edge.enrol import OUTBOX
from tallystick_edge.entries import EntryMaker
from tallystick_edge.errors import LogError
from tallystick_edge.files import Files
from tallystick_edge.journal import Journal
from tallystick_edge.ledger_answer import (
    Accepted,
    KnownSize,
    Later,
    OtherHistory,
    Outcome,
    Refused,
    backoff_s,
    read,
)
from tallystick_edge.log import Batch, Head, Log
from tallystick_edge.metrics import Metrics
from tallystick_proof import checkpoint, entry, note
from tallystick_proof.errors import ProofError
from tallystick_proof.sync import MAX_ANSWER_BYTES, MAX_DOWNLINK_STATEMENTS, SyncAnswer, SyncRequest
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.outbox import Outbox

TIMEOUT_S = 30.0  # 4 MiB on a slow mobile link; connect, write and read each
MIN_COMPRESSED_BYTES = 1024  # below, the compressor's own bytes eat the gain
LAST_TIMEOUT_S = 3.0  # at the end of the process; what is not sent then is sent at the next start
MAX_EXCHANGES = 32  # in one round; then the writer's new rows get their turn
MAX_EPOCHS_TRIED = 64  # a replaced card finds a free epoch; a ledger that refuses everything does not fill the disk
MAX_MISMATCHES = 2  # a root that does not fit twice in a row is a fault, not a history


class Syncer:
    """Sends this log to one ledger. round() is one go; run() repeats it."""

    def __init__(
        self,
        config: Config,
        files: Files,
        log: Log,
        maker: EntryMaker,
        metrics: Metrics,
        journal: Journal,
        on_anchor: Callable[[anchors.Anchor], None],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = f"{config.ledger}/gateways/{files.signer.thumbprint.hex()}/sync"
        headers = {"authorization": f"Bearer {files.token}"}
        self._client = httpx.Client(transport=transport, timeout=TIMEOUT_S, headers=headers)
        self._signer, self._trust, self._log, self._maker = files.signer, files.trust, log, maker
        self._interval_s = config.checkpoint_interval_ms / 1000
        self._metrics, self._journal, self._on_anchor = metrics, journal, on_anchor
        self._door = LedgerClient(config.ledger, transport)
        self._outbox = Outbox(config.key.parent / OUTBOX)
        self._jitter = random.Random()  # noqa: S311 (spreads load, protects nothing)
        self._known_size: int | None = None  # at the ledger, in the open epoch
        self._failures = self._epochs_tried = self._mismatches = 0

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop`; a failure never ends it."""
        while not stop.is_set():
            stop.wait(self.round())

    def finish(self) -> None:
        """One last round, soon over."""
        self._client.timeout = httpx.Timeout(LAST_TIMEOUT_S)
        self.round()
        self._client.close()

    def round(self) -> float:
        """Sign, send, keep answers, until the ledger has everything; returns the seconds to wait."""
        try:
            outcome = self._catch_up()
        except LogError as error:
            outcome = Later(f"log: {error}")
        self._metrics.syncs.labels(type(outcome).__name__.lower()).inc()
        if isinstance(outcome, Accepted):
            self._failures = 0
            return self._interval_s
        self._failures += 1
        if isinstance(outcome, Refused):
            self._send_outbox()
        self._journal.warning("sync-failed", outcome=type(outcome).__name__, why=_why(outcome), failures=self._failures)
        if isinstance(outcome, Later) and outcome.wait_s is not None:
            return outcome.wait_s
        return backoff_s(self._failures, self._jitter)

    def _catch_up(self) -> Outcome:
        outcome: Outcome = Later("nothing was sent")
        for _ in range(MAX_EXCHANGES):
            self._log.sign_checkpoints(self._sign)
            epoch = self._log.epoch
            old_size = epoch.confirmed_size if self._known_size is None else self._known_size
            batch = self._log.batch(old_size)
            if batch is None:
                outcome = OtherHistory(True, f"the ledger knows {old_size} entries, this log has no such checkpoint")
            else:
                outcome = self._exchange(batch)
            if isinstance(outcome, Accepted) and batch is not None:
                if outcome.answer.known_size < batch.size:
                    return Later(f"the ledger took {batch.size} entries and says that it has less")
                if self._keep(batch, outcome.answer):
                    return outcome
            elif isinstance(outcome, KnownSize) and outcome.size != old_size:
                self._known_size = outcome.size
            elif not self._may_open_epoch(outcome):
                return outcome
            else:
                self._next_epoch(_why(outcome))
        return outcome

    def _send_outbox(self) -> None:
        """This gateway's own enrolment may still wait, when it was made without a network."""
        for delivery in self._door.deliver(self._outbox):
            outcome = "refused" if delivery.refused else "waits" if delivery.waits else "sent"
            why = delivery.refused or delivery.waits or ""
            self._journal.warning("enrolment", statement=delivery.path.stem, outcome=outcome, why=why)

    def _exchange(self, batch: Batch) -> Outcome:
        """One request and its answer. httpx's errors are translated here only."""
        body = SyncRequest(batch.old_size, batch.entries, batch.note).encode()
        headers = {"content-type": "application/cbor"}
        if len(body) >= MIN_COMPRESSED_BYTES:
            body, headers["content-encoding"] = zstandard.compress(body), "zstd"
        try:
            with self._client.stream(
                "POST", self._url, params={"cursor": self._log.downlink_count()}, content=body, headers=headers
            ) as response:
                answer = bytearray()
                for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > MAX_ANSWER_BYTES:
                        return Later(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
                return read(response.status_code, bytes(answer), response.headers.get("retry-after"))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Later(f"{type(error).__name__}: {error}")

    def _keep(self, batch: Batch, answer: SyncAnswer) -> bool:
        """Store an answer; True when the ledger has all that is signed."""
        anchor = self._anchor(answer.ledger_note)
        head = Head(None if anchor is None else answer.ledger_note, answer.witnessed_size, self._maker.now_ms())
        # The ledger answers when the batch is durable there. A crash before this commit sends the batch again and gets
        # the same answer; the cursor moves with the statements, so none is skipped.
        self._log.confirm(batch.epoch, batch.size, answer.ledger_index, answer.downlink, head)
        self._known_size, self._epochs_tried, self._mismatches = answer.known_size, 0, 0
        if anchor is not None:
            self._on_anchor(anchor)
        if head.synced_ms is not None:
            self._metrics.last_sync_ms.set(head.synced_ms)
        return answer.known_size == self._log.epoch.size and len(answer.downlink) < MAX_DOWNLINK_STATEMENTS

    def _anchor(self, ledger_note: bytes | None) -> anchors.Anchor | None:
        if ledger_note is None:
            return None
        try:
            return anchors.from_note(ledger_note, self._trust)
        except ProofError as error:
            self._metrics.notes_refused.inc()
            self._journal.warning("ledger-note-refused", why=error)
            return None

    def _may_open_epoch(self, outcome: Outcome) -> bool:
        """Whether this outcome says that the ledger holds another history of ours, and we have not tried too often."""
        if isinstance(outcome, KnownSize):  # the size that we named ourselves: no sense in it
            outcome = OtherHistory(False, "409 with the size that was sent")
        if not isinstance(outcome, OtherHistory):
            return False
        self._epochs_tried += 1
        self._mismatches += 0 if outcome.frozen else 1
        return self._epochs_tried <= MAX_EPOCHS_TRIED and self._mismatches <= MAX_MISMATCHES

    def _next_epoch(self, why: str) -> None:
        old = self._log.epoch
        says = {"why": why, "epoch": old.number, "size": old.size, "confirmed": old.confirmed_size}
        new = self._log.next_epoch(self._maker.note(entry.NOTE_GAP, says))
        self._known_size = 0
        self._metrics.epochs.inc()
        self._journal.error("next-epoch", epoch=new.number, first_row=new.first_row, why=why)

    def _sign(self, epoch: int, size: int, root: bytes) -> bytes:
        origin = checkpoint.gateway_origin(self._trust.origin, self._signer.thumbprint, epoch)
        text = checkpoint.Checkpoint(origin, size, root).text
        return note.format(note.Note(text, [note.sign_note(self._signer, origin, text)]))


def _why(outcome: Outcome) -> str:
    match outcome:
        case Later(why) | Refused(why) | OtherHistory(_, why):
            return why
        case KnownSize(size):
            return f"the ledger knows {size} entries"
        case Accepted():
            return "more to send"
