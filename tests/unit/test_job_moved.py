"""A job on another laptop, a clock that was set back, a job that was being made when the power failed."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tag_support import GTIN, Hand, blank, head, make_job, run, uid

from tallystick_chips.tag_order import TagOutcome
from tallystick_emulators.tag_field import Field
from tallystick_provisioning.item import Item
from tallystick_tags import tag_commands, tag_context, tag_job, tag_pass_commands
from tallystick_tags.at_reader import AtReader
from tallystick_tags.errors import JobError
from tallystick_tags.tag_job import Job
from tallystick_tags.tag_rows import Planned


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


def test_a_laptop_whose_clock_is_years_behind_dates_no_tag(tmp_path: Path) -> None:
    made = head().created_ms
    tag_context.check_clock(head(), made + 1)
    tag_context.check_clock(head(), made - 3_600_000)
    with pytest.raises(JobError, match="says 1970-01-01, and this job was made on 2023-11-14: set the clock"):
        tag_context.check_clock(head(), 0)


def test_the_commands_at_the_reader_look_at_the_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = replace(head(), created_ms=4_000_000_000_000)  # in 2096: this computer is behind
    tag_job.create(tmp_path / "j", far, [Planned(2, Item(GTIN, "S0"), "")])
    at = AtReader(reader="usb", keys="nowhere")
    for command in (partial(tag_commands.write, silent=True), tag_pass_commands.verify, tag_pass_commands.lock):
        assert command(tmp_path / "j", at=at) == 1
        assert "set the clock" in capsys.readouterr().err


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
