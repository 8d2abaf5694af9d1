"""Runs inside MicroPython: updates on a LittleFS that has no room for them. Prints what happened as one JSON line.

    micropython update_room_life.py ORDERS

ORDERS is a JSON file of the test: what the host sends, as hex.
"""

import json
import os
import sys

import vfs  # type: ignore[import-not-found]

from tallystick_emulators.flash_disk import FlashDisk
from tallystick_node import app, inbox, segment, slots
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.files import Directory
from tallystick_wire import message, transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK_BYTES, BLOCKS = 4096, 64
NOW_MS = 1_800_000_000_000


class Bench:
    def __init__(self, orders: "dict[str, Any]") -> None:
        self.orders = orders
        self.link_key = bytes.fromhex(orders["link_key"])
        self.boot()
        self.say(bytes.fromhex(orders["link"]))

    def boot(self) -> None:
        self.board = MemoryBoard(0, Directory("/flash/tallystick", [segment.FOLDER]))
        self.board.random_bytes = os.urandom  # type: ignore[assignment,method-assign]
        self.board.slots = slots.FileSlots("/flash/slots")
        self.node = app.wake(self.board)

    def say(self, payload: bytes) -> bytes:
        return inbox.answer(self.node, payload, 0) or b""

    def bring(self, name: str, before_piece: "Any") -> str:
        """The node's word; `before_piece(number)` comes before each piece is handed over."""
        offer = self.orders[name]
        answer = self.say(transfer.build_offer(self.link_key, NOW_MS, bytes.fromhex(offer["data"])))
        number = 0
        while answer and message.kind(answer) == "want":
            identity, index = transfer.open_want(answer)
            before_piece(number)
            number += 1
            answer = self.say(transfer.build_chunk(identity, index, bytes.fromhex(offer["pieces"][str(index)])))
        return transfer.open_outcome(answer)[1] if answer else ""

    def reads(self) -> bool:
        """Whether a reading gets to flash."""
        self.node.take_reading(0)
        stored = self.node.store_batch(0)
        return bool(stored) and bool(self.node.store.pending(1))


def fill() -> None:
    """Somebody else's files take all that is left."""
    number = 0
    try:
        while True:
            with open(f"/flash/other/{number}", "wb") as file:
                file.write(bytes(BLOCK_BYTES))
            number += 1
    except OSError:
        pass


def clean() -> None:
    for name in os.listdir("/flash/other"):
        os.remove("/flash/other/" + name)


def fill_at(number: int) -> None:
    if number == 6:
        fill()


def parts() -> "list[str]":
    return sorted([name for name in os.listdir("/flash/slots") if name in ("list", "image")])


def main(path: str) -> None:
    with open(path) as file:
        orders = json.load(file)
    disk = FlashDisk(BLOCK_BYTES, BLOCKS)
    vfs.VfsLfs2.mkfs(disk)
    vfs.mount(vfs.VfsLfs2(disk), "/flash")
    os.mkdir("/flash/other")
    bench = Bench(orders)
    told: dict[str, Any] = {"large": bench.bring("large", lambda number: None), "large parts": parts()}
    told["filled"] = bench.bring("small", fill_at)
    told["filled parts"] = parts()
    told["reads"] = bench.reads()
    clean()
    told["again"] = bench.bring("small again", lambda number: None)
    print(json.dumps(told))


main(sys.argv[1])
