"""The hands-free loop: a tag comes, gets the next item's identity, is read back, goes; the next one counts itself.

Order of writing: the item is bound to the UID -> the tag is written under its own journal -> item and outcome in one
transaction -> signed statement into the job -> into the outbox -> the tag's keys erased. Starting again runs the same
steps for whatever they had not reached.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tallystick_chips import personalise
from tallystick_chips.personalise_desk import Desk, silent
from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import TagOutcome, Tell
from tallystick_chips.tag_originality import NXP, Originality
from tallystick_provisioning.nfc import Reader
from tallystick_provisioning.nfc_antenna import SENSE_S, Antenna
from tallystick_tags import tag_job, tag_outcomes
from tallystick_tags.key_provider import JobKeys
from tallystick_tags.tag_job import WAITING, WRITING, WRITTEN, Job, JobItem
from tallystick_tags.tag_sender import Sender
from tallystick_tags.tag_signing import Signing, note_sent

TRIES = 3  # of a tag that moved while it was written and lies there again

Kind = Literal["waiting", "working", "planned", "done", "wrong", "reader", "finished"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the job stands."""

    total: int
    written: int
    unfinished: int
    rejects: list[tuple[str, int]]  # (code, how many)
    seconds_per_tag: float | None
    queued: int  # statements that the ledger does not have yet
    sent: int  # statements that it has
    refused: int = 0  # statements that it will not take, of the queued ones

    @property
    def left(self) -> int:
        return self.total - self.written

    @property
    def seconds_left(self) -> float | None:
        return None if self.seconds_per_tag is None else self.seconds_per_tag * self.left


@dataclass(frozen=True, slots=True)
class Moment:
    """What is happening, for whoever shows it."""

    kind: Kind
    progress: Progress
    item: JobItem | None = None
    uid: bytes | None = None
    step: str | None = None  # one of personalise.STEPS
    outcome: TagOutcome | None = None
    seconds: float | None = None  # of a tag that is done


class View(Protocol):
    def show(self, moment: Moment) -> None: ...


@dataclass
class Run:
    """One run over a job, attended or not."""

    job: Job
    open_reader: Callable[[], Reader]
    keys: JobKeys
    journal: Journal
    view: View
    signing: Signing | None = None
    patience_s: float | None = None  # without a tag for so long, an unattended run ends; None: a person ends it
    originality: Originality = NXP
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    monotonic: Callable[[], float] = time.monotonic
    sender: Sender | None = None
    _antenna: Antenna = field(init=False)
    _pace: "Pace" = field(init=False)

    def __post_init__(self) -> None:
        self._pace = Pace()
        self._antenna = Antenna(
            self.open_reader,
            lambda _: self._show("reader"),
            self._two_tags,
            self.monotonic,
            self._look_at_post,
            lambda _: self._wait_again(),
            self._wait_again,
        )

    def go(self) -> bool:
        """Write tags until no item is open, nobody comes any more, or Ctrl-C. Whether the job is done."""
        self.settle()
        self._antenna.open()
        uid: bytes | None = None
        try:
            while self._open():
                if uid is None:
                    self._show("waiting", self.job.next_waiting())
                    uid = self._antenna.wait_for_tag(self.patience_s)
                if uid is None:
                    break
                self._one(uid)
                done, uid = uid, self._antenna.wait_for_removal(uid, self.patience_s) if self._open() else None
                if uid == done:
                    break  # nobody stands there to take it away
        finally:
            self._antenna.close()
        self._show("finished")
        return not self._open()

    def try_out(self) -> TagOutcome:
        """What would become of the next tag; nothing is written, on the tag or in the job."""
        self._antenna.open()
        try:
            uid = self._antenna.wait_for_tag(self.patience_s)
            if uid is None:
                return tag_outcomes.no_tag()
            item, refusal = self._item_for(uid)
            outcome = refusal or tag_outcomes.no_row(uid, [])
            if refusal is None and item is not None:
                outcome = personalise.write(self._desk(uid), self.job.order(item), dry_run=True)
        finally:
            self._antenna.close()
        self._show("planned" if outcome.good else "wrong", item, uid, outcome=outcome)
        return outcome

    def settle(self) -> None:
        """Finish what an interrupted run had begun, as far as no tag is needed for it."""
        for item in self.job.items(WRITING):
            history = self.journal.history(item.uid or b"")
            if history.stage in ("new", "factory"):
                # Bound, and then the computer stopped before the first byte: any tag may have this item.
                self.job.change(item.row, **tag_job.free())
            elif history.stage == "written" and tag_outcomes.is_of(history, self.job.order(item)):
                attempt = self.job.begin(item.row, item.uid, "settle", self.now_ms())
                self._finish(item, attempt, tag_outcomes.settled(history, item))
        for item in self.job.items(WRITTEN):
            self._after(item)

    # --- one tag

    def _one(self, uid: bytes) -> None:
        began = self.monotonic()
        item, refusal = self._item_for(uid)
        self._show("working", item, uid, step=personalise.STEPS[0])
        what = "refuse" if refusal else "write"
        attempt = self.job.begin(item.row if item else None, uid, what, self.now_ms())
        if refusal is not None or item is None:
            outcome = refusal or tag_outcomes.no_row(uid, [])
            self.job.end(attempt, outcome, self.now_ms())
        else:
            outcome = self._personalise(item, uid)
            other = self._other_row(item, outcome)
            if other is not None:
                self.job.move(attempt, self.job.of_row(item.row), other)
                item, outcome = other, self._personalise(other, uid)
            self._finish(item, attempt, outcome)
        seconds = self.monotonic() - began
        if outcome.good:
            self._pace.add(self.monotonic())
        self._show("done" if outcome.good else "wrong", item, uid, outcome=outcome, seconds=seconds)

    def _item_for(self, uid: bytes) -> tuple[JobItem | None, TagOutcome | None]:
        """Which item this tag gets, or why none."""
        own = self.job.of_uid(uid)
        if own is not None and own.state != WRITING:
            return own, tag_outcomes.duplicate(own, uid)
        if self.job.is_abandoned(uid):
            return None, tag_outcomes.abandoned(uid)
        if not self.keys.knows(uid):
            return own, tag_outcomes.no_keys(uid)
        item = own or self.job.next_waiting()
        return item, None if item else tag_outcomes.no_row(uid, self.job.items(WRITING))

    def _other_row(self, item: JobItem, outcome: TagOutcome) -> JobItem | None:
        """In a job with several chips: the first row that waits for the one which lies there."""
        if outcome.code != "wrong-chip" or outcome.chip is None or item.state != WAITING:
            return None
        return self.job.next_waiting(outcome.chip)

    def _personalise(self, item: JobItem, uid: bytes) -> TagOutcome:
        """Write the item, or go on where that broke off; a tag that only moved is tried again as it lies there."""

        def tell(step: str) -> None:
            self._show("working", item, uid, step=step)

        outcome = self._try(item, uid, tell)
        for _ in range(TRIES - 1):
            if outcome.code != "lost" or self._antenna.look(SENSE_S) != uid:
                break
            outcome = self._try(item, uid, tell)
        return outcome

    def _try(self, item: JobItem, uid: bytes, tell: Tell) -> TagOutcome:
        desk, history, order = self._desk(uid, tell), self.journal.history(uid), self.job.order(item)
        if history.stage == "writing" and tag_outcomes.is_of(history, order):
            return personalise.resume(desk)
        return personalise.write(desk, order)

    def _desk(self, uid: bytes, tell: Tell = silent) -> Desk:
        """For this tag and no other: a row, keys and a history were chosen for it."""
        return Desk(self._antenna.reader, self.keys, self.journal, tell, originality=self.originality, only=uid)

    def _finish(self, item: JobItem, attempt: int, outcome: TagOutcome) -> None:
        """The outcome and what it means for the item; then statement and keys."""
        now_ms = self.now_ms()
        if outcome.state in ("written", "locked"):
            changes = {"state": outcome.state, "uid": (outcome.uid or b"").hex(),
                       "epoch": outcome.epoch, "written_ms": now_ms}  # fmt: skip
            self.job.end(attempt, outcome, now_ms, changes)
            self._after(self.job.of_row(item.row))
        elif outcome.state == "refused" and item.state == WAITING:
            self.job.end(attempt, outcome, now_ms, tag_job.free())
        else:
            self.job.end(attempt, outcome, now_ms)

    def _after(self, item: JobItem) -> None:
        """Statement first, keys last: a crash in between leaves keys that the next start erases."""
        if self.signing is not None and item.sent_ms is None:
            self.signing.state(self.job, item)
            if self.sender is not None:
                self.sender.wake()
        if not self.job.head.will_lock and item.uid is not None:
            self.keys.finished(item.uid)

    def _look_at_post(self) -> None:
        """While no tag is there: what the ledger has meanwhile."""
        delivered = [] if self.sender is None else self.sender.collect()
        if delivered:
            note_sent(self.job, delivered, self.now_ms)
            self._show("waiting", self.job.next_waiting())

    def _two_tags(self) -> None:
        """Nothing is touched until one of them is gone."""
        item, outcome = self.job.next_waiting(), tag_outcomes.two_tags()
        attempt = self.job.begin(item.row if item else None, None, "refuse", self.now_ms())
        self.job.end(attempt, outcome, self.now_ms())
        self._show("wrong", item, outcome=outcome)

    def _wait_again(self) -> None:
        """What was wrong with the reader, or on it, is over."""
        self._show("waiting", self.job.next_waiting())

    def _open(self) -> bool:
        counts = self.job.counts()
        return counts[WAITING] + counts[WRITING] > 0

    def _show(self, kind: Kind, item: JobItem | None = None, uid: bytes | None = None, **more: object) -> None:
        self.view.show(Moment(kind, self.progress(), item, uid, **more))  # type: ignore[arg-type]

    def progress(self) -> Progress:
        counts = self.job.counts()
        return Progress(
            total=sum(counts.values()),
            written=sum(counts.values()) - counts[WAITING] - counts[WRITING],
            unfinished=counts[WRITING],
            rejects=self.job.rejects(),
            seconds_per_tag=self._pace.seconds,
            queued=self.job.queued(),
            sent=self.job.delivered(),
            refused=0 if self.sender is None else self.sender.refused,
        )


class Pace:
    """Seconds a tag over the last tags, changing hands included: what the time left is reckoned from."""

    def __init__(self, most: int = 20) -> None:
        self._times: list[float] = []
        self._most = most

    def add(self, at: float) -> None:
        self._times = [*self._times, at][-self._most - 1 :]

    @property
    def seconds(self) -> float | None:
        if len(self._times) < 2:
            return None
        return (self._times[-1] - self._times[0]) / (len(self._times) - 1)
