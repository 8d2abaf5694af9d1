"""The reader drops out and the power fails at every single command to a tag: nothing is lost, nothing goes unsaid."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from personalise_support import UID, Desk

from tallystick_chips import personalise
from tallystick_chips.tag_order import Chip, TagOutcome
from tallystick_emulators.tag_field import Moment, Part

KINDS: list[object] = [
    "ntag215",
    "ntag424",
    "ntag424tt",
    pytest.param("ntag213", marks=pytest.mark.full),
    pytest.param("ntag216", marks=pytest.mark.full),
]
every_kind = pytest.mark.parametrize("chip", KINDS)
every_cut = pytest.mark.parametrize(
    ("part", "moment"),
    [("power", "before"), ("power", "after"), ("power", "torn"), ("reader", "before"), ("reader", "after")],
    ids=["power-before", "power-after", "power-torn", "reader-before", "reader-after"],
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a folder: thousands of fsyncs say nothing here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as name:
        yield Path(name)


def count(desk: Desk, command: Callable[[], TagOutcome], state: str) -> int:
    """How many commands it takes when nothing fails."""
    before = desk.air.commands
    outcome = command()
    assert outcome.state == state, outcome
    assert not desk.reader.violations
    return desk.air.commands - before


def cut_off(desk: Desk, at: int, moment: Moment, part: Part, command: Callable[[], TagOutcome]) -> TagOutcome:
    """Run `command` while its command number `at` fails; what it says must be what the journal says."""
    desk.air.cut(at, moment, part)
    outcome = command()
    assert not desk.air.uncut(), "the cut never happened"
    stage = desk.journal.history(UID).stage
    half = stage in ("writing", "locking", "resetting", "retiring")
    assert outcome.state == ("unfinished" if half else "refused"), (at, outcome, stage)
    assert outcome.code == ("reader" if part == "reader" else "lost"), (at, outcome)
    assert not half or "resume or recover" in outcome.next_action
    desk.plug_in()
    return outcome


def wholly_ours(desk: Desk) -> None:
    """The product's own check and the emulated tag's memory agree."""
    outcome = desk.run(personalise.verify)
    assert outcome.state == "written", outcome
    assert desk.journal.history(UID).stage == "written"


def factory_fresh(desk: Desk) -> None:
    """Fresh enough to be written like any new tag."""
    assert desk.journal.history(UID).stage in ("factory", "new")
    outcome = desk.write()
    assert outcome.state == "written", outcome


@every_kind
@every_cut
def test_recover_after_a_cut_at_every_command(folder: Path, chip: Chip, part: Part, moment: Moment) -> None:
    """`recover` ends with a tag that is wholly ours or factory-fresh, and the journal says which."""
    whole = Desk(folder / "whole", chip)
    ends = set()
    for at in range(count(whole, whole.write, "written")):
        desk = Desk(folder / str(at), chip)
        cut_off(desk, at, moment, part, desk.write)
        outcome = desk.run(personalise.recover)
        ends.add(outcome.state)
        assert outcome.state in ("written", "factory"), (at, outcome)
        (wholly_ours if outcome.state == "written" else factory_fresh)(desk)
        assert not desk.reader.violations, at
    assert ends == {"written", "factory"}


@every_kind
@pytest.mark.parametrize("moment", ["before", "after", "torn"])
def test_resume_after_a_cut_at_every_command(folder: Path, chip: Chip, moment: Moment) -> None:
    """`resume` goes on forwards: whatever was begun ends as what was ordered."""
    whole = Desk(folder / "whole", chip)
    for at in range(count(whole, whole.write, "written")):
        desk = Desk(folder / str(at), chip)
        cut_off(desk, at, moment, "power", desk.write)
        begun = desk.journal.history(UID).stage == "writing"
        outcome = desk.run(personalise.resume)
        if begun:
            assert outcome.state == "written", (at, outcome)
            wholly_ours(desk)
        else:
            assert (outcome.state, outcome.code) == ("refused", "unknown"), (at, outcome)
        assert not desk.reader.violations, at


@every_kind
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cut_at_every_command_of_a_reset(folder: Path, chip: Chip, moment: Moment) -> None:
    whole = Desk(folder / "whole", chip)
    count(whole, whole.write, "written")
    for at in range(count(whole, lambda: whole.run(personalise.reset), "factory")):
        desk = Desk(folder / str(at), chip)
        count(desk, desk.write, "written")
        cut_off(desk, at, moment, "power", lambda desk=desk: desk.run(personalise.reset))  # type: ignore[misc]
        outcome = desk.run(personalise.recover)
        assert outcome.state in ("written", "factory"), (at, outcome)
        (wholly_ours if outcome.state == "written" else factory_fresh)(desk)
        assert not desk.reader.violations, at


@every_kind
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cut_at_every_command_of_a_lock(folder: Path, chip: Chip, moment: Moment) -> None:
    """A lock cannot be taken back, so it is finished."""
    whole = Desk(folder / "whole", chip)
    count(whole, whole.write, "written")
    for at in range(count(whole, lambda: whole.run(personalise.lock), "locked")):
        desk = Desk(folder / str(at), chip)
        count(desk, desk.write, "written")
        cut_off(desk, at, moment, "power", lambda desk=desk: desk.run(personalise.lock))  # type: ignore[misc]
        assert desk.run(personalise.lock).state == "locked", at
        assert desk.run(personalise.verify).state == "locked"
        assert not desk.reader.violations, at


@every_kind
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cut_at_every_command_of_a_retirement(folder: Path, chip: Chip, moment: Moment) -> None:
    whole = Desk(folder / "whole", chip)
    count(whole, whole.write, "written")
    for at in range(count(whole, lambda: whole.run(personalise.retire), "retired")):
        desk = Desk(folder / str(at), chip)
        count(desk, desk.write, "written")
        cut_off(desk, at, moment, "power", lambda desk=desk: desk.run(personalise.retire))  # type: ignore[misc]
        outcome = desk.run(personalise.retire)
        assert outcome.state == "retired", (at, outcome)
        assert not desk.run(personalise.verify).good
        assert not desk.write().good
        assert not desk.reader.violations, at


@every_kind
def test_no_key_is_written_before_it_is_journalled(folder: Path, chip: Chip) -> None:
    """Nor anything else: the reader looks into the journal before each command that changes a tag."""
    for last in (personalise.lock, personalise.reset, personalise.retire):
        desk = Desk(folder / last.__name__, chip)
        assert desk.write().good
        assert desk.run(last).good
        assert desk.reader.violations == []
        changed = {record["number"] for record in desk.journal.records(UID) if record["event"] == "key"}
        assert changed == ({0, 1, 2, 3, 4} if chip.startswith("ntag424") else {5})


@every_kind
def test_two_cuts_in_a_row(folder: Path, chip: Chip) -> None:
    """The recovery is cut off as well, at every command, and recovered again."""
    whole = Desk(folder / "whole", chip)
    middle = count(whole, whole.write, "written") * 2 // 3
    at = 0
    while True:
        desk = Desk(folder / str(at), chip)
        cut_off(desk, middle, "after", "power", desk.write)
        desk.air.cut(at, "after", "power")
        first = desk.run(personalise.recover)
        if desk.air.uncut():
            break  # it took fewer commands than that
        assert not first.good
        desk.plug_in()
        outcome = desk.run(personalise.recover)
        assert outcome.state in ("written", "factory"), (at, outcome)
        (wholly_ours if outcome.state == "written" else factory_fresh)(desk)
        assert not desk.reader.violations, at
        at += 1
    assert at > 5
