"""Tags that were begun or written, one after the other: verify, lock, resume, recover, reset, retire."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tallystick_chips import personalise
from tallystick_chips.personalise_desk import Desk
from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import TagOutcome
from tallystick_chips.tag_originality import NXP, Originality
from tallystick_provisioning.nfc import Reader
from tallystick_provisioning.nfc_antenna import Antenna
from tallystick_provisioning.screen_words import Words
from tallystick_tags import refusal_words, tag_job, tag_outcomes
from tallystick_tags.key_provider import JobKeys
from tallystick_tags.tag_context import now_ms
from tallystick_tags.tag_job import LOCKED, WRITTEN, Job, JobItem
from tallystick_tags.tag_sender import Sender
from tallystick_tags.tag_signing import note_sent

WORKS: Mapping[str, Callable[[Desk], TagOutcome]] = {
    "verify": personalise.verify,
    "lock": personalise.lock,
    "resume": personalise.resume,
    "recover": personalise.recover,
    "reset": personalise.reset,
    "retire": personalise.retire,
}


@dataclass
class Pass:
    """Tags of a job on a reader, one after the other."""

    job: Job
    open_reader: Callable[[], Reader]
    keys: JobKeys
    journal: Journal
    say: Callable[[str], None]
    originality: Originality = NXP
    dry_run: bool = False  # look, say, and write nothing
    sender: Sender | None = None
    words: Words = field(default_factory=lambda: Words("en"))
    _antenna: Antenna = field(init=False)
    _desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        two = self.words["two"]
        self._antenna = Antenna(
            self.open_reader, self._lost, lambda: self.say(two), idle=self._look_at_post, back=self._back
        )
        self._desk = Desk(self._antenna.reader, self.keys, self.journal, originality=self.originality)

    def __enter__(self) -> "Pass":
        self._antenna.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._antenna.close()

    def one(self, what: str, patience_s: float | None, expected: JobItem | None = None) -> TagOutcome:
        """The next tag that is put down; a `no-tag` outcome when none comes."""
        uid = self._antenna.wait_for_tag(patience_s)
        if uid is None:
            outcome = tag_outcomes.no_tag()
            self.say(sentence(None, None, outcome, self.words))
            return outcome
        return self._work(what, uid, expected)

    def all(self, what: str, patience_s: float | None, is_open: Callable[[], bool]) -> list[TagOutcome]:
        """One tag after the other while `is_open`; every outcome is said."""
        outcomes: list[TagOutcome] = []
        uid: bytes | None = None
        with contextlib.suppress(KeyboardInterrupt):  # how a person ends it: what is done is done
            while is_open():
                uid = uid or self._antenna.wait_for_tag(patience_s)
                if uid is None:
                    break
                outcomes.append(self._work(what, uid, None))
                done, uid = uid, self._antenna.wait_for_removal(uid, patience_s) if is_open() else None
                if uid == done:
                    break  # nobody stands there to take it away
        return outcomes

    def wait_for_removal(self, outcome: TagOutcome, patience_s: float | None) -> None:
        """Until the tag of that outcome is gone."""
        if outcome.uid is not None:
            self._antenna.wait_for_removal(outcome.uid, patience_s)

    def _lost(self, why: str) -> None:
        self.say(why if self.words.language == "en" else self.words["reader"])

    def _back(self, what: str) -> None:
        self.say(what if self.words.language == "en" else self.words["back"])

    def _look_at_post(self) -> None:
        if self.sender is not None:
            note_sent(self.job, self.sender.collect(), now_ms)

    def _work(self, what: str, uid: bytes, expected: JobItem | None) -> TagOutcome:
        own, self._desk.only = self.job.of_uid(uid), uid
        if self.dry_run:
            outcome = self._refusal(uid, own, expected) or self._look_at(what, own, uid)
            self.say(sentence(own, uid, outcome, self.words))
            return outcome
        attempt = self.job.begin(own.row if own else None, uid, what, now_ms())
        outcome = self._refusal(uid, own, expected) or self._personalise(what, own)
        self.job.end(attempt, outcome, now_ms(), _changes(what, own, outcome))
        if own is not None and outcome.good:
            self._settle(what, own, uid)
        self.say(sentence(own, uid, outcome, self.words))
        return outcome

    def _look_at(self, what: str, own: JobItem | None, uid: bytes) -> TagOutcome:
        """What would be done: a tag that is to be locked is checked as it will be then; others have their journal."""
        if what in ("lock", "verify"):
            return self._personalise("verify", own)
        stage = self.journal.history(uid).stage
        return TagOutcome("planned", "dry-run", f"would {what} it; its journal says {stage}", "", uid=uid)

    def _personalise(self, what: str, own: JobItem | None) -> TagOutcome:
        if what == "verify" and own is not None:
            return personalise.verify(self._desk, order=self.job.order(own))
        return WORKS[what](self._desk)

    def _refusal(self, uid: bytes, own: JobItem | None, expected: JobItem | None) -> TagOutcome | None:
        if expected is not None and (own is None or own.row != expected.row):
            return tag_outcomes.other_item(uid, own, expected)
        return None if self.keys.knows(uid) else tag_outcomes.no_keys(uid)

    def _settle(self, what: str, own: JobItem, uid: bytes) -> None:
        """What an outcome means beyond the item's row."""
        if what == "lock":
            self.keys.finished(uid)
        elif what == "retire":
            self.job.give_up(uid, own.row, now_ms())


def _changes(what: str, own: JobItem | None, outcome: TagOutcome) -> Mapping[str, object] | None:
    """The item's new columns."""
    if own is None or not outcome.good:
        return None
    if outcome.state in ("factory", "retired"):
        return tag_job.free()
    if outcome.state in (WRITTEN, LOCKED) and what != "verify":
        return {"state": outcome.state, "epoch": outcome.epoch} | (
            {"written_ms": now_ms()} if own.written_ms is None else {}
        )
    return None


def sentence(own: JobItem | None, uid: bytes | None, outcome: TagOutcome, words: Words) -> str:
    """One line about one tag."""
    if words.language == "en":
        who = f"row {own.row}, serial {own.item.serial}, " if own else ""
        tag = f"tag {uid.hex().upper()}" if uid else "no tag"
        action = "" if outcome.good else f"; {outcome.next_action}"
        return f"{who}{tag}: {outcome.state} ({outcome.code}): {outcome.reason}{action}"
    who = f"{words['row']} {own.row}，{words['serial']} {own.item.serial}，" if own else ""
    tag = f"{words['tag']} {uid.hex().upper() if uid else '-'}"
    told = f"{who}{tag}：{words[f'is_{outcome.state}']}"
    if outcome.good:
        return told
    return f"{told} ({outcome.code})：{'；'.join(refusal_words.of_outcome(outcome, words.language))}"
