"""Passes over tags that were begun or written, and the job file itself."""

from pathlib import Path

import pytest
from job_support import bench, signing
from tag_support import GTIN, Hand, Hasty, blank, head, make_job, run, uid

from tallystick_chips.tag_journal import Journal
from tallystick_emulators.tag_field import Field
from tallystick_provisioning.errors import FileError
from tallystick_provisioning.item import Item
from tallystick_tags import tag_job
from tallystick_tags.errors import JobError
from tallystick_tags.tag_job import Job
from tallystick_tags.tag_rows import Planned


def test_a_dry_run_of_every_pass_writes_nothing(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        tag, said = blank("ntag424", 1), list[str]()
        run(job, Hand(Field(), [tag])).go()
        before = (job.items(), job.attempts(), Journal(tmp_path / "journal").records(uid(1)))
        with bench(job, Field(tag), said) as work:
            work.dry_run = True
            states = [work.one(what, 0.0).state for what in ("verify", "lock", "reset", "retire", "recover", "resume")]
        assert states == ["written", "written", "planned", "planned", "planned", "planned"]
        assert said[2].endswith("planned (dry-run): would reset it; its journal says written")
        assert before == (job.items(), job.attempts(), Journal(tmp_path / "journal").records(uid(1)))


def test_reset_gives_the_row_free_and_the_tag_back(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        tag, said = blank("ntag424", 1), list[str]()
        run(job, Hand(Field(), [tag]), signing=signing(tmp_path)).go()
        with bench(job, Field(tag), said) as work:
            assert work.one("reset", 0.0).state == "factory"
        item = job.items()[0]
        assert (item.state, item.uid, item.statement) == ("waiting", None, None)
        assert run(job, Hand(Field(), [tag])).go()


def test_a_retired_tag_never_comes_back(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        tag, said = blank("ntag424", 1), list[str]()
        run(job, Hand(Field(), [tag])).go()
        with bench(job, Field(tag), said) as work:
            assert work.one("retire", 0.0).state == "retired"
        hand = Hand(Field(), [tag, blank("ntag424", 2)])
        assert run(job, hand).go()
        assert hand.codes == ["abandoned", "done"]


def test_recover_of_a_half_written_tag(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 1)) as job:
        tag, field, said = blank("ntag424", 1), Hasty(20), list[str]()
        run(job, Hand(field, [tag])).go()
        with bench(job, Field(tag), said) as work:
            outcome = work.one("recover", 0.0)
        assert outcome.good
        assert job.items()[0].state == {"factory": "waiting", "written": "written"}[outcome.state]


def test_verify_holds_a_tag_against_its_row(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 2)) as job:
        tags, said = [blank("ntag424", 1), blank("ntag424", 2)], list[str]()
        run(job, Hand(Field(), tags)).go()
        with bench(job, Field(tags[0]), said) as work:
            assert work.one("verify", 0.0).good
            other = work.one("verify", 0.0, job.of_row(3))
        assert other.code == "other-item"
        assert "the label says serial S1 (row 3), this is the tag of row 2, serial S0" in said[-1]
        with bench(job, Field(), said) as work:
            assert work.one("verify", 0.0).code == "no-tag"
        assert said[-1] == "no tag: refused (no-tag): no tag was put down; put one down", "no exit code without a word"


# --- the job file


def test_a_job_is_never_overwritten(tmp_path: Path) -> None:
    make_job(tmp_path / "j", 1)
    with pytest.raises(JobError, match="exists already"):
        make_job(tmp_path / "j", 1)
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_other_files_are_no_jobs(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such job"):
        Job(tmp_path / "none")
    (tmp_path / "text").write_text("a text")
    with pytest.raises(FileError, match="text: "):
        Job(tmp_path / "text")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(FileError, match="no job of this program"):
        Job(tmp_path / "empty")


def test_a_serial_twice_never_gets_into_a_job(tmp_path: Path) -> None:
    """The database refuses what the check of rows would have told."""
    with pytest.raises(FileError, match="UNIQUE"):
        tag_job.create(tmp_path / "j", head(), [Planned(2, Item(GTIN, "A"), ""), Planned(3, Item(GTIN, "A"), "")])
    assert not (tmp_path / "j").exists()
