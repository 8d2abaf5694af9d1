"""The loop over a job's tags, on emulated tags in this process: written, refused, interrupted."""

from pathlib import Path

import pytest
from job_support import CHIPS, lock_all, signing, written
from tag_support import EMULATED, GTIN, Hand, Hasty, blank, head, keys, make_job, run, uid

from tallystick_chips import personalise
from tallystick_chips.personalise_desk import Desk
from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import Chip
from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_provisioning.item import Item
from tallystick_provisioning.outbox import Outbox
from tallystick_tags import tag_job, tag_outcomes
from tallystick_tags.errors import JobError
from tallystick_tags.tag_job import Job
from tallystick_tags.tag_rows import Planned


@pytest.mark.parametrize("chip", CHIPS)
def test_each_tag_gets_the_next_item(tmp_path: Path, chip: Chip) -> None:
    with Job(make_job(tmp_path / "j", 3, chip)) as job:
        hand = Hand(Field(), [blank(chip, n) for n in range(3)])
        assert run(job, hand).go()
        assert written(job) == {f"S{n}": uid(n).hex() for n in range(3)}
        assert hand.codes == ["done"] * 3
        assert {moment.step for moment in hand.moments if moment.step} <= set(personalise.STEPS)
        assert (hand.moments[-1].progress.written, hand.moments[-1].progress.left) == (3, 0)


def test_what_a_tag_says_is_its_item(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        tag = blank("ntag424", 1)
        run(job, Hand(Field(), [tag])).go()
        reader, journal = EmulatedReader(Field(tag)), Journal(tmp_path / "journal")
        desk = Desk(reader, keys(), journal, originality=EMULATED)
        outcome = personalise.verify(desk, order=job.order(job.of_row(2)))
        assert (outcome.state, outcome.uid) == ("written", uid(1))


def test_a_duplicate_uid_is_refused_with_row_reason_and_next_action(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 2)) as job:
        same = blank("ntag424", 1)
        hand = Hand(Field(), [same, None, same, blank("ntag424", 2)])
        assert run(job, hand).go()
        assert hand.codes == ["done", "duplicate", "done"]
        assert written(job) == {"S0": uid(1).hex(), "S1": uid(2).hex()}
        refused = job.refused()[0]
        assert (refused["row"], refused["code"], refused["next_action"]) == (2, "duplicate", "take another tag")
        assert refused["reason"] == "this tag is row 2 already: serial S0"


def test_another_jobs_tag_is_refused(tmp_path: Path) -> None:
    """By its journal where that is shared, by its keys where it is not."""
    tags = [blank("ntag424", n) for n in range(3)]
    with Job(make_job(tmp_path / "one", 1)) as job:
        assert run(job, Hand(Field(), [tags[0]])).go()
    (tmp_path / "far").mkdir()
    for folder, code in ((tmp_path, "duplicate"), (tmp_path / "far", "foreign-keys")):
        with Job(make_job(folder / "two", 1)) as job:
            hand = Hand(Field(), [tags[0], tags[1] if code == "duplicate" else tags[2]])
            assert run(job, hand).go()
            assert hand.codes == [code, "done"]


def test_another_chip_is_refused(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1, "ntag215")) as job:
        hand = Hand(Field(), [blank("ntag424", 1), blank("ntag213", 2), blank("ntag215", 3)])
        assert run(job, hand).go()
        assert hand.codes == ["wrong-chip", "wrong-chip", "done"]
        assert job.rejects() == [("wrong-chip", 2)]


def test_a_job_of_several_chips_gives_each_tag_a_row_of_its_kind(tmp_path: Path) -> None:
    chips: list[Chip] = ["ntag424", "ntag215", "ntag424", "ntag213"]
    planned = [Planned(row, Item(GTIN, f"S{row}"), "", chip) for row, chip in enumerate(chips)]
    tag_job.create(tmp_path / "j", head(), planned)
    with Job(tmp_path / "j") as job:
        order: list[Chip] = ["ntag213", "ntag424", "ntag215", "ntag216", "ntag424"]
        hand = Hand(Field(), [blank(chip, n) for n, chip in enumerate(order)])
        assert run(job, hand).go()
        assert hand.codes == ["done", "done", "done", "wrong-chip", "done"]
        assert written(job) == {"S3": uid(0).hex(), "S0": uid(1).hex(), "S1": uid(2).hex(), "S2": uid(4).hex()}


def test_a_random_uid_is_called_by_its_name(tmp_path: Path) -> None:
    outcome = tag_outcomes.no_keys(bytes.fromhex("08010203"))
    assert (outcome.code, outcome.reason) == ("random-uid", "the tag tells a random UID of 4 bytes")


def test_two_tags_are_refused_once_until_one_is_gone(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        both = [blank("ntag424", 1), blank("ntag424", 2)]
        hand = Hand(Field(), [both, [both[1]]])
        assert run(job, hand).go()
        assert hand.codes == ["two-tags", "done"]
        assert job.refused()[0]["next_action"] == "leave one and move the others away"
        assert written(job) == {"S0": uid(2).hex()}


def test_a_locked_tag_is_refused(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "one", 1, "ntag215")) as job:
        tag = blank("ntag215", 1)
        run(job, Hand(Field(), [tag])).go()
        lock_all(job, Field(tag))
        assert job.counts()["locked"] == 1
    (tmp_path / "far").mkdir()
    with Job(make_job(tmp_path / "far" / "two", 1, "ntag215")) as job:
        hand = Hand(Field(), [tag])
        assert not run(job, hand).go()
        assert hand.codes[0] in ("locked", "foreign-keys")
        assert job.counts()["waiting"] == 1


def test_a_tag_swapped_in_mid_write_leaves_nothing_unreported(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        first, second = blank("ntag424", 1), blank("ntag424", 2)
        field = Field()

        class Swapping(Hand):
            def show(self, moment: object) -> None:
                super().show(moment)  # type: ignore[arg-type]
                if getattr(moment, "step", None) == "keys" and first in self.field.tags:
                    self.field.swap(second)

        hand = Swapping(field, [first])
        assert not run(job, hand).go()
        assert hand.codes[0] in ("swapped", "lost")
        assert [(item.state, item.uid) for item in job.items()] == [("writing", uid(1))]
        again = Hand(field, [second, first])
        assert run(job, again).go()
        assert again.codes[-1] == "done"
        assert written(job) == {"S0": uid(1).hex()}


@pytest.mark.parametrize("part", ["tag", "reader"])
def test_a_tag_that_is_taken_away_too_soon_is_finished_when_it_comes_again(tmp_path: Path, part: str) -> None:
    with Job(make_job(tmp_path / "j", 2)) as job:
        field, tags = (Hasty(20) if part == "tag" else Field()), [blank("ntag424", 1), blank("ntag424", 2)]
        hand = Hand(field, tags)
        if part == "reader":
            field.cut(20, "after", "reader")
        run(job, hand).go()
        assert hand.codes[0] != "done"
        assert job.counts() == {"waiting": 0, "writing": 1, "written": 1, "locked": 0}
        assert hand.moments[-1].progress.unfinished == 1
        again = Hand(field, [tags[0]])
        assert run(job, again).go()
        assert written(job) == {"S0": uid(1).hex(), "S1": uid(2).hex()}


def test_a_tag_that_moved_and_lies_there_again_is_tried_again(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        field = Field()
        hand = Hand(field, [blank("ntag424", 1)])
        field.cut(20, "after", "power")
        assert run(job, hand).go()
        assert hand.codes == ["done"]
        assert job.rejects() == []


def test_no_row_is_left_for_a_new_tag(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        job.begin(2, uid(1), "write", 1)
        Journal(tmp_path / "journal").append(
            uid(1), "begin", chip="ntag424", host="item.example", gtin=GTIN, serial="S0", version=1
        )
        hand = Hand(Field(), [blank("ntag424", 2), blank("ntag424", 1)])
        assert run(job, hand).go()
        assert hand.codes == ["no-row", "done"]
        assert "put down the tag of row 2 (tag 04000000000001)" in job.refused()[0]["next_action"]


def test_an_item_that_was_bound_and_not_begun_is_free_again(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        job.begin(2, uid(1), "write", 1)
        assert run(job, Hand(Field(), [blank("ntag424", 2)])).go()
        assert written(job) == {"S0": uid(2).hex()}


def test_a_tag_that_was_done_when_the_computer_stopped_counts(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        run(job, Hand(Field(), [blank("ntag424", 1)])).go()
        job.change(2, state="writing", written_ms=None)  # as before the last transaction
        assert run(job, Hand(Field(), []), signing=signing(tmp_path)).go()
        assert written(job) == {"S0": uid(1).hex()}
        assert len(Outbox(tmp_path / "outbox").waiting()) == 1


def test_a_row_whose_tag_is_lost_gets_another_one(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        lost, field = blank("ntag424", 1), Hasty(20)
        run(job, Hand(field, [lost])).go()
        with pytest.raises(JobError, match="has no row 9"):
            job.abandon(9, 1)
        assert job.abandon(2, 1) == uid(1)
        with pytest.raises(JobError, match="row 2 is waiting: only an unfinished row can be given free"):
            job.abandon(2, 1)
        hand = Hand(field, [lost, blank("ntag424", 2)])
        assert run(job, hand).go()
        assert hand.codes == ["abandoned", "done"]
