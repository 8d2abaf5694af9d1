"""Segments and the store of a node: what lies on flash until it is acked."""

import errno
import hashlib
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_node import segment
from tallystick_node.batch import MAX_BATCH_READINGS
from tallystick_node.board_memory import MemoryStorage
from tallystick_node.errors import DamagedFile, FlashFull, StorageError
from tallystick_node.files import Files
from tallystick_node.store import Store
from tallystick_wire import cbor, reading, senml
from tallystick_wire.message import Ack

GENESIS, LINK = bytes(16), bytes(range(16))


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def files(storage: MemoryStorage) -> Files:
    return Files(storage)


def damage(storage: MemoryStorage, name: str) -> None:
    storage.files[name] = storage.files[name][: len(storage.files[name]) // 2]


# --- segments


KID, PEN = bytes(range(8)), 32473
SEGMENT_READINGS = MAX_BATCH_READINGS


DEGREES = ("Cel", senml.Decimal(-2, -1850))
MEASURED: dict[str, tuple[str | None, Any]] = {
    "h": ("%RH", 70),
    "b": ("V", senml.Decimal(-3, 3600)),
    "rs": ("dBW", -121),
    "d": (None, False),
    "o": (None, False),
}


def signed(seq: int, *channels: str) -> bytes:
    """A reading as a node makes it, with a signature of zeros."""
    records = [senml.Record(name, *MEASURED.get(name, DEGREES)) for name in channels or ("t", "p")]
    pack = senml.encode_pack(senml.base_name(PEN, KID), records)
    return reading.build(KID, reading.Chain(3, seq, 60_000 * seq, LINK, None), pack, lambda _: bytes(64))


def test_what_all_readings_share_is_left_out_and_comes_back() -> None:
    shared = segment.common(PEN, KID)
    data = signed(1_000_000)
    small = shared.shrink(data)
    assert len(small) == len(data) - 21 - 36 + 2, "header, base name, and two positions"
    assert shared.grow(small) == data


@given(data=st.binary(max_size=300))
def test_whatever_is_kept_comes_back(data: bytes) -> None:
    for one in (data, signed(7) + data, data + signed(7), signed(7)[:-9] + data):
        for shared in (segment.common(PEN, KID), segment.common(1, KID), segment.Common(b"", b"")):
            assert shared.grow(shared.shrink(one)) == one


def segment_bytes(*channels: str) -> int:
    """Of twenty readings, with the file's checksum."""
    shared = segment.common(PEN, KID)
    kept = [cbor.encode(shared.shrink(signed(1_000_000 + number, *channels))) for number in range(SEGMENT_READINGS)]
    return sum(map(len, kept)) + 4


def test_twenty_readings_of_five_channels_fit_one_flash_block() -> None:
    assert segment_bytes("t", "p", "pb", "pc", "pd") <= 4096


def test_twenty_readings_of_a_wi_fi_node_with_a_probe_and_switches_fit_one_flash_block() -> None:
    assert segment_bytes("t", "h", "p", "b", "d", "o", "rs") <= 4096


@pytest.mark.parametrize(
    "name",
    ["s/", "s/1-2.seg", "s/0000000002-0000000001.seg", "s/0000000001-0000000002.new", "s/00000000x1-0000000002.seg"],
)
def test_a_file_that_is_no_segment(name: str) -> None:
    assert segment.named(name) is None


# --- the store


def fill(store: Store, first: int, count: int, size: int = SEGMENT_READINGS) -> None:
    """Readings first, first + 1... in segments of `size`; a smaller one last."""
    for start in range(first, first + count, size):
        assert store.has_room
        numbers = range(start, min(start + size, first + count))
        store.write(start, [store.pack(b"reading %d" % seq) for seq in numbers])


def nothing(seq: int, identity: bytes) -> None:
    pass


def ack(high: int, *gaps: tuple[int, int]) -> Ack:
    return Ack(bytes(8), 1, high, list(gaps))


def booted(files: Files, limit: int = 10) -> Store:
    store = Store(files, limit)
    store.recover(segment.Common(b"", b""))
    return store


def newest(files: Files) -> int | None:
    """The last reading that a boot from what is on flash now would know."""
    found = booted(files).newest
    return None if found is None else found[0]


def names(*spans: tuple[int, int]) -> list[str]:
    return [segment.Segment(first, last).name for first, last in spans]


@pytest.mark.parametrize("size", [1, 7, SEGMENT_READINGS])
@pytest.mark.parametrize("late", [0, 1, SEGMENT_READINGS, 2 * SEGMENT_READINGS + 1])
def test_the_newest_reading_is_on_flash_whatever_is_acked(
    storage: MemoryStorage, files: Files, late: int, size: int
) -> None:
    """Before it is sent, and until a newer one is: the next boot record names it."""
    store, last = booted(files, 100), 0
    for first in range(1, 10 * SEGMENT_READINGS, size):
        fill(store, first, size, size)
        last = first + size - 1
        assert newest(files) == last
        store.acked(ack(max(0, last - late)), nothing)
        assert newest(files) == last
        assert len(storage.files) <= 2 + late // size
    store.acked(ack(last), nothing)
    assert (newest(files), len(storage.files), store.pending(1000)) == (last, 1, [])


def test_an_acked_reading_is_known_to_a_boot_that_makes_none(files: Files) -> None:
    """The boot sends it once more, and once it is acked it is still the newest."""
    fill(booted(files), 1, SEGMENT_READINGS + 5)
    for _ in range(3):
        store = booted(files)
        store.acked(ack(SEGMENT_READINGS + 5), nothing)
        assert store.pending(1000) == []
    assert newest(files) == SEGMENT_READINGS + 5
    fill(store, 300, 1)
    assert files.names() == names((300, 300))


def test_a_segment_is_written_once_and_never_again(storage: MemoryStorage, files: Files) -> None:
    store = booted(files)
    fill(store, 1, 3 * SEGMENT_READINGS)
    before = dict(storage.files)
    assert sorted(before) == names((1, 20), (21, 40), (41, 60))
    store.acked(ack(45, (23, 23)), nothing)
    assert storage.files == {name: before[name] for name in names((21, 40), (41, 60))}
    assert store.pending(1000) == [23, *range(46, 61)]
    assert (store.get(23), store.get(60)) == (b"reading 23", b"reading 60")


def test_every_reading_survives_a_boot(files: Files) -> None:
    fill(booted(files), 1, SEGMENT_READINGS + 5)
    store = booted(files)
    assert store.pending(1000) == list(range(1, SEGMENT_READINGS + 6))
    assert store.newest == (SEGMENT_READINGS + 5, hashlib.sha256(b"reading 25").digest()[:16])
    assert store.pending(3) == [1, 2, 3]


def test_a_file_that_cannot_be_removed_costs_nothing(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that counted as failed would be made again, perhaps with other bytes, when somebody has it already."""
    store = booted(files)
    fill(store, 1, 3)
    store.acked(ack(3), nothing)
    monkeypatch.setattr(files, "remove", Mock(side_effect=StorageError("refused")))
    fill(store, 4, 1)
    assert files.names() == names((1, 3), (4, 4))
    assert store.pending(10) == [4], "it is on flash, and goes out"
    monkeypatch.undo()
    fill(store, 5, 1)
    assert files.names() == names((4, 4), (5, 5))
    assert booted(files).pending(10) == [4, 5]


def test_a_batch_that_was_refused_and_written_all_the_same_lies_there_once(
    storage: MemoryStorage, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch grows until it is tried again, under another name and with other bytes: two files with one number."""
    store = booted(files)
    fill(store, 1, 3)
    done_and_refused(storage, monkeypatch)
    with pytest.raises(StorageError):
        fill(store, 4, 1)
    monkeypatch.undo()
    assert files.names() == names((1, 3), (4, 4))
    monkeypatch.setattr(files, "remove", Mock(side_effect=StorageError("refused")))
    with pytest.raises(StorageError):
        fill(store, 4, 2)
    monkeypatch.undo()
    assert files.names() == names((1, 3), (4, 4)), "nothing beside a file that could not be removed"
    fill(store, 4, 2)
    assert files.names() == names((1, 3), (4, 5))
    assert booted(files).pending(10) == [1, 2, 3, 4, 5]


def test_a_refused_batch_under_its_own_name_is_written_over(
    storage: MemoryStorage, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = booted(files)
    done_and_refused(storage, monkeypatch)
    with pytest.raises(StorageError):
        fill(store, 1, 2)
    monkeypatch.undo()
    fill(store, 1, 2)
    fill(store, 3, 1)
    assert files.names() == names((1, 2), (3, 3))


def done_and_refused(storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the flash renames, and says that it could not."""
    rename = storage.rename

    def refused(old: str, new: str) -> None:
        rename(old, new)
        raise OSError(errno.EIO, new)

    monkeypatch.setattr(storage, "rename", refused)


def test_acks_with_gaps(storage: MemoryStorage, files: Files) -> None:
    store = booted(files)
    fill(store, 1, 2 * SEGMENT_READINGS + 5)
    noted: list[int] = []
    store.acked(ack(43, (3, 4), (22, 22), (42, 42)), lambda seq, identity: noted.append(seq))
    assert store.pending(1000) == [3, 4, 22, 42, 44, 45]
    assert noted == sorted(set(range(1, 44)) - {3, 4, 22, 42})
    assert len(storage.files) == 3
    store.acked(ack(43, (22, 22)), nothing)
    assert sorted(storage.files) == names((21, 40), (41, 45))
    store.acked(ack(45), nothing)
    assert (store.pending(1000), sorted(storage.files)) == ([], names((41, 45)))


def test_an_older_ack_takes_nothing_back(files: Files) -> None:
    store = booted(files)
    fill(store, 1, 10)
    store.acked(ack(8), nothing)
    store.acked(ack(3, (1, 2)), nothing)
    assert store.pending(1000) == [9, 10]


def test_a_reading_is_noted_before_it_is_forgotten(files: Files) -> None:
    store = booted(files)
    fill(store, 1, SEGMENT_READINGS + 1)

    def refuse(seq: int, identity: bytes) -> None:
        raise StorageError("acks log")

    with pytest.raises(StorageError):
        store.acked(ack(SEGMENT_READINGS + 1), refuse)
    assert store.pending(1000) == list(range(1, SEGMENT_READINGS + 2))


def test_a_full_flash_takes_nothing_and_loses_nothing(storage: MemoryStorage, files: Files) -> None:
    store = booted(files)
    fill(store, 1, 5)
    storage.full = True
    with pytest.raises(StorageError):
        fill(store, 6, 1)
    assert (store.pending(1000), newest(files)) == ([1, 2, 3, 4, 5], 5)
    storage.full = False
    store.write(6, [store.pack(b"reading 6")])
    assert newest(files) == 6


def test_the_number_of_segments_is_bounded(files: Files) -> None:
    store = booted(files, 4)
    room = []
    for first in (1, 2, 3, 4):
        room.append((store.has_room, store.is_nearly_full))
        fill(store, first, 1)
    assert room == [(True, False)] * 4
    assert (store.has_room, store.is_nearly_full) == (False, True)
    store.acked(ack(1), nothing)
    assert (store.has_room, store.is_nearly_full) == (True, False)


def test_a_flash_that_is_full_before_the_limit_has_no_room_until_something_goes(
    storage: MemoryStorage, files: Files
) -> None:
    """Somebody else's files took the space."""
    store = booted(files, 100)
    fill(store, 1, 2, 1)
    storage.full = True
    with pytest.raises(FlashFull):
        fill(store, 3, 1)
    assert (store.has_room, store.is_nearly_full) == (False, True)
    store.acked(ack(1), nothing)
    assert (store.has_room, store.is_nearly_full) == (True, False)
    with pytest.raises(FlashFull):
        fill(store, 3, 1)
    storage.full = False
    store.write(3, [store.pack(b"reading 3")])
    assert store.has_room


def test_the_oldest_is_given_up_without_what_was_delivered(files: Files) -> None:
    store = booted(files)
    fill(store, 1, 3 * SEGMENT_READINGS)
    store.acked(ack(12, (5, 6), (9, 9)), nothing)
    assert store.oldest() == [(5, 6), (9, 9), (13, 20)]
    store.drop(store.oldest())
    assert files.names() == names((21, 40), (41, 60))
    assert store.pending(1) == [21]
    assert booted(files).oldest() == [(21, 40)]


def test_a_damaged_segment_takes_those_behind_it_along(storage: MemoryStorage, files: Files) -> None:
    fill(booted(files), 1, 3 * SEGMENT_READINGS)
    damage(storage, "".join(names((21, 40))))
    store = booted(files)
    assert store.broken == names((21, 40), (41, 60))
    assert store.pending(1000) == list(range(1, SEGMENT_READINGS + 1))
    assert store.newest is not None
    assert store.newest[0] == SEGMENT_READINGS
    store.set_aside_broken()
    assert files.names() == names((1, 20))
    assert files.bad_count() == 2
    assert booted(files).broken == []


@pytest.mark.parametrize("name", names((1, 19), (1, 21)))
def test_a_segment_that_is_not_what_its_name_says_is_damaged(storage: MemoryStorage, files: Files, name: str) -> None:
    fill(booted(files), 1, SEGMENT_READINGS)
    storage.rename("".join(names((1, 20))), name)
    assert booted(files).broken == [name]


def test_a_segment_that_rots_in_use_is_an_error(storage: MemoryStorage, files: Files) -> None:
    store = booted(files)
    fill(store, 1, 2 * SEGMENT_READINGS)
    damage(storage, "".join(names((1, 20))))
    assert store.get(21) == b"reading 21"
    with pytest.raises(DamagedFile):
        store.get(1)


def test_a_wake_trusts_the_names_and_remembers_what_was_acked(storage: MemoryStorage, files: Files) -> None:
    fill(booted(files), 1, 2 * SEGMENT_READINGS + 3)
    store = Store(files, 10)
    store.resume(segment.Common(b"", b""), [(19, 22), (43, 43)])
    assert store.pending(100) == [19, 20, 21, 22, 43]
    assert store.last == 43
    assert store.get(43) == b"reading 43"
