"""Runs inside MicroPython: lives of the real node on a LittleFS whose block device loses power at its N-th write.

    micropython power_cut_life.py cut IMAGE_PREFIX FIRST LAST ORDER    lives from an empty flash, cut at FIRST..LAST
    micropython power_cut_life.py whole IMAGE                          one more life on an image, not cut

Prints a line `life {...}` for each: what the outside world saw, and what the node signed. (Other lines come from the
garbage collector, which tries to close files on a disk without power.) ORDER is "real", or the name of a deliberate
mistake that the tests must notice.
"""

import json
import os
import sys

import vfs  # type: ignore[import-not-found]

from tallystick_node import app, inbox, node, reserve, store
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.chain import Chain
from tallystick_node.files import Directory
from tallystick_wire import message, reading
from tallystick_wire.sequence import Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK_BYTES, BLOCKS = 512, 128
ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
TURNS = 24
SILENT = range(8, 15)  # readings after which the gateway says nothing: segments fill and are closed
# Small, so that a short life crosses every kind of write several times.
store.SEGMENT_READINGS = 3
reserve.SEQUENCE_BLOCK = 4


class PowerCut(BaseException):
    """No handler of the node may catch this."""


class Disk:
    """Memory as a block device. The write number `cut_at` is torn in the middle; after it there is no power."""

    def __init__(self, image: bytes, cut_at: int) -> None:
        self.image = bytearray(image)
        self._left = cut_at
        self.writes = 0
        self.dead = False

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        start = block * BLOCK_BYTES + offset
        buffer[:] = self.image[start : start + len(buffer)]

    def writeblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        if self.dead:
            raise PowerCut
        self.writes += 1
        start = block * BLOCK_BYTES + offset
        if self.writes == self._left:
            half = len(buffer) // 2
            self.image[start : start + half] = buffer[:half]
            self.dead = True
            raise PowerCut
        self.image[start : start + len(buffer)] = buffer

    def ioctl(self, request: int, argument: int) -> "int | None":
        if request == 6 and self.dead:  # erase
            raise PowerCut
        return {4: BLOCKS, 5: BLOCK_BYTES, 6: 0}.get(request)


class World(MemoryBoard):
    """The board, and a gateway at the other end of its link that acks late and never everything."""

    def __init__(self, turns: int, acks: bool) -> None:
        super().__init__(turns, Directory("/flash", [store.FOLDER]))
        self.events: list[list[Any]] = []
        self._acks = acks
        self._seen = Seen()
        self.link.arriving = [message.build_hello(), message.build_link(LINK_KEY, ORIGIN, PEN)]

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def idle(self, wait_ms: int) -> None:
        super().idle(wait_ms)
        self.hear()

    def hear(self) -> None:
        """The gateway's turn: take what the node sent, and answer."""
        heard, self.link.sent = self.link.sent, []
        for payload in heard:
            kind = message.kind(payload)
            if kind == "node":
                told = message.open_node(payload)
                self.events.append(["node", told.state, told.public_key.hex()])
            elif kind == "reading":
                self._take(reading.parse(payload))
            else:
                self.events.append([kind])

    def _take(self, taken: reading.Reading) -> None:
        chain, boot = taken.chain, taken.boot_record
        self.events.append(["sent", chain.boot, chain.seq, taken.identity.hex(), chain.previous.hex()])
        if boot is not None:
            self.events.append(["booted", chain.seq, boot.last_persisted, taken.pack.get(node.BAD_FILES)])
        self._seen.add(chain.seq)
        high, gaps = self._seen.ack()
        # After two in three comes an ack, late and not for the newest.
        if self._acks and chain.seq % 3 and chain.seq not in SILENT:
            covered = max(high - 2, 0)
            below = [(first, last) for first, last in gaps if last < covered]
            if covered:
                self.link.arriving.append(message.build_ack(LINK_KEY, taken.kid, chain.boot, covered, below))

    def acked(self, kid: bytes, seq: int, identity: bytes) -> None:
        self.events.append(["acked", seq, identity.hex()])


def watch_signing(world: World) -> None:
    """Note every reading at the moment it is signed, whether or not anybody ever hears of it."""

    def signing(chain: Chain, uptime_ms: int, records: "list[Any]") -> "tuple[int, bytes]":
        seq, data = real_sign(chain, uptime_ms, records)
        world.events.append(["signed", chain._boot, seq, reading.parse(data).identity.hex()])
        return seq, data

    Chain.sign = signing  # type: ignore[assignment,method-assign]


def make_mistake(order: str) -> None:
    """Break the order of durability in one place."""
    if order == "reserve-late":

        def send_then_reserve(self: node.Node, now_ms: int) -> None:
            real_send_pending(self, now_ms)
            if self.chain is not None and self.chain.reserve.exhausted:
                self.store.flush()
                self.chain.reserve.extend()

        node.Node._reserve = lambda self, chain: None  # type: ignore[method-assign]
        reserve.Reserve.next = lambda self: self._next  # type: ignore[method-assign]
        node.Node.send_pending = send_then_reserve  # type: ignore[method-assign]
    elif order == "store-late":

        def keep_in_ram(self: store.Store, seq: int, data: bytes) -> None:
            self._ram.append((seq, data))
            self._saved = False

        def room_in_ram(self: store.Store) -> bool:
            return len(self._ram) < store.SEGMENT_READINGS or real_has_room(self)

        store.Store.keep = keep_in_ram  # type: ignore[method-assign]
        store.Store.has_room = room_in_ram  # type: ignore[method-assign]
    elif order == "answer-early":

        def link_then_keep(self: node.Node, data: bytes, now_ms: int) -> bytes:
            self.board.link.send(message.build_linked(self.kid))
            return real_link(self, data, now_ms)

        inbox._HANDLERS["link"] = link_then_keep  # type: ignore[assignment]
    elif order != "real":
        raise ValueError(order)


real_sign = Chain.sign
real_has_room = store.Store.has_room
real_send_pending = node.Node.send_pending
real_link = inbox._link


def life(disk: Disk, turns: int, acks: bool) -> "dict[str, Any]":
    """From mount to the cut, or to the end of the turns."""
    world = None
    try:
        vfs.mount(vfs.VfsLfs2(disk), "/flash")
        world = World(turns, acks)
        watch_signing(world)
        app.run(world)
    except PowerCut:
        if world is not None:
            world.hear()
    return {"writes": disk.writes, "cut": disk.dead, "events": world.events if world is not None else []}


def empty_image() -> bytes:
    disk = Disk(bytes(BLOCKS * BLOCK_BYTES), 0)
    vfs.VfsLfs2.mkfs(disk)
    return bytes(disk.image)


def cut_lives(prefix: str, first: int, last: int, order: str) -> None:
    make_mistake(order)
    empty = empty_image()
    for cut_at in range(first, last + 1):
        disk = Disk(empty, cut_at)
        print("life " + json.dumps(life(disk, TURNS, True)))
        with open(f"{prefix}{cut_at}", "wb") as file:
            file.write(disk.image)
        disk.dead = True  # whatever a finaliser still wants to write comes too late
        vfs.umount("/flash")
        if disk.writes < cut_at:
            return


def main(arguments: "list[str]") -> None:
    if arguments[0] == "cut":
        cut_lives(arguments[1], int(arguments[2]), int(arguments[3]), arguments[4])
        return
    with open(arguments[1], "rb") as file:
        image = file.read()
    print("life " + json.dumps(life(Disk(image, 0), 4, False)))


main(sys.argv[1:])
