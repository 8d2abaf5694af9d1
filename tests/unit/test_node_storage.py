"""Files, twins, reservations and the store: what is on flash, and what a damaged file costs."""

from itertools import pairwise
from pathlib import Path

import pytest

from tallystick_node import reserve as reserves
from tallystick_node import state
from tallystick_node.board_memory import MemoryStorage
from tallystick_node.errors import DamagedFile, StateLost, StorageError
from tallystick_node.files import MAX_BAD_FILES, Directory, Files
from tallystick_node.reserve import SEQUENCE_BLOCK, Reserve
from tallystick_node.twin import Twin
from tallystick_wire import cbor

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
