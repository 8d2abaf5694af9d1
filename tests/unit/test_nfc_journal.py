"""The journal of a tag: durable, checked line by line, and the truth about what was begun."""

import os
import threading
import zlib
from pathlib import Path

import pytest
from personalise_support import HOST, ITEM, UID, order

from tallystick_chips.errors import JournalError
from tallystick_chips.tag_journal import MAX_JOURNAL_BYTES, Journal

BEGIN = {"chip": "ntag424", "host": HOST, "gtin": ITEM.gtin, "serial": ITEM.serial, "version": 3}


def begun(folder: Path) -> Journal:
    journal = Journal(folder)
    journal.append(UID, "begin", **BEGIN)
    journal.append(UID, "key", number=1, old=0, new=3)
    return journal


def file_of(folder: Path) -> Path:
    return folder / "04A1B2C3D4E580.journal"


def test_journal_tells_what_was_begun(tmp_path: Path) -> None:
    history = begun(tmp_path / "new").history(UID)
    assert (history.stage, history.key_version, history.epoch) == ("writing", 3, 1)
    assert history.order == order("ntag424")
    assert history.keys == {1: {0, 3}}
    assert Journal(tmp_path / "new").uids() == [UID]
    assert Journal(tmp_path / "nowhere").uids() == []
    assert Journal(tmp_path / "nowhere").history(UID).stage == "new"


def test_stages_follow_the_events(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    for event, stage in [
        ("seal", "writing"),
        ("protect", "writing"),
        ("written", "written"),
        ("lock", "locking"),
        ("locked", "locked"),
        ("retire", "retiring"),
        ("retired", "retired"),
    ]:
        journal.append(UID, event)
        assert journal.history(UID).stage == stage
    other = begun(tmp_path / "other")
    for event, stage in [("reset", "resetting"), ("factory", "factory"), ("begin", "writing")]:
        other.append(UID, event, **(BEGIN if event == "begin" else {}))
        assert other.history(UID).stage == stage
    assert other.history(UID).epoch == 2
    assert other.history(UID).keys == {}


def test_torn_last_line_is_dropped_at_every_byte(tmp_path: Path) -> None:
    """A crash while a record is written: the tag has not heard of it."""
    begun(tmp_path)
    whole = file_of(tmp_path).read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for cut in range(1, len(last)):
        file_of(tmp_path).write_bytes(whole[:-cut])
        journal = Journal(tmp_path)
        assert len(journal.records(UID)) == 1
        journal.append(UID, "key", number=2, old=0, new=3)
        assert [record["event"] for record in Journal(tmp_path).records(UID)] == ["begin", "key"]
    file_of(tmp_path).write_bytes(whole + b"\0" * 40)
    assert len(Journal(tmp_path).records(UID)) == 2


def test_any_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """In the last line it looks like a torn one; elsewhere, line ends too, nothing is done any more."""
    journal = begun(tmp_path)
    journal.append(UID, "written", counter=1)
    whole = file_of(tmp_path).read_bytes()
    last = len(whole) - len(whole.splitlines(keepends=True)[-1])
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        file_of(tmp_path).write_bytes(damaged)
        if last <= at < len(whole) - 1:
            assert Journal(tmp_path).history(UID).stage == "writing"
            continue
        with pytest.raises(JournalError, match="damaged"):
            Journal(tmp_path).history(UID)
        with pytest.raises(JournalError, match="damaged"):
            Journal(tmp_path).append(UID, "written")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "7",
        '{"event":"unknown"}',
        '{"event":"begin"}',
        '{"event":"key","number":1}',
        '{"event":"begin","chip":"x","host":"h","gtin":"1","serial":"2","version":1}',
        "[" * 2000,
    ],
    ids=["map", "list", "number", "unknown", "begin", "key", "chip", "deep"],
)
def test_a_line_with_a_right_checksum_and_a_wrong_text_is_not_believed(tmp_path: Path, text: str) -> None:
    line = f"{zlib.crc32(text.encode()):08x} {text}\n"
    begun(tmp_path)
    file_of(tmp_path).write_text(line + file_of(tmp_path).read_text())
    with pytest.raises(JournalError, match="line 1 is damaged"):
        Journal(tmp_path).history(UID)


def test_journal_is_bounded(tmp_path: Path) -> None:
    begun(tmp_path)
    with file_of(tmp_path).open("ab") as file:
        file.truncate(MAX_JOURNAL_BYTES + 1)
    with pytest.raises(JournalError, match="no journal of one tag"):
        Journal(tmp_path).history(UID)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was made durable, in that order."""
    found: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_record_is_on_the_disk_before_append_returns(tmp_path: Path, synced: list[Path]) -> None:
    Journal(tmp_path).append(UID, "begin", **BEGIN)
    assert synced == [tmp_path, file_of(tmp_path)], "first its name"
    Journal(tmp_path).append(UID, "key", number=1, old=0, new=3)
    assert synced[2:] == [file_of(tmp_path)]


def test_the_names_of_new_folders_are_on_the_disk_before_append_returns(tmp_path: Path, synced: list[Path]) -> None:
    folder = tmp_path / "site" / "journal"
    Journal(folder).append(UID, "begin", **BEGIN)
    assert synced == [tmp_path, folder.parent, folder, file_of(folder)]


def test_a_name_that_a_crash_left_unsure_is_made_sure_by_the_next_record(tmp_path: Path, synced: list[Path]) -> None:
    file_of(tmp_path).touch()  # killed between the file and its folder
    Journal(tmp_path).append(UID, "begin", **BEGIN)
    assert synced == [tmp_path, file_of(tmp_path)]


def test_two_programs_on_one_journal_take_turns(tmp_path: Path) -> None:
    begun(tmp_path)

    def append(number: int) -> None:
        for _ in range(20):
            Journal(tmp_path).append(UID, "key", number=number, old=0, new=3)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Journal(tmp_path).records(UID)) == 2 + 4 * 20


def test_failed_append_says_that_nothing_was_done(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="nothing was done"):
        Journal(tmp_path / "file").append(UID, "begin", **BEGIN)


def test_journal_holds_no_key(tmp_path: Path) -> None:
    begun(tmp_path)
    assert file_of(tmp_path).stat().st_mode & 0o077 == 0
    assert set(Journal(tmp_path).records(UID)[1]) == {"event", "number", "old", "new"}
