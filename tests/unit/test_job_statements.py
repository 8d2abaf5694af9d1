"""What a finished tag leads to: a signed statement, and keys that are erased."""

from collections.abc import Callable
from pathlib import Path

import pytest
from job_support import CHIPS, INSTALLER, ORIGIN, lock_all, signing
from tag_support import GTIN, Hand, blank, head, keys, make_job, run, uid

from tallystick_chips.tag_order import Chip
from tallystick_emulators.tag_field import Field
from tallystick_proof import keys as proof_keys
from tallystick_proof import statement
from tallystick_proof.keys import Signer
from tallystick_provisioning.outbox import Outbox
from tallystick_tags import job_bundle, passphrase, tag_statement
from tallystick_tags.job_bundle import SealedJob
from tallystick_tags.passphrase import Lock
from tallystick_tags.tag_job import Job

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
