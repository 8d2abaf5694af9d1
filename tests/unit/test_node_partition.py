"""Updates on the two partitions of an ESP32, in RAM: as esp32.Partition and the bootloader's rollback behave."""

import errno
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from update_support import CHANCE, LINK, LINK_KEY, Slots, firmware, now_ms, order

from tallystick_node import app, inbox, slots_partition
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.slots_partition import BLOCK_BYTES, PartitionSlots
from tallystick_wire import message, reading, transfer

BLOCKS = 4


class Flash:
    """Two partitions; `boots` is the one that the bootloader takes next, "new" until it is marked as valid."""

    def __init__(self) -> None:
        self.content = {"ota_0": bytearray(b"factory" * 2048)[: BLOCKS * BLOCK_BYTES], "ota_1": bytearray()}
        self.content["ota_1"] = bytearray(CHANCE.randbytes(BLOCKS * BLOCK_BYTES))  # of an update long ago
        self.running = self.boots = "ota_0"
        self.state = "valid"
        self.erased: list[int] = []

    def reset(self) -> None:
        """What ESP-IDF's bootloader does: a new image once, then back."""
        if self.state == "new":
            self.state, self.running = "pending", self.boots
        elif self.state == "pending":
            self.boots = self.running = next(name for name in self.content if name != self.boots)
            self.state = "valid"


def partition_of(flash: Flash) -> Any:
    """The class esp32.Partition of a board with this flash."""

    class Partition:
        RUNNING, BOOT = 1, 0
        board: ClassVar[Flash] = flash

        def __init__(self, which: int | str) -> None:
            self.label = {1: flash.running, 0: flash.boots}[which] if isinstance(which, int) else which

        def info(self) -> tuple[int, int, int, int, str, bool]:
            return (0, 16, 0x10000, BLOCKS * BLOCK_BYTES, self.label, False)

        def get_next_update(self) -> "Partition":
            return Partition("ota_1" if flash.running == "ota_0" else "ota_0")

        def readblocks(self, block: int, buffer: bytearray, offset: int) -> None:
            start = block * BLOCK_BYTES + offset
            buffer[:] = flash.content[self.label][start : start + len(buffer)]

        def writeblocks(self, block: int, data: bytes, offset: int) -> None:
            start = block * BLOCK_BYTES + offset
            for number, byte in enumerate(data):
                flash.content[self.label][start + number] &= byte  # a flash only clears bits

        def ioctl(self, request: int, block: int) -> None:
            assert request == 6
            flash.erased.append(block)
            start = block * BLOCK_BYTES
            flash.content[self.label][start : start + BLOCK_BYTES] = b"\xff" * BLOCK_BYTES

        def set_boot(self) -> None:
            if flash.content[self.label][0] != 0xE9:
                raise OSError(errno.EINVAL, "no application")
            flash.boots, flash.state = self.label, "new"

        @staticmethod
        def mark_app_valid_cancel_rollback() -> None:
            flash.state = "valid"

    return Partition


class Bench:
    def __init__(self) -> None:
        self.flash, self.files, self.board = Flash(), Slots(), MemoryBoard()
        self.boot()
        self.say(LINK)

    def boot(self) -> None:
        self.flash.reset()
        self.board.power_cycle()
        self.board.slots = PartitionSlots(partition_of(self.flash), str(self.files.root))
        self.node = app.wake(self.board)

    def say(self, payload: bytes) -> bytes | None:
        return inbox.answer(self.node, payload, 0)

    def load(self, one: Any, most: int = 100) -> tuple[list[int], str]:
        """(pieces that were asked for, the node's word)."""
        wanted: list[int] = []
        answer = self.say(transfer.build_offer(LINK_KEY, now_ms(), one.data)) or b""
        while message.kind(answer) == "want" and len(wanted) < most:
            identity, index = transfer.open_want(answer)
            wanted.append(index)
            answer = self.say(transfer.build_chunk(identity, index, one.piece(index))) or b""
        return wanted, transfer.open_outcome(answer)[1] if message.kind(answer) == "outcome" else ""

    def prove(self) -> None:
        self.node.take_reading(0)
        self.node.store_batch(0)
        self.node.send_pending(0)
        newest = reading.parse(self.board.link.sent[-1])
        self.say(message.build_ack(LINK_KEY, newest.kid, newest.chain.boot, newest.chain.seq, []))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.files.close()


def application(size: int = 3 * BLOCK_BYTES + 777) -> bytes:
    return b"\xe9" + CHANCE.randbytes(size - 1)


def signed(content: bytes, version: int = 1) -> Any:
    return firmware(content, order(version), board=slots_partition.NAME)


def test_loaded_tried_confirmed(bench: Bench) -> None:
    content = application()
    wanted, word = bench.load(signed(content))
    assert (wanted, word) == ([-1, *range(13)], transfer.LOADED)
    assert bytes(bench.flash.content["ota_1"][: len(content)]) == content
    bench.boot()
    assert bench.flash.running == "ota_1"
    bench.prove()
    for _ in range(2):
        bench.boot()
        assert (bench.flash.running, bench.flash.state) == ("ota_1", "valid")
    other = application()
    assert bench.load(signed(other, 2))[1] == transfer.LOADED
    assert bytes(bench.flash.content["ota_0"][: len(other)]) == other


def test_not_proved_rolled_back(bench: Bench) -> None:
    one = signed(application())
    bench.load(one)
    bench.boot()
    bench.boot()
    assert bench.flash.running == "ota_0"
    assert bench.node.counts == {"updates_rolled_back": 1}
    assert bench.load(one) == ([], "updates_failed_before")


@pytest.mark.parametrize("most", [1, 2, 4, 5, 6, 9, 13])
def test_it_goes_on_at_the_last_whole_block(bench: Bench, most: int) -> None:
    """A block is erased before its first chunk, so whoever goes on begins with a block."""
    content = application()
    one = signed(content)
    bench.load(one, most)
    bench.boot()
    wanted, word = bench.load(one)
    assert word == transfer.LOADED
    assert wanted[0] == (most - 1) // 4 * 4
    assert bytes(bench.flash.content["ota_1"][: len(content)]) == content


def test_what_is_larger_than_a_partition(bench: Bench) -> None:
    assert bench.load(signed(application(BLOCKS * BLOCK_BYTES + 1))) == ([], "updates_no_room")
    assert bench.load(signed(application(BLOCKS * BLOCK_BYTES)))[1] == transfer.LOADED


def test_what_esp_idf_refuses(bench: Bench) -> None:
    one = signed(b"\x00" + application()[1:])
    assert bench.load(one)[1] == "images_malformed"
    bench.boot()
    assert (bench.flash.running, bench.node.counts) == ("ota_0", {})


def test_no_flash_is_no_crash(bench: Bench) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "flash")

    slots: Any = bench.board.slots
    calls: list[Callable[[], object]] = [
        lambda: slots.write("image", 0, b"x"),
        slots.confirm,
    ]
    slots._next.ioctl = slots._next.readblocks = broken
    slots._partition.mark_app_valid_cancel_rollback = broken
    assert slots.read("image", 0, 4) == b""
    for call in calls:
        with pytest.raises(Exception, match="partition"):
            call()


def test_only_an_esp32_has_partitions() -> None:
    assert slots_partition.here("/nowhere") is None
