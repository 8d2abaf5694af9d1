"""Give a tag its identity, and everything around it: resume, recover, verify, lock, reset, retire.

    sense -> identify -> signature -> duplicate? -> journal -> link, keys, settings -> sense again -> verify -> journal

The journal is written before the tag is touched, so its stage is the truth about every tag that was ever begun: a run
that breaks off leaves "writing", and `resume` (forwards) or `recover` (wholly ours, or back to the factory) ends it.
What a tag or a reader does never raises here: it becomes a TagOutcome with a reason and the next action.
"""

from tallystick_chips import tag_link
from tallystick_chips.errors import SunError, TagRefused
from tallystick_chips.personalise_desk import BEGUN, Desk, guarded
from tallystick_chips.personalise_work import Tapped, Work
from tallystick_chips.tag_journal import History, Stage
from tallystick_chips.tag_order import CHIPS, DuplicateCheck, State, TagOrder, TagOutcome
from tallystick_provisioning.errors import TagAnswerError, TagStatusError

STEPS = ("identify", "signature", "duplicate", "write", "keys", "settings", "container", "verify", "lock")


def _nobody(uid: bytes) -> str | None:
    return None


@guarded
def write(desk: Desk, order: TagOrder, *, duplicate: DuplicateCheck = _nobody, dry_run: bool = False) -> TagOutcome:
    """Write `order` to the factory-fresh tag on the reader; with `dry_run` say whether it could be, and only read."""
    link = tag_link.build(order)  # before any tag is asked: a link too long touches nothing
    work = desk.find()
    if work.chip != order.chip:
        raise TagRefused(
            "wrong-chip",
            f"this is an {CHIPS[work.chip]}, the job wants {CHIPS[order.chip]}",
            "take the other tag",
            f"{CHIPS[work.chip]} ≠ {CHIPS[order.chip]}",
        )
    desk.tell("signature")
    work.check_signature()
    desk.tell("duplicate")
    _refuse_known(desk.history(), duplicate(work.bench.uid))
    work.check_factory()
    if dry_run:
        return desk.outcome("planned", "nothing is against it", "write it", code="would-write")
    desk.note(
        "begin",
        chip=order.chip,
        host=order.host,
        gtin=order.item.gtin,
        serial=order.item.serial,
        version=desk.keys.version,
    )
    # A crash from here on: the journal says "writing", whatever the tag has heard.
    work.make_ours(link, desk.history())
    return _finish(desk, order)


@guarded
def resume(desk: Desk) -> TagOutcome:
    """Go on forwards with whatever the journal says was begun on the tag on the reader."""
    work = desk.find()
    history = desk.history()
    order, link = _order_of(desk, history)
    if history.stage == "writing":
        work.make_ours(link, history)
        return _finish(desk, order)
    if history.stage == "locking":
        return _lock(desk, work, order, link)
    if history.stage == "resetting":
        return _reset(desk, work, link)
    if history.stage == "retiring":
        return _retire(desk, work, link)
    raise TagRefused("nothing-begun", f"nothing is unfinished: the tag is {_STAGES[history.stage]}", "take it away")


@guarded
def recover(desk: Desk) -> TagOutcome:
    """After anything went wrong: the tag ends wholly ours, or as from the factory, and the journal says which."""
    work = desk.find()
    history = desk.history()
    if history.stage in ("new", "factory"):
        work.check_factory()
        return desk.outcome("factory", "the tag is as from the factory", "write it")
    order, link = _order_of(desk, history)
    if history.stage in ("locking", "locked"):
        return _lock(desk, work, order, link)
    if history.stage in ("retiring", "retired"):
        return _retire(desk, work, link)
    # A finished tag is looked at twice: one damaged answer on the air must not cost an item its identity.
    for _ in range(2 if history.stage == "written" else 1):
        try:
            return _written(desk, _check(work, order, link, history))
        except (TagRefused, TagStatusError, TagAnswerError, SunError):
            work = desk.find()
    if history.stage == "written":
        _refuse_blank_copy(work)
    return _reset(desk, work, link)


@guarded
def verify(desk: Desk, *, order: TagOrder | None = None) -> TagOutcome:
    """Read the tag as a phone does, then check link, keys and settings; with `order` it must be that item's tag."""
    work = desk.find()
    history = desk.history()
    if order is None and history.order is None:
        raise TagRefused("unknown", "no journal here knows this tag", "verify it where it was written")
    expected = order or _order_of(desk, history)[0]
    tapped = _check(work, expected, tag_link.build(expected), history)
    state: State = "locked" if history.stage in ("locking", "locked") else "written"
    return desk.outcome(state, "link, keys and settings hold", "take it away", tapped)


@guarded
def lock(desk: Desk) -> TagOutcome:
    """The second pass, for good: nobody can change the link of this written tag any more, we neither."""
    work = desk.find()
    history = desk.history()
    if history.stage not in ("written", "locking", "locked"):
        raise TagRefused("not-written", f"the tag is {_STAGES[history.stage]}", "lock tags that are written")
    order, link = _order_of(desk, history)
    if history.stage == "written":
        _check(work, order, link, history)
        work = desk.find()
    return _lock(desk, work, order, link)


@guarded
def reset(desk: Desk) -> TagOutcome:
    """Back to the factory, as far as the chip allows: not after lock, and a switched-on seal loop stays on."""
    work = desk.find()
    history = desk.history()
    if history.stage not in ("writing", "written", "resetting"):
        raise TagRefused("not-written", f"the tag is {_STAGES[history.stage]}", "there is nothing to take back")
    return _reset(desk, work, _order_of(desk, history)[1])


@guarded
def retire(desk: Desk) -> TagOutcome:
    """For good: emptied where it is not locked, and its keys replaced by random ones that nobody keeps."""
    work = desk.find()
    return _retire(desk, work, _order_of(desk, desk.history())[1])


# --- ends


def _finish(desk: Desk, order: TagOrder) -> TagOutcome:
    """After a fresh activation the tag must say, as a phone hears it, what was ordered."""
    work = desk.again()
    tapped = _check_link(work, order)
    if tapped.seal not in (None, "closed"):
        raise TagRefused("seal", f"the seal loop is {tapped.seal}", "set it aside: the tag is damaged; run reset")
    return _written(desk, tapped)


def _written(desk: Desk, tapped: Tapped) -> TagOutcome:
    desk.note("written", counter=tapped.counter)
    return desk.outcome("written", "written and verified", "take it away", tapped)


def _lock(desk: Desk, work: Work, order: TagOrder, link: tag_link.Link) -> TagOutcome:
    desk.note("lock")
    work.lock(link, desk.history())
    again = desk.again()
    tapped = _check_link(again, order)
    again.check_all(link, desk.history(), True)
    desk.note("locked")
    return desk.outcome("locked", "locked for good, and verified", "take it away", tapped)


def _reset(desk: Desk, work: Work, link: tag_link.Link) -> TagOutcome:
    desk.note("reset")
    work.make_factory(link, desk.history())
    desk.again().check_factory(every_key=True)
    desk.note("factory")
    return desk.outcome("factory", "the tag is as from the factory", "write it, or take it away")


def _retire(desk: Desk, work: Work, link: tag_link.Link) -> TagOutcome:
    desk.note("retire")
    remains = work.retire(link, desk.history())
    desk.note("retired")
    return desk.outcome("retired", f"retired: {remains}", "take it off its item")


def _check(work: Work, order: TagOrder, link: tag_link.Link, history: History) -> Tapped:
    """The link first: that is what a phone does in a fresh activation. Then all that only the keys' owner can see."""
    tapped = _check_link(work, order)
    work.check_all(link, history, history.stage in ("locking", "locked"))
    return tapped


def _check_link(work: Work, order: TagOrder) -> Tapped:
    read = work.read()
    if not tag_link.names(read, order.host, order.item):
        raise TagRefused(
            "other-item",
            f"the tag names {read.host}{read.path}, not {order.host}{order.item.path}",
            "this tag belongs to another item: find the tag of this one",
            f"{read.path.rpartition('/')[2]} ≠ {order.item.serial}",
        )
    return work.check_link(read)


# --- parts


def _refuse_known(history: History, duplicate: str | None) -> None:
    if history.stage in ("retired", "retiring"):
        raise TagRefused("retired", "this tag was retired", "destroy it")
    if history.stage not in ("new", "factory"):
        order = history.order
        what = "another item" if order is None else f"{order.item.gtin} {order.item.serial}"
        action = "run resume or recover" if history.stage in BEGUN else "take another tag, or reset this one"
        raise TagRefused("duplicate", f"this tag is already {what} ({_STAGES[history.stage]})", action)
    if duplicate is not None:
        raise TagRefused("duplicate", duplicate, "take another tag")


def _refuse_blank_copy(work: Work) -> None:
    """A finished tag does not become blank by itself: giving its row free would make two genuine tags of one item."""
    try:
        work.check_factory()
    except TagRefused:
        return
    raise TagRefused(
        "copy", "the tag with this UID has its item, and this one is blank: a copy, or reset elsewhere", "set it aside"
    )


def _order_of(desk: Desk, history: History) -> tuple[TagOrder, tag_link.Link]:
    """What the journal says was ordered; refused when it knows nothing, or other keys."""
    if history.order is None:
        raise TagRefused("unknown", "no journal here knows this tag", "take it to where it was written")
    if history.key_version != desk.keys.version:
        raise TagRefused(
            "other-keys",
            f"the tag was begun with keys of version {history.key_version}, these are of version {desk.keys.version}",
            "give the keys of that job",
        )
    return history.order, tag_link.build(history.order)


_STAGES: dict[Stage, str] = {
    "new": "not written",
    "writing": "half written",
    "written": "written",
    "locking": "half locked",
    "locked": "locked",
    "resetting": "half reset",
    "factory": "as from the factory",
    "retiring": "half retired",
    "retired": "retired",
}
