"""The desk at which tags are worked on, one after the other, and how whatever breaks off becomes an outcome."""

import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec

from tallystick_chips.errors import JournalError, OrderError, SunError, TagRefused
from tallystick_chips.ntag21x import LAYOUTS, Ntag21x, layout_of
from tallystick_chips.ntag424 import Ntag424
from tallystick_chips.personalise_21x import Work21x
from tallystick_chips.personalise_424 import Work424
from tallystick_chips.personalise_work import Bench, Ring, Tapped, Work
from tallystick_chips.tag_journal import History, Journal, Stage
from tallystick_chips.tag_order import TYPE2_CHIPS, Chip, State, TagKeys, TagOutcome, Tell
from tallystick_chips.tag_originality import NXP, Originality
from tallystick_provisioning import nfc
from tallystick_provisioning.errors import (
    ItemError,
    NfcError,
    ReaderLost,
    TagAnswerError,
    TagLost,
    TagStatusError,
    TagTimeout,
    TwoTags,
)

WAIT_S = 5.0
BEGUN: tuple[Stage, ...] = ("writing", "locking", "resetting", "retiring")
_UID_BYTES = 7
Options = ParamSpec("Options")


def silent(step: str) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Desk:
    """The reader, what the work needs, and the tag that was found last.

    `only`: the tag that somebody chose and looked at; another one that lies there now is left alone.
    """

    reader: nfc.Reader
    keys: TagKeys
    journal: Journal
    tell: Tell = silent
    wait_s: float = WAIT_S
    originality: Originality = NXP
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    only: bytes | None = None
    uid: bytes | None = None
    chip: Chip | None = None

    def find(self) -> Work:
        """The tag on the reader, freshly activated and identified; once one was found or chosen, only that one."""
        self.tell("identify")
        tag = self.reader.sense(self.wait_s)
        if tag is None:
            raise TagRefused("no-tag", "no tag on the reader", "put a tag on the reader")
        self._refuse_another(tag)
        return self._work(tag, None)

    def again(self) -> Work:
        """The same tag after a fresh activation."""
        self.tell("verify")
        tag = self.reader.sense(self.wait_s)
        if tag is None:
            raise TagLost("the tag left the reader before it was verified")
        self._refuse_another(tag)
        return self._work(tag, self.chip)

    def _refuse_another(self, tag: nfc.Tag) -> None:
        """What was looked at is what is changed: a lock or a reset of whatever lies there now is not taken back."""
        if self.uid is not None and tag.uid != self.uid:
            raise swapped(self.uid, tag.uid)

    def _work(self, tag: nfc.Tag, known: Chip | None) -> Work:
        """`known`: what it was in an earlier activation; asked again only when it is not."""
        if len(tag.uid) != _UID_BYTES:
            raise TagRefused("wrong-chip", f"a UID of {len(tag.uid)} bytes", "take a tag of the job's kind")
        self.uid = tag.uid
        ring = Ring.of(self.keys, tag.uid)
        bench = Bench(tag.uid, ring, self.journal, self.tell, self.originality, self.random_bytes)
        if known is not None and (known in TYPE2_CHIPS) != (tag.family == nfc.TYPE2):
            raise TagRefused("signature", "the tag is of two kinds", "set it aside: it is not genuine")
        if tag.family == nfc.TYPE2:
            page_tag = Ntag21x(tag)
            self.chip = known or _kind_21x(page_tag)
            return Work21x(page_tag, bench, LAYOUTS[self.chip])
        file_tag = Ntag424(tag, self.random_bytes)
        file_tag.select()
        self.chip = known or _kind_424(file_tag, tag.uid)
        return Work424(file_tag, bench, self.chip)

    def history(self) -> History:
        """What the journal says of the tag that was found."""
        return History() if self.uid is None else self.journal.history(self.uid)

    def note(self, event: str, **values: int | str) -> None:
        """Journal something of the tag that was found; durable when it returns."""
        if self.uid is None:
            raise TagLost("no tag was found")
        self.journal.append(self.uid, event, **values)

    def outcome(
        self, state: State, reason: str, next_action: str, tapped: Tapped | None = None, code: str = "done",
        facts: str = "",
    ) -> TagOutcome:  # fmt: skip
        """What there is to say about the tag, with what the journal knows of it."""
        history = self.history()
        return TagOutcome(
            state=state,
            code=code,
            reason=reason,
            next_action=next_action,
            uid=self.uid,
            chip=self.chip,
            url=None if tapped is None else tapped.url,
            counter=None if tapped is None else tapped.counter,
            key_version=history.key_version,
            epoch=history.epoch or None,
            copyable=self.chip in TYPE2_CHIPS,
            seal=None if tapped is None else tapped.seal,
            facts=facts,
        )


def guarded(
    work: Callable[Concatenate[Desk, Options], TagOutcome],
) -> Callable[Concatenate[Desk, Options], TagOutcome]:
    """A decorator for what is done at a desk with the next tag: however it breaks off, there is an outcome."""

    @functools.wraps(work)
    def run(desk: Desk, /, *arguments: Options.args, **options: Options.kwargs) -> TagOutcome:
        desk.uid, desk.chip = desk.only, None
        try:
            return work(desk, *arguments, **options)
        except (TagRefused, NfcError, SunError, ItemError, OrderError, JournalError) as error:
            return _broken_off(desk, error)

    return run


def _kind_21x(tag: Ntag21x) -> Chip:
    layout = layout_of(tag.version())
    if layout is None:
        raise TagRefused("wrong-chip", "no NTAG213, NTAG215 or NTAG216", "take a tag of the job's kind")
    return layout.chip


def _kind_424(tag: Ntag424, uid: bytes) -> Chip:
    version = tag.version()
    if not version.is_ntag424:
        raise TagRefused("wrong-chip", "no NTAG 424 DNA", "take a tag of the job's kind")
    if version.uid != uid:
        raise TagRefused("signature", "the tag tells two different UIDs", "set it aside: it is not genuine")
    return "ntag424tt" if version.has_seal else "ntag424"


def swapped(wanted: bytes | None, found: bytes) -> TagRefused:
    """Another tag lies where ours did."""
    was = "the tag" if wanted is None else f"tag {wanted.hex().upper()}"
    return TagRefused(
        "swapped",
        f"{was} was taken away and {found.hex().upper()} put in its place",
        f"put {was} back on the reader and run resume or recover",
        "" if wanted is None else f"{wanted.hex().upper()} ≠ {found.hex().upper()}",
    )


def _broken_off(desk: Desk, error: Exception) -> TagOutcome:
    """refused when the journal has nothing open for this tag, else unfinished: half-written is never silent."""
    try:
        begun = desk.history().stage in BEGUN
        if begun and isinstance(error, (TagLost, TagTimeout)):
            error = _look_again(desk) or error
        code, reason, action = _explain(error)
        if not begun and code == "swapped":
            action = "leave one tag on the reader until it is done"
        elif begun and code == "foreign-keys":
            action = "set it aside and release its row: a key of others is in it"
        elif begun and code not in ("swapped", "two-tags", "reader", "seal", "other-keys"):
            action = "put the same tag on the reader and run resume or recover"
        facts = error.facts if isinstance(error, TagRefused) else ""
        return desk.outcome("unfinished" if begun else "refused", reason, action, code=code, facts=facts)
    except JournalError as journal_error:
        return TagOutcome(
            "unfinished", "journal", str(journal_error), "write no more tags before it is mended", desk.uid, desk.chip
        )


def _look_again(desk: Desk) -> Exception | None:
    """Why a tag fell silent: another one lies there now, or two do. None when it cannot be seen."""
    try:
        tag = desk.reader.sense(0.0)
    except TwoTags as error:
        return error
    except NfcError:
        return None
    return None if tag is None or tag.uid == desk.uid else swapped(desk.uid, tag.uid)


def _explain(error: Exception) -> tuple[str, str, str]:
    """(code, reason, next action)."""
    if isinstance(error, TagRefused):
        return error.code, str(error), error.next_action
    for kind, code, action in _EXPLAINED:
        if isinstance(error, kind):
            return code, str(error), action
    raise error


_EXPLAINED: tuple[tuple[type[Exception], str, str], ...] = (
    (TwoTags, "two-tags", "leave one tag on the reader"),
    (ReaderLost, "reader", "plug the reader in again, then run resume or recover if a tag was half written"),
    (TagLost, "lost", "hold the tag still on the reader and try again"),
    (TagTimeout, "lost", "hold the tag still on the reader and try again"),
    (TagStatusError, "answer", "set it aside"),
    (TagAnswerError, "answer", "set it aside: it does not speak as such a chip does"),
    (SunError, "verify", "run recover on this tag"),
    (OrderError, "too-long", "change the row"),
    (ItemError, "order", "change the row"),
    (JournalError, "journal", "write no more tags before it is mended"),
)
