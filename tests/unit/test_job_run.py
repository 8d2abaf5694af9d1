"""The loop over a job's tags, on emulated tags in this process: written, refused, interrupted."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tag_support import EMULATED, GTIN, Hand, Hasty, blank, head, keys, make_job, run, uid

from tallystick_proof import keys as proof_keys
from tallystick_proof import statement
from tallystick_proof.keys import Signer
from tallystick_provisioning import job_bundle, passphrase, personalise, tag_job, tag_outcomes, tag_statement
from tallystick_provisioning.errors import FileError, JobError
from tallystick_provisioning.item import Item
from tallystick_provisioning.job_bundle import SealedJob
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.passphrase import Lock
from tallystick_provisioning.personalise_desk import Desk
from tallystick_provisioning.tag_job import Job
from tallystick_provisioning.tag_journal import Journal
from tallystick_provisioning.tag_order import Chip
from tallystick_provisioning.tag_pass import Pass
from tallystick_provisioning.tag_rows import Planned
from tallystick_provisioning.tag_signing import Signing
from tallystick_tools.tag_field import Field
from tallystick_tools.tag_reader import EmulatedReader

INSTALLER = Signer("installer", bytes(32))
ORIGIN = "ledger.example/log"
CHIPS: list[Chip] = ["ntag424", "ntag215"]


def signing(folder: Path) -> Signing:
    return Signing(INSTALLER, ORIGIN, Outbox(folder / "outbox"))


def written(job: Job) -> dict[str, str]:
    """serial -> UID."""
    return {item.item.serial: item.uid.hex() for item in job.items("written", "locked") if item.uid}


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


# --- statements


@pytest.mark.parametrize("chip", CHIPS)
def test_a_finished_tag_becomes_a_signed_statement(tmp_path: Path, chip: Chip) -> None:
    with Job(make_job(tmp_path / "j", 2, chip)) as job:
        run(job, Hand(Field(), [blank(chip, 1), blank(chip, 2)]), signing=signing(tmp_path)).go()
        item = job.items()[0]
        waiting = [statement.parse(path.read_bytes()) for path in Outbox(tmp_path / "outbox").waiting()]
        assert {one.body["item"] for one in waiting} == {f"/01/{GTIN}/21/S0", f"/01/{GTIN}/21/S1"}
        one = next(one for one in waiting if one.body["item"].endswith("S0"))
        statement.verify(one, INSTALLER.public_key)
        assert one.kind == proof_keys.TAG
        assert item.salt is not None
        assert one.body["uid"] == tag_statement.commitment(item.salt, uid(1))
        expected = (chip, chip == "ntag215", None if chip == "ntag215" else 1, "2026-07", 1, ORIGIN)
        fields = ("chip", "copyable", "epoch", "key_set", "key_version", "aud")
        assert tuple(one.body[name] for name in fields) == expected
        assert uid(1) not in one.data
        assert job.queued() == 2


def test_a_uid_cannot_be_guessed_from_its_statement(tmp_path: Path) -> None:
    """UIDs are few enough to try them all: a salt that is not in the log stands before that."""
    salts = [bytes([number]) * tag_statement.SALT_BYTES for number in range(3)]
    assert len({tag_statement.commitment(salt, uid(1)) for salt in salts}) == 3
    with Job(make_job(tmp_path / "j", 1)) as job:
        run(job, Hand(Field(), [blank("ntag424", 1)]), signing=signing(tmp_path)).go()
        data = Outbox(tmp_path / "outbox").waiting()[0].read_bytes()
        salt = job.items()[0].salt
        assert salt is not None
        assert salt not in data
        assert len(salt) == tag_statement.SALT_BYTES


def test_stating_twice_is_stating_once(tmp_path: Path) -> None:
    with Job(make_job(tmp_path / "j", 2)) as job:
        signs = signing(tmp_path)
        run(job, Hand(Field(), [blank("ntag424", 1), blank("ntag424", 2)])).go()
        assert Outbox(tmp_path / "outbox").waiting() == []
        assert signs.state_all(job) == 2
        before = sorted(path.name for path in signs.outbox.waiting())
        assert signs.state_all(job) == 2
        assert sorted(path.name for path in signs.outbox.waiting()) == before
        for path in signs.outbox.waiting():
            job.sent([path.stem], 5)
            signs.outbox.delivered(path)
        assert (signs.state_all(job), job.queued(), signs.outbox.waiting()) == (0, 0, [])


# --- keys of a sealed job


@pytest.fixture
def sealed(tmp_path: Path) -> Callable[[bool], SealedJob]:
    def make(will_lock: bool) -> SealedJob:
        path, lock = tmp_path / "job.tally", Lock("correct horse", bytes(16), passphrase.MIN_COST_LOG2)
        fields = {"aud": ORIGIN, "jti": bytes(16), "exp": None, "installer": None}
        authority = Signer("authority-installer", bytes(32))
        job_head = head(will_lock=will_lock)
        job_bundle.seal(path, job_head, [uid(1), uid(2)], keys(), lock, authority, fields)
        return SealedJob(path, "correct horse", job_head)

    return make


def test_keys_of_a_written_tag_are_erased(tmp_path: Path, sealed: Callable[[bool], SealedJob]) -> None:
    provider = sealed(False)
    with Job(make_job(tmp_path / "j", 2)) as job:
        hand = Hand(Field(), [blank("ntag424", 3), blank("ntag424", 1)])
        run(job, hand, provider=provider).go()
        assert hand.codes == ["no-keys", "done"]
        assert list(provider.uids) == [uid(2)]
        assert SealedJob(tmp_path / "job.tally", "correct horse", head()).uids == (uid(2),)


def test_keys_that_a_crash_left_are_erased_at_the_next_start(
    tmp_path: Path, sealed: Callable[[bool], SealedJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = sealed(False)
    with Job(make_job(tmp_path / "j", 2)) as job:
        with monkeypatch.context() as patch:
            patch.setattr(SealedJob, "finished", lambda self, tag: None)
            run(job, Hand(Field(), [blank("ntag424", 1)]), provider=provider).go()
        assert list(provider.uids) == [uid(1), uid(2)]
        run(job, Hand(Field(), []), provider=provider).go()
        assert list(provider.uids) == [uid(2)]


def test_keys_stay_until_the_tag_is_locked(tmp_path: Path, sealed: Callable[[bool], SealedJob]) -> None:
    provider = sealed(True)
    with Job(make_job(tmp_path / "j", 2, will_lock=True)) as job:
        tags = [blank("ntag424", 1), blank("ntag424", 2)]
        assert run(job, Hand(Field(), tags), provider=provider).go()
        assert list(provider.uids) == [uid(1), uid(2)]
        lock_all(job, Field(tags[1]), provider)
        assert list(provider.uids) == [uid(1)]
        assert [item.state for item in job.items()] == ["written", "locked"]


# --- passes


def lock_all(job: Job, field: Field, provider: object = None) -> list[str]:
    said: list[str] = []
    with bench(job, field, said, provider) as work:
        work.all("lock", 0.0, lambda: not said)
    return said


def bench(job: Job, field: Field, said: list[str], provider: object = None) -> Pass:
    journal = Journal(job.path.with_name("journal"))
    reader: Callable[[], EmulatedReader] = lambda: EmulatedReader(field)  # noqa: E731
    return Pass(job, reader, provider or keys(), journal, said.append, EMULATED)  # type: ignore[arg-type]


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
