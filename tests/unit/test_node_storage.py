"""Files, twins, reservations and the store: what is on flash, and what a damaged file costs."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_node import reserve as reserves
from tallystick_node import segment, state
from tallystick_node.batch import MAX_BATCH_READINGS
from tallystick_node.board_memory import MemoryStorage
from tallystick_node.errors import DamagedFile, FlashFull, StateLost, StorageError
from tallystick_node.files import MAX_BAD_FILES, Directory, Files
from tallystick_node.reserve import SEQUENCE_BLOCK, Reserve
from tallystick_node.store import Store
from tallystick_node.twin import Twin
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


# --- files


def test_a_file_comes_back_as_it_was(files: Files) -> None:
    files.write("a", [b"con", b"tent"])
    assert files.read("a") == b"content"
    assert files.read("b") is None


@pytest.mark.parametrize("data", [b"", b"abc", b"content0000", b"\xff" * 9])
def test_a_damaged_file_is_noticed(storage: MemoryStorage, files: Files, data: bytes) -> None:
    storage.files["a"] = data
    with pytest.raises(DamagedFile, match="a: the checksum"):
        files.read("a")


def test_every_flipped_bit_is_noticed(storage: MemoryStorage, files: Files) -> None:
    files.write("a", [b"seed"])
    good = storage.files["a"]
    for bit in range(8 * len(good)):
        storage.files["a"] = bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(good))
        with pytest.raises(DamagedFile):
            files.read("a")


def test_what_was_being_written_is_removed_at_boot(storage: MemoryStorage) -> None:
    storage.files.update({"a": b"x", "b.new": b"half"})
    assert Files(storage).names() == ["a"]
    assert "b.new" not in storage.files


def test_set_aside_is_counted_and_bounded(storage: MemoryStorage, files: Files) -> None:
    for number in range(MAX_BAD_FILES + 3):
        storage.files[f"s/{number}.seg"] = b"?"
        files.set_aside(f"s/{number}.seg")
    assert files.bad_count() == MAX_BAD_FILES
    assert files.names() == []


def test_a_full_flash_keeps_the_old_content(storage: MemoryStorage, files: Files) -> None:
    files.write("a", [b"old"])
    storage.full = True
    with pytest.raises(StorageError, match="a: "):
        files.write("a", [b"new"])
    assert files.read("a") == b"old"


def test_a_directory_is_such_a_storage(tmp_path: Path) -> None:
    for _ in range(2):  # the second time it is there already
        files = Files(Directory(str(tmp_path / "flash"), ["s"]))
    files.write("a", [b"1"])
    files.write("s/b", [b"2"])
    assert files.names() == ["a", "s/b"]
    assert files.read("s/b") == b"2"
    assert files.read("s/none") is None
    files.set_aside("s/b")
    files.remove("a")
    assert (files.names(), files.bad_count()) == ([], 1)
    files.remove("a")  # gone is gone


# --- twins


def test_a_twin_remembers(files: Files) -> None:
    assert Twin(files, "t").load() is None
    for value in (1, 2, 3):
        twin = Twin(files, "t")
        twin.load()
        twin.save(value)
        again = Twin(files, "t")
        assert again.load() == value
        assert not again.doubtful


@pytest.mark.parametrize("copy", ["t.0", "t.1"])
@pytest.mark.parametrize("writes", [1, 2, 3])
def test_one_damaged_copy_costs_at_most_one_write(storage: MemoryStorage, files: Files, copy: str, writes: int) -> None:
    twin = Twin(files, "t")
    for value in range(1, writes + 1):
        twin.save(value)
    damage(storage, copy)
    again = Twin(files, "t")
    assert again.load() in (writes, max(1, writes - 1))
    assert again.doubtful
    assert copy + ".bad" in storage.files
    once_more = Twin(files, "t")
    once_more.load()
    assert once_more.doubtful, "a crash right after setting aside must not hide the doubt"
    once_more.restore(writes)
    healed = Twin(files, "t")
    assert (healed.load(), healed.doubtful) == (writes, False)


def test_no_copy_left_is_a_loss_and_touches_nothing(storage: MemoryStorage, files: Files) -> None:
    Twin(files, "t").save(7)
    damage(storage, "t.0")
    damage(storage, "t.1")
    before = dict(storage.files)
    with pytest.raises(StateLost, match="t"):
        Twin(files, "t").load()
    assert storage.files == before
    del storage.files["t.0"]
    with pytest.raises(StateLost):
        Twin(files, "t").load()


# --- key, boots, configuration


def test_the_key_is_made_once(files: Files, storage: MemoryStorage) -> None:
    key = state.load_key(files, lambda count: b"k" * count)
    assert state.load_key(files, lambda count: b"x" * count).public_key == key.public_key
    damage(storage, "key.0")
    assert state.load_key(files, lambda count: b"x" * count).public_key == key.public_key
    assert files.read("key.0") is not None, "the second copy is made again"


def test_without_a_key_everything_else_is_set_aside(files: Files, storage: MemoryStorage) -> None:
    files.write("reserve.0", [b"of another key"])
    state.load_key(files, lambda count: b"k" * count)
    assert files.names() == ["key.0", "key.1"]
    assert "reserve.0.bad" in storage.files


def test_boots_rise_whatever_copy_is_damaged(files: Files, storage: MemoryStorage) -> None:
    boots = [state.next_boot(files)]
    for number in range(12):
        if number % 2:
            damage(storage, f"boot.{number // 2 % 2}")
        boots.append(state.next_boot(files))
    assert all(earlier < later for earlier, later in pairwise(boots))
    assert boots[:2] == [1, 2]


def test_a_configuration_comes_back(files: Files) -> None:
    assert state.load_config(files) is None
    state.save_config(files, state.Config("a.example/log", 7, b"l" * 32))
    found = state.load_config(files)
    assert found is not None
    assert (found.origin, found.pen, found.link_key) == ("a.example/log", 7, b"l" * 32)
    other = state.Config("a.example/log", 7, b"m" * 32)
    settings = [cbor.Map([("interval_ms", interval_ms)]) for interval_ms in (100, 101)]
    assert state.config_hash(found, settings[0]) == state.config_hash(other, settings[0]), "the link key shows nowhere"
    assert state.config_hash(found, settings[0]) != state.config_hash(found, settings[1])


# --- reservations


def boot(files: Files, stored: tuple[int, bytes] | None = None, broken: bool = False) -> Reserve:
    return reserves.load(Twin(files, "reserve"), GENESIS, stored, broken)


def take(reserve: Reserve, count: int) -> list[int]:
    numbers = []
    for _ in range(count):
        if reserve.exhausted:
            reserve.extend()
        numbers.append(reserve.take())
        reserve.stored(numbers[-1], LINK)
    return numbers


def test_numbers_rise_without_gap_within_a_boot(files: Files) -> None:
    assert take(boot(files), 3 * SEQUENCE_BLOCK) == list(range(1, 3 * SEQUENCE_BLOCK + 1))


def test_a_number_must_be_reserved(files: Files) -> None:
    with pytest.raises(StorageError, match="reserved"):
        boot(files).take()


@pytest.mark.parametrize("used", [1, SEQUENCE_BLOCK - 1, SEQUENCE_BLOCK, SEQUENCE_BLOCK + 1])
def test_a_boot_skips_what_was_reserved(files: Files, used: int) -> None:
    take(boot(files), used)
    reserve = boot(files)
    before = reserve.bound
    assert reserve.highest == before >= used
    assert take(reserve, 1) == [before + 1]


def test_a_boot_without_readings_costs_no_numbers(files: Files) -> None:
    take(boot(files), 1)
    for _ in range(5):
        assert boot(files).bound == SEQUENCE_BLOCK


@pytest.mark.parametrize("copy", ["reserve.0", "reserve.1"])
@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
@pytest.mark.parametrize("idle_boots", [0, 1, 2])
def test_a_damaged_reservation_never_returns_a_number(
    storage: MemoryStorage, files: Files, copy: str, blocks: int, idle_boots: int
) -> None:
    used = take(boot(files), blocks * SEQUENCE_BLOCK)
    damage(storage, copy)
    for _ in range(idle_boots):
        boot(files)
    assert take(boot(files), 1)[0] > used[-1]


def test_a_refused_reservation_changes_nothing(storage: MemoryStorage, files: Files) -> None:
    reserve = boot(files)
    take(reserve, SEQUENCE_BLOCK)
    storage.full = True
    with pytest.raises(StorageError):
        reserve.extend()
    assert reserve.exhausted
    storage.full = False
    assert take(reserve, 1) == [SEQUENCE_BLOCK + 1]


def test_the_numbers_end(files: Files) -> None:
    Twin(files, "reserve").save([2**32 - 1, 5, LINK])
    with pytest.raises(StorageError, match="used up"):
        boot(files).extend()


def test_what_is_remembered(files: Files) -> None:
    assert (boot(files).last, boot(files).link) == (0, GENESIS)
    take(boot(files), SEQUENCE_BLOCK + 1)
    assert boot(files).last == SEQUENCE_BLOCK, "as the second reservation said"
    assert boot(files, stored=(200, b"s" * 16)).last == SEQUENCE_BLOCK
    assert boot(files, stored=(257, b"s" * 16)).link == b"s" * 16
    assert boot(files, stored=(200, b"s" * 16), broken=True).last == 200
    assert boot(files).last == 200, "kept at once: the broken segment may be gone at the next boot"
    assert (boot(files, broken=True).last, boot(files).link) == (0, GENESIS)


def test_what_waits_in_ram_is_not_remembered(files: Files) -> None:
    """A block may be reserved while a batch waits; the reservation names what is on flash."""
    reserve = boot(files)
    take(reserve, SEQUENCE_BLOCK - 3)
    for _ in range(3):
        reserve.take()
    reserve.extend()
    assert reserve.take() == SEQUENCE_BLOCK + 1
    assert reserve.highest == SEQUENCE_BLOCK - 3, "nobody can have what was not stored"
    assert (boot(files).last, boot(files).bound) == (SEQUENCE_BLOCK - 3, 2 * SEQUENCE_BLOCK)


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
