"""What the loop itself has to say about a tag, in the words of a TagOutcome: reason and next action. Pure."""

from collections.abc import Sequence

from tallystick_chips.an10922 import UID_BYTES
from tallystick_chips.tag_journal import History
from tallystick_chips.tag_order import TYPE2_CHIPS, TagOrder, TagOutcome
from tallystick_tags.tag_job import JobItem

_MAX_NAMED = 3  # rows in one sentence


def duplicate(own: JobItem, uid: bytes) -> TagOutcome:
    """A tag of this job that is done."""
    reason = f"this tag is row {own.row} already: serial {own.item.serial}"
    facts = f"{own.row}: {own.item.serial}"
    return TagOutcome("refused", "duplicate", reason, "take another tag", uid=uid, facts=facts)


def abandoned(uid: bytes) -> TagOutcome:
    """A tag whose row was given to another one."""
    return TagOutcome(
        "refused", "abandoned", "this tag was given up: its row went to another one",
        "`tallystick tag reset` makes it blank where it can; else throw it away", uid=uid,
    )  # fmt: skip


def no_keys(uid: bytes) -> TagOutcome:
    """A sealed job holds the keys of its own tags only, and nobody has keys for a UID that changes at each tap."""
    if len(uid) != UID_BYTES:
        reason = f"the tag tells a random UID of {len(uid)} bytes"
        return TagOutcome("refused", "random-uid", reason, "take a tag that tells its own UID", uid=uid)
    return TagOutcome(
        "refused", "no-keys", "the sealed job has no keys for this tag", "take a tag of the job's list", uid=uid
    )


def other_item(uid: bytes, own: JobItem | None, expected: JobItem) -> TagOutcome:
    """The label that was scanned and the tag that was tapped are not of one item."""
    found = "no tag of this job" if own is None else f"the tag of row {own.row}, serial {own.item.serial}"
    reason = f"the label says serial {expected.item.serial} (row {expected.row}), this is {found}"
    facts = f"{expected.item.serial} ≠ {'-' if own is None else own.item.serial}"
    action = "take label and tag apart and find their own"
    return TagOutcome("refused", "other-item", reason, action, uid=uid, facts=facts)


def no_row(uid: bytes, unfinished: Sequence[JobItem]) -> TagOutcome:
    """Every row has its tag; some of those tags have to come back."""
    named = [(item.row, (item.uid or b"").hex().upper()) for item in unfinished[:_MAX_NAMED]]
    rows = ", ".join(f"row {row} (tag {tag})" for row, tag in named)
    wanted = f"put down the tag of {rows}" if rows else "stop: nothing is left to write"
    facts = ", ".join(f"{row}: {tag}" for row, tag in named)
    return TagOutcome("refused", "no-row", "no row is waiting for a new tag", wanted, uid=uid, facts=facts)


def no_tag() -> TagOutcome:
    return TagOutcome("refused", "no-tag", "no tag was put down", "put one down")


def two_tags() -> TagOutcome:
    return TagOutcome("refused", "two-tags", "more than one tag on the reader", "leave one and move the others away")


def is_of(history: History, order: TagOrder) -> bool:
    """Whether the journal's last order is this row of this job."""
    return history.order == order


def settled(history: History, item: JobItem) -> TagOutcome:
    """A tag that was written and read back before the computer stopped."""
    return TagOutcome(
        "written", "done", "was written before the computer stopped", "", uid=item.uid, chip=item.chip,
        key_version=history.key_version, epoch=history.epoch, copyable=item.chip in TYPE2_CHIPS,
    )  # fmt: skip
