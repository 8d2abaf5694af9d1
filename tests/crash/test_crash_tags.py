"""The installer's laptop dies in the middle of a tag: no tag gets two items, and none is forgotten."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tag_support import EMULATED, MAKER_FILE, WORDS, blank, feed, make_job, make_master, tallystick, uid

from tallystick_chips import personalise
from tallystick_chips.personalise_desk import Desk
from tallystick_chips.tag_journal import Journal
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_emulators.tag_udp import UdpTagServer
from tallystick_proof import keys as proof_keys
from tallystick_proof import statement
from tallystick_proof.keys import Signer
from tallystick_provisioning import secret_file
from tallystick_tags import key_provider
from tallystick_tags.key_provider import DerivedKeys
from tallystick_tags.tag_job import Job

TAGS = 3
SAMPLE = 3
COMMANDS = 70  # two NTAG 424 from sensing to reading back, and the beginning of the third


class DeadlyField(Field):
    """An antenna that kills the process which uses it at its n-th command, before or after the tag hears it."""

    def __init__(self) -> None:
        super().__init__()
        self.process: subprocess.Popen[str] | None = None
        self.kill_at: int | None = None
        self.afterwards = False

    def exchange(self, command: bytes) -> bytes | None:
        deadly = self.kill_at is not None and self.commands >= self.kill_at
        if deadly and not self.afterwards:
            self._kill()
        answer = super().exchange(command)
        if deadly and self.afterwards:
            self._kill()
        return answer

    def _kill(self) -> None:
        if self.process is not None:
            self.process.kill()
        self.kill_at = None


class Laptop:
    """A job folder, and the command that goes on with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.field = folder, DeadlyField()
        make_job(folder / "job", TAGS)
        make_master(folder)
        (folder / "maker").write_text(MAKER_FILE)
        (folder / "trust.toml").write_text("")
        secret_file.write_new(folder / "installer.key", proof_keys.format_secret(Signer("installer", bytes(32))))

    def write(self, path: str, tags: list[EmulatedTag], kill_at: int | None = None, afterwards: bool = False) -> int:
        words = tallystick(
            "tag", "write", self.folder / "job", "--reader", path, "--keys", self.folder / "master", "--secret-file",
            self.folder / "words", "--maker", self.folder / "maker", "--unattended", "--patience", "10",
        )  # fmt: skip
        self.field.remove(None)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            self.field.process = process
            self.field.afterwards = afterwards
            self.field.kill_at = None if kill_at is None else self.field.commands + kill_at
            self.lines = feed(process, self.field, tags)
        self.field.kill_at = None
        return process.returncode

    def check(self, tags: list[EmulatedTag]) -> None:
        """Each row has one tag, each tag one row, and says so when it is read."""
        provider = DerivedKeys(key_provider.open_file(self.folder / "master", WORDS), "2026-07", 1)
        by_uid = {tag.uid: tag for tag in tags}
        with Job(self.folder / "job") as job:
            items = job.items("written")
            assert len(items) == TAGS, (job.counts(), self.lines)
            assert len({item.uid for item in items}) == TAGS
            for item in items:
                reader = EmulatedReader(Field(by_uid[item.uid or b""]))
                journal = Journal(self.folder / "job.journal")
                desk = Desk(reader, provider, journal, originality=EMULATED)
                outcome = personalise.verify(desk, order=job.order(item))
                assert outcome.good, outcome


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[tuple[Laptop, str]]:
    made = Laptop(tmp_path)
    with UdpTagServer(made.field) as server:
        yield made, server.path


def points(count: int) -> list[tuple[int, bool]]:
    """Commands at which the laptop dies, and whether the tag still heard the command."""
    chance = random.Random(4)
    every = [(at, afterwards) for at in range(COMMANDS) for afterwards in (False, True)]
    return sorted(chance.sample(every, count))


def killed_and_started_again(laptop: Laptop, path: str, at: int, afterwards: bool, same_first: bool) -> None:
    tags: list[EmulatedTag] = [blank("ntag424", number) for number in range(TAGS)]
    code = laptop.write(path, tags, at, afterwards)
    assert code == -9, laptop.lines
    # The installer goes on with the tag that lay there, or with another one and finds that one at the end.
    again = tags if same_first else tags[::-1]
    assert laptop.write(path, [*again, *again]) == 0, laptop.lines
    laptop.check(tags)


@pytest.mark.alone
@pytest.mark.parametrize(("at", "afterwards"), points(SAMPLE))
def test_killed_in_the_middle_of_a_job(laptop: tuple[Laptop, str], at: int, afterwards: bool) -> None:
    killed_and_started_again(*laptop, at, afterwards, same_first=at % 2 == 0)


@pytest.mark.full
@pytest.mark.alone
@pytest.mark.parametrize(("at", "afterwards"), points(60))
def test_killed_at_any_command(laptop: tuple[Laptop, str], at: int, afterwards: bool) -> None:
    killed_and_started_again(*laptop, at, afterwards, same_first=at % 2 == 1)


@pytest.mark.alone
def test_killed_again_and_again(laptop: tuple[Laptop, str]) -> None:
    made, path = laptop
    tags: list[EmulatedTag] = [blank("ntag424", number) for number in range(TAGS)]
    chance = random.Random(11)
    for _ in range(4):
        made.write(path, [*tags, *tags], chance.randrange(10, COMMANDS))
    assert made.write(path, [*tags, *tags]) in (0, 1), made.lines
    made.check(tags)


def test_statements_of_a_dead_laptop_are_the_same_ones(tmp_path: Path) -> None:
    """Between the job's transaction and the outbox: the next start puts the very same statement there."""
    from tag_support import Hand, run

    from tallystick_provisioning.outbox import Outbox
    from tallystick_tags.tag_signing import Signing

    signing = Signing(Signer("installer", bytes(32)), "ledger.example/log", Outbox(tmp_path / "outbox"))
    with Job(make_job(tmp_path / "j", 1)) as job:
        run(job, Hand(Field(), [blank("ntag424", 1)]), signing=signing).go()
        before = [path.name for path in signing.outbox.waiting()]
        signing.outbox.waiting()[0].unlink()
        run(job, Hand(Field(), []), signing=signing).go()
        assert [path.name for path in signing.outbox.waiting()] == before
        assert statement.parse(signing.outbox.waiting()[0].read_bytes()).body["item"].endswith("/21/S0")
        assert job.of_uid(uid(1)) is not None
