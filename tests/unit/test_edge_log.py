"""The log: group commits, checkpoints, batches, epochs, and what happens when the disk or SQLite says no."""

import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tallystick_edge import log as logs
from tallystick_edge.errors import LogDamaged, LogError, LogFull
from tallystick_edge.log import Batch, Head, Log
from tallystick_proof import merkle
from tallystick_proof.sync import MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, SyncRequest

NOBODY = Head(None, 0, None)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = Log.open(tmp_path / "log.db")
    yield opened
    opened.close()


def sign(epoch: int, size: int, root: bytes) -> bytes:
    return f"{epoch} {size} {root.hex()}".encode()


def entries(count: int, first: int = 0, size: int = 20) -> list[bytes]:
    return [number.to_bytes(size, "big") for number in range(first, first + count)]


def root_of(data: list[bytes]) -> str:
    return merkle.root([merkle.leaf_hash(one) for one in data]).hex()


def batch_of(log: Log, known_size: int) -> Batch:
    found = log.batch(known_size)
    assert found is not None
    return found


def test_rows_are_numbered_and_survive(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "log.db")
    assert (log.commit(entries(3)), log.commit(entries(2, 3)), len(log)) == (0, 3, 5)
    log.close()
    again = Log.open(tmp_path / "log.db")
    assert list(again.rows()) == list(enumerate(entries(5)))
    assert list(again.rows(3)) == list(enumerate(entries(2, 3), 3))
    assert again.epoch.number == 1
    again.close()


def test_rows_come_in_pages(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PAGE_ROWS", 2)
    log.commit(entries(5))
    assert [row for row, _ in log.rows()] == [0, 1, 2, 3, 4]


def test_wal_and_full_are_on(tmp_path: Path, log: Log) -> None:
    db = apsw.Connection(str(tmp_path / "log.db"))
    assert db.execute("PRAGMA journal_mode").get == "wal"
    db.close()
    assert log._one("PRAGMA synchronous")[0] == 2


def test_is_stored(log: Log) -> None:
    log.commit([b"head" + b"reading \0 one" + b"tail"])
    assert log.is_stored(b"reading \0 one")
    assert not log.is_stored(b"reading \0 two")


def test_a_full_disk_keeps_nothing_of_the_group(log: Log) -> None:
    log.commit(entries(3))
    (pages,) = log._one("PRAGMA page_count")
    log._all(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LogFull, match="disk is full"):
        log.commit([os.urandom(3000) for _ in range(20)], unknown=[0])
    assert len(log) == 3
    assert log.unknown_rows() == set()
    log._all("PRAGMA max_page_count = 1000000")
    assert log.commit(entries(1, 3)) == 3


def test_checkpoints_cover_what_was_committed(log: Log) -> None:
    log.commit(entries(3))
    assert log.sign_checkpoints(sign) == 1
    assert log.sign_checkpoints(sign) == 0
    log.commit(entries(2, 3))
    assert log.sign_checkpoints(sign) == 1
    assert log.epoch.size == 5
    assert batch_of(log, 3) == Batch(1, 3, 5, entries(2, 3), sign(1, 5, bytes.fromhex(root_of(entries(5)))))
    assert batch_of(log, 0).entries == entries(5)


def test_a_note_that_was_not_kept_is_signed_again_the_same(log: Log) -> None:
    log.commit(entries(3))

    def power_cut(epoch: int, size: int, root: bytes) -> bytes:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        log.sign_checkpoints(power_cut)
    assert (log.epoch.size, log.batch(0)) == (0, None)
    log.sign_checkpoints(sign)
    assert batch_of(log, 0).note == sign(1, 3, bytes.fromhex(root_of(entries(3))))


def test_between_two_checkpoints_lies_at_most_one_batch(log: Log) -> None:
    log.commit(entries(2 * MAX_BATCH_ENTRIES + 1))
    assert log.sign_checkpoints(sign) == 3
    known = 0
    sizes = []
    while (batch := batch_of(log, known)).entries:
        SyncRequest(batch.old_size, batch.entries, batch.note).encode()  # refuses what is too large
        known = batch.size
        sizes.append(known)
    assert sizes == [MAX_BATCH_ENTRIES, 2 * MAX_BATCH_ENTRIES, 2 * MAX_BATCH_ENTRIES + 1]


def test_bytes_bound_a_batch_too(log: Log) -> None:
    large = entries(70, size=65_535)
    log.commit(large)
    assert sum(map(len, large)) > MAX_BATCH_BYTES
    assert log.sign_checkpoints(sign) == 2
    first = batch_of(log, 0)
    SyncRequest(first.old_size, first.entries, first.note).encode()
    assert first.entries + batch_of(log, first.size).entries == large


def test_small_checkpoints_are_sent_together(log: Log) -> None:
    for number in range(10):
        log.commit(entries(1, number))
        log.sign_checkpoints(sign)
    assert batch_of(log, 0).size == 10
    assert batch_of(log, 4).entries == entries(6, 4)
    assert batch_of(log, 10).entries == []


def test_a_size_that_is_no_checkpoint_of_ours_has_no_batch(log: Log) -> None:
    log.commit(entries(3))
    log.sign_checkpoints(sign)
    for size in (1, 2, 4, 100):
        assert log.batch(size) is None


def test_confirm_keeps_an_answer(log: Log) -> None:
    log.commit(entries(3))
    log.sign_checkpoints(sign)
    assert log.backlog() == 3
    log.confirm(1, 3, 17, [b"one", b"two"], Head(b"note", 2, 1000))
    log.confirm(1, 3, None, [b"three"], Head(None, 3, 2000))
    assert (log.epoch.confirmed_size, log.backlog()) == (3, 0)
    assert log.downlink() == [(b"one", 1000), (b"two", 1000), (b"three", 2000)]
    assert log.downlink(2) == [(b"three", 2000)]
    assert log.head == Head(b"note", 3, 2000)
    assert log._one("SELECT ledger_index FROM checkpoint WHERE size = 3") == (17,)
    log.confirm(1, 2, None, [], NOBODY)
    assert log.epoch.confirmed_size == 3, "what is confirmed stays confirmed"


def test_the_next_epoch_begins_with_what_is_not_confirmed(log: Log) -> None:
    log.commit(entries(3))
    log.sign_checkpoints(sign)
    log.confirm(1, 3, 0, [], NOBODY)
    log.commit(entries(2, 3))
    log.sign_checkpoints(sign)
    epoch = log.next_epoch(b"why")
    assert (epoch.number, epoch.first_row, epoch.size, log.backlog()) == (2, 3, 0, 3)
    log.sign_checkpoints(sign)
    again = [*entries(2, 3), b"why"]
    assert batch_of(log, 0) == Batch(2, 0, 3, again, sign(2, 3, bytes.fromhex(root_of(again))))
    assert [data for _, data in log.rows()] == [*entries(5), b"why"]


def test_quarantine_keeps_the_old_bytes(log: Log) -> None:
    log.commit(entries(3))
    log.quarantine(1, b"note")
    log.quarantine(1, b"another note")
    assert [data for _, data in log.rows()] == [entries(1)[0], b"another note", entries(1, 2)[0]]
    assert log._one("SELECT data FROM quarantine WHERE row = 1") == (entries(1, 1)[0],)


def test_unknown_rows(log: Log) -> None:
    log.commit(entries(4), unknown=[1, 3])
    assert log.unknown_rows() == {1, 3}
    log.verified([1])
    log.verified([])
    assert log.unknown_rows() == {3}


def test_a_reader_beside_the_writer(tmp_path: Path, log: Log) -> None:
    log.commit(entries(2))
    reader = Log.read_only(tmp_path / "log.db")
    log.commit(entries(1, 2))
    assert len(reader) == 3
    with pytest.raises(LogError, match="ReadOnly"):
        reader.commit(entries(1))
    reader.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"not SQLite at all" * 400)
    with pytest.raises(LogDamaged):
        Log.open(tmp_path / "log.db")


def test_salvage_reads_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = Log.open(path)
    many = entries(400, size=400)
    log.commit(many)
    log.sign_checkpoints(sign)
    log.confirm(1, 400, 0, [], NOBODY)
    log.commit(entries(400, 400, size=400))
    log.close()
    data = bytearray(path.read_bytes())
    middle = data.index((600).to_bytes(400, "big"))
    data[middle // 4096 * 4096 : middle // 4096 * 4096 + 100] = bytes(100)
    path.write_bytes(data)
    left = list(logs.salvage(path))
    assert 300 < len(left) < 400
    assert set(left) < set(entries(400, 400, size=400))
    assert list(logs.salvage(tmp_path / "nothing.db")) == []
