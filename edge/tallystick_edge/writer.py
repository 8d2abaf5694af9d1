"""The writer: the only one that changes what is known about nodes. One group of arrivals, one commit, then the acks."""

import queue
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

from tallystick_edge import anchors, intake, recovery, updates
from tallystick_edge.anchors import Anchor
from tallystick_edge.buckets import Buckets
from tallystick_edge.config import Config
from tallystick_edge.control import Answer
from tallystick_edge.entries import EntryMaker
from tallystick_edge.errors import LogError
from tallystick_edge.files import Files
from tallystick_edge.intake import Verdict
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known
from tallystick_edge.link import QUEUE_FRAMES, Arrival, Arrivals, Route
from tallystick_edge.log import Log
from tallystick_edge.metrics import Metrics
from tallystick_edge.updates import Updates
from tallystick_proof import entry
from tallystick_wire import message
from tallystick_wire.reading import Reading
from tallystick_wire.sequence import Seen

REFUSED_NOTE_MS = 600_000  # what was refused goes into the log as sums, at most so often
MAX_NOTES_WAITING = 100  # a link that flaps while the disk is full does not fill the memory

Judged = list[tuple[Arrival, Verdict]]


class Writer:
    """Takes payloads from `arrivals` and sees them through. step() is called by one thread."""

    def __init__(
        self,
        config: Config,
        files: Files,
        log: Log,
        known: Known,
        maker: EntryMaker,
        metrics: Metrics,
        journal: Journal,
    ) -> None:
        self.arrivals: Arrivals = queue.Queue(QUEUE_FRAMES)
        self._config, self._site_key = config, files.site_key
        self._log, self._known, self._maker = log, known, maker
        self._metrics, self._journal = metrics, journal
        self._notes: deque[bytes] = deque(maxlen=MAX_NOTES_WAITING)
        self._routes: dict[bytes, Route] = {}  # the link by which an enrolled node was heard last
        self._buckets = Buckets()
        folder = config.state_dir / updates.FOLDER
        self._updates = Updates(folder, files.trust.origin, self._link_key, metrics, journal)
        self._refused: Counter[str] = Counter()
        self._refused_noted_ms = maker.mono_ms()
        self._clock_state = maker.clock_state()
        self._anchor = anchors.from_stored(log.head.note, files.trust)
        self._failing = False

    # -- called from other threads

    def say(self, number: int, says: dict[str, object]) -> None:
        """Put a note about this gateway into the next commit."""
        self._notes.append(self._maker.note(number, says))

    def link_changed(self, link: str, up: bool, why: str) -> None:
        """A link came or went."""
        (self._journal.info if up else self._journal.warning)("link", link=link, up=up, why=why)
        self.say(entry.NOTE_LINK, {"link": link, "up": int(up), "why": why or None})

    def offer_anchor(self, anchor: Anchor) -> None:
        """A ledger checkpoint that met the policy; nodes get it when theirs is older."""
        self._anchor = anchors.newer(self._anchor, anchor)

    # -- called between two groups

    def staff_asks(self, word: str, about: str) -> Answer:
        """Do what somebody on this machine asks (control.py)."""
        if word != "identify":
            return False, f"a gateway does not know how to {word}"
        try:
            kid = bytes.fromhex(about)
        except ValueError:
            kid = b""
        if kid not in self._routes:
            return False, f"node {about} was not heard since this gateway started"
        name = self._routes[kid].name
        if not self._send(kid, lambda _: message.build_identify()):
            return False, f"node {about}: {name} does not take it now"
        return True, f"node {about} was told to blink, by {name}"

    # -- one group

    def step(self, wait_s: float) -> None:
        """Wait at most `wait_s` for something to arrive, and see one group of arrivals through."""
        judged = [(arrival, self._judge(arrival)) for arrival in self._take(wait_s)]
        durable = self._commit(judged)
        if durable:
            # Only now is anything promised. A crash here: all of it is durable and no node knows; they send again, and
            # what is stored is acknowledged as a duplicate. If the commit failed nothing was kept, and nobody is told.
            self._acknowledge(judged)
            # A crash here: the same, but some nodes know.
        # Brokers are told last. A crash in between: they send again what they were not told, and it is a duplicate.
        for arrival, _ in judged:
            if arrival.settle is not None:
                arrival.settle(durable)
        self._answer_others(judged)
        self._hand_out_anchors()
        self._offer_updates()
        recovery.take_downlink(self._log, self._known, self._journal)
        self._metrics.size.set(len(self._log))
        self._metrics.backlog.set(self._log.backlog())

    def drain(self) -> None:
        """See everything through that has arrived."""
        while not self.arrivals.empty():
            self.step(0)
        self.step(0)

    def _take(self, wait_s: float) -> list[Arrival]:
        """The next group: as many as one commit may hold, or as arrive while one commit may wait."""
        group: list[Arrival] = []
        try:
            group.append(self.arrivals.get(timeout=wait_s))
            end_ms = self._maker.mono_ms() + self._config.commit_ms
            while len(group) < self._config.commit_rows:
                group.append(self.arrivals.get(timeout=max(0, end_ms - self._maker.mono_ms()) / 1000))
        except queue.Empty:
            pass
        return group

    def _judge(self, arrival: Arrival) -> Verdict:
        verdict = intake.judge(self._known, arrival.payload, self._log.is_stored, self._may_spend, arrival.sender)
        self._count(verdict)
        if verdict.reading is not None:
            if verdict.store is not None:
                self._known.add_pending(verdict.reading.kid, verdict.reading.chain.seq, verdict.reading.identity)
            if verdict.reason == intake.STORED_LONG_AGO:
                self._known.state(verdict.reading.kid).remember(verdict.reading.chain.seq, verdict.reading.identity)
            if verdict.ack is not None:
                self._routes.pop(verdict.ack, None)  # the latest last
                self._routes[verdict.ack] = arrival.route
        return verdict

    def _may_spend(self, key: bytes) -> bool:
        return self._buckets.take(key, self._maker.mono_ms() / 1000)

    def _commit(self, judged: Judged) -> bool:
        """Make the group durable, then learn it; False when the disk refused: then nothing of it is in the log."""
        self._look_around()
        notes = list(self._notes)
        stored = [(arrival.route.name, verdict) for arrival, verdict in judged if verdict.store is not None]
        entries = notes + [self._maker.reading(verdict.store or b"", source) for source, verdict in stored]
        unknown = [at for at, (_, verdict) in enumerate(stored, len(notes)) if verdict.reason == intake.UNKNOWN]
        self._known.pending.clear()
        try:
            first = self._append(entries, unknown) if entries else 0
        except LogError as error:
            self._failed(error)
            return False
        for _ in notes:
            self._notes.popleft()
        for row, (_, verdict) in enumerate(stored, first + len(notes)):
            self._learn(row, verdict)
        self._verified_since([verdict for _, verdict in judged if verdict.reason == intake.ENROLLED_SINCE])
        return True

    def _append(self, entries: list[bytes], unknown: list[int]) -> int:
        with self._metrics.commit_seconds.time():
            first = self._log.commit(entries, unknown)
        self._metrics.commits.inc()
        if self._failing:
            self._journal.info("commit-works-again")
        self._failing = False
        return first

    def _failed(self, error: LogError) -> None:
        self._metrics.commit_failures.labels(type(error).__name__).inc()
        if not self._failing:  # said once, not for every group that nodes send again
            self._journal.error("commit-failed", why=error, action="no acknowledgements until it works")
        self._failing = True

    def _learn(self, row: int, verdict: Verdict) -> None:
        """A stored reading is durable in `row`."""
        self._metrics.stored.inc()
        if verdict.reading is None:
            return
        if verdict.reason == intake.UNKNOWN:
            self._known.learn_unknown(verdict.reading.kid, verdict.reading.identity, row)
        else:
            self._learn_enrolled(verdict.reading)

    def _learn_enrolled(self, arrived: Reading) -> None:
        state = self._known.state(arrived.kid)
        before = state.given_up
        self._known.learn(arrived, self._maker.now_ms())
        if state.given_up is not None and state.given_up != before:
            first, last = state.given_up
            says = {"why": "given up by the node", "node": arrived.kid.hex(), "first": first, "last": last}
            self.say(entry.NOTE_GAP, says)

    def _verified_since(self, verdicts: list[Verdict]) -> None:
        """Readings that were stored while nobody vouched for their kid: they are durable, and genuine."""
        rows = []
        for verdict in verdicts:
            if verdict.reading is not None:
                row = self._known.take_unknown(verdict.reading.kid, verdict.reading.identity)
                rows += [] if row is None else [row]
                self._learn_enrolled(verdict.reading)
        try:
            self._log.verified(rows)
        except LogError as error:
            self._failed(error)  # the next start verifies these rows again, that is all

    # -- answers

    def _acknowledge(self, judged: Judged) -> None:
        """Tell every node of the group what is durable of its whole life."""
        for kid in {verdict.ack for _, verdict in judged if verdict.ack is not None}:
            state = self._known.state(kid)
            if self._send(kid, partial(_ack, kid=kid, boot=state.boot, seen=state.seen)):
                self._metrics.acked.inc()

    def _hand_out_anchors(self) -> None:
        """A witnessed ledger checkpoint for every node that was heard since the start and shows none as late."""
        now_ms, anchor = self._maker.mono_ms(), self._anchor
        if anchor is None:
            return
        for kid in self._routes:
            state = self._known.state(kid)
            if anchors.is_due(anchor, state, now_ms, self._config.anchor_interval_ms):
                state.anchor_sent_ms = now_ms
                if self._send(kid, partial(message.build_anchor, size=anchor.size, hash16=anchor.hash16)):
                    self._metrics.anchors.inc()

    def _answer_others(self, judged: Judged) -> None:
        """Nodes that ask for pieces of an update, or say what became of one."""
        for arrival, verdict in judged:
            if verdict.reason != intake.OTHER_MESSAGE:
                continue
            kid = arrival.sender or self._heard_by(arrival.route)
            if kid is None or self._known.node(kid) is None or not self._may_spend(kid):
                continue
            boot, now_s = self._known.state(kid).boot, self._maker.mono_ms() / 1000
            answer = self._updates.hear(kid, boot, arrival.payload, now_s)
            if answer is not None and not arrival.route.send(answer):
                self._metrics.unsent.inc()

    def _offer_updates(self) -> None:
        now_ms, now_s = self._maker.now_ms(), self._maker.mono_ms() / 1000
        self._updates.look(now_ms, now_s)
        for kid, route in self._routes.items():
            offer = self._updates.due(kid, self._known.state(kid).boot, now_ms, now_s)
            if offer is not None and not route.send(offer):
                self._metrics.unsent.inc()

    def _heard_by(self, route: Route) -> bytes | None:
        """The node at the other end of a cable: the one that was heard by it last."""
        return next((kid for kid, used in reversed(self._routes.items()) if used is route), None)

    def _link_key(self, kid: bytes) -> bytes:
        key = self._known.node(kid)
        return message.link_key(self._site_key, key.thumbprint if key is not None else b"")

    def _send(self, kid: bytes, build: Callable[[bytes], bytes]) -> bool:
        """Hand a message under the node's link key to its link. One that is not taken is not kept: nodes ask again."""
        key, route = self._known.node(kid), self._routes.get(kid)
        if key is None or route is None:
            return False
        taken = route.send(build(message.link_key(self._site_key, key.thumbprint)))
        if not taken:
            self._metrics.unsent.inc()
        return taken

    # -- what the gateway says about itself

    def _count(self, verdict: Verdict) -> None:
        metrics, reason = self._metrics, verdict.reason
        metrics.received.inc()
        if reason in intake.REFUSALS:
            metrics.rejected.labels(reason).inc()
            self._refused[reason] += 1
        counters = {
            intake.DUPLICATE: metrics.duplicate,
            intake.STORED_LONG_AGO: metrics.duplicate,
            intake.FORK: metrics.fork,
            intake.UNKNOWN: metrics.unknown,
            intake.UNKNOWN_AGAIN: metrics.unknown,
            intake.OTHER_MESSAGE: metrics.other,
        }
        if reason in counters:
            counters[reason].inc()
        if reason in intake.VERIFIED:
            metrics.verified.inc()

    def _look_around(self) -> None:
        """Notes about the clock, when its quality changed, and about what was refused, now and then."""
        state = self._maker.clock_state()
        if state != self._clock_state:
            self.say(entry.NOTE_CLOCK, {"before": self._clock_state, "now": state})
            self._clock_state = state
        now_ms = self._maker.mono_ms()
        if self._refused and now_ms - self._refused_noted_ms >= REFUSED_NOTE_MS:
            self.say(entry.NOTE_REFUSED, dict(self._refused))
            self._refused.clear()
            self._refused_noted_ms = now_ms


def _ack(key: bytes, kid: bytes, boot: int, seen: Seen) -> bytes:
    high, gaps = seen.ack()
    return message.build_ack(key, kid, boot, high, gaps)
