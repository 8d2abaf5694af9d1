"""A tag that takes another one's place between two looks: what was looked at is changed, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from job_support import bench
from personalise_support import HOST, ITEM, OTHER_UID, UID, Desk, make_tag, order
from tag_support import Hand, blank, make_job, run, uid

from tallystick_chips import personalise
from tallystick_chips.tag_order import Chip, TagOrder
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_provisioning.item import item
from tallystick_provisioning.nfc import Tag
from tallystick_tags.tag_job import Job

LOOKS = 3
DAMAGED = 4  # the answer of the first look that arrives wrong: `recover` looks again then


class Swapping:
    """A reader on which another tag lies from its look number `at` on."""

    name = "swapping"

    def __init__(self, reader: Any, air: Field, at: int, other: EmulatedTag) -> None:
        self._reader, self._air, self._at, self._other = reader, air, at, other
        self.looks = 0
        self.damages = False

    def sense(self, timeout_s: float = 0.0) -> Tag | None:
        if self.looks == self._at:
            self._air.swap(self._other)
        self.looks += 1
        tag = self._reader.sense(timeout_s)
        return tag if tag is None or self.looks > 1 or not self.damages else _Damaged(tag)

    def close(self) -> None:
        self._reader.close()


class _Damaged:
    """One answer of this tag arrives wrong."""

    def __init__(self, tag: Tag) -> None:
        self._tag = tag
        self.uid, self.family = tag.uid, tag.family
        self._answers = 0

    def transceive(self, command: bytes, timeout_s: float = 0.5) -> bytes:
        answer = self._tag.transceive(command, timeout_s)
        self._answers += 1
        return answer[:-3] + b"\xee" + answer[-2:] if self._answers == DAMAGED else answer


@pytest.mark.parametrize("work", ["write", "lock", "recover", "reset", "retire", "verify"])
@pytest.mark.parametrize("chip", ["ntag215", "ntag424"])
def test_a_tag_that_was_not_looked_at_stays_as_it_is(tmp_path: Path, chip: Chip, work: str) -> None:
    """A lock of the wrong tag could not be taken back, and a reset would cost a finished item its identity."""
    for look in range(LOOKS):
        desk, other = Desk(tmp_path / str(look), chip), make_tag(chip, OTHER_UID)
        desk.air.swap(other)
        assert desk.run(personalise.write, order=TagOrder(chip, HOST, item(ITEM.gtin, "AB-2"))).good
        desk.air.swap(desk.tag)
        if work != "write":
            assert desk.write().good
        before = (other.to_bytes(), desk.journal.records(OTHER_UID))
        reader = Swapping(desk.reader, desk.air, look, other)
        reader.damages = work == "recover"
        more: dict[str, Any] = {"order": order(chip)} if work == "write" else {}
        outcome = desk.run(getattr(personalise, work), reader=reader, only=UID, **more)
        assert (other.to_bytes(), desk.journal.records(OTHER_UID)) == before, (look, outcome)
        assert outcome.uid == UID
        assert outcome.code == "swapped" or reader.looks <= look, (look, outcome)


def test_a_lock_is_noted_for_the_row_whose_tag_was_locked(tmp_path: Path) -> None:
    """The second look finds another tag of the job: neither is locked, and no row says so."""
    with Job(make_job(tmp_path / "j", 2, will_lock=True)) as job:
        tags, air, said = [blank("ntag424", 1), blank("ntag424", 2)], Field(), list[str]()
        run(job, Hand(Field(), tags)).go()
        air.put(tags[0])
        before = [tag.to_bytes() for tag in tags]
        with bench(job, air, said) as work:
            reader = Swapping(EmulatedReader(air), air, 1, tags[1])
            work.open_reader = lambda: reader
            work.__post_init__()
            outcome = work.one("lock", 0.0)
        assert (outcome.state, outcome.code, outcome.uid) == ("refused", "swapped", uid(1))
        assert job.counts()["locked"] == 0
        assert [tag.to_bytes() for tag in tags] == before
        assert "leave one tag on the reader until it is done" in said[-1]
