"""A job on another laptop, a clock that was set back, a job that was being made when the power failed."""

from pathlib import Path

import pytest
from tag_support import Hand, blank, head, make_job, run, uid

from tallystick_chips.tag_order import TagOutcome
from tallystick_emulators.tag_field import Field
from tallystick_tags import tag_context, tag_job
from tallystick_tags.errors import JobError
from tallystick_tags.tag_job import Job


def test_a_job_without_its_journal_is_not_worked_on(tmp_path: Path) -> None:
    """Copied without the folder beside it, a half-written tag would be taken for one of others."""
    with Job(make_job(tmp_path / "j", 3)) as job:
        tag_context.journal(job, None)  # nothing was begun: there is nothing to bring along
        assert not run(job, Hand(Field(), [blank("ntag424", 1)])).go()
        with pytest.raises(JobError, match=r"j\.journal: is not there.*bring it along.*or name it with --journal"):
            tag_context.journal(job, None)
        assert tag_context.journal(job, tmp_path / "journal").uids() == [uid(1)]
        (tmp_path / "j.journal").mkdir()
        tag_context.journal(job, None)


def test_a_crash_before_the_first_record_needs_no_journal(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 3)) as job:
        job.begin(2, uid(1), "write", 0)
        tag_context.journal(job, None)
        job.begin(3, uid(2), "write", 0)
        with pytest.raises(JobError, match="bring it along"):
            tag_context.journal(job, None)


def test_a_clock_that_is_set_back_gives_no_negative_time(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 3)) as job:
        done = TagOutcome("written", "done", "", "")
        job.end(job.begin(2, uid(1), "write", 1_000), done, 3_000)
        job.end(job.begin(3, uid(2), "write", 5_000), done, 4_000 - 3_600_000)
        assert job.seconds_per_tag() == 2.0


def test_a_job_that_was_being_made_when_the_power_failed_can_be_made_again(tmp_path: Path) -> None:
    """It gets its name when it is whole; what a crash left is no obstacle."""
    (tmp_path / ".j.part").write_bytes(b"SQLite format 3\0half of it")
    make_job(tmp_path / "j", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["j"]
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("j", "link"):
        with pytest.raises(JobError, match="never overwritten"):
            tag_job.create(tmp_path / name, head(), [])
