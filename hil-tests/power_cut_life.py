"""Runs inside MicroPython: lives of the real node on a LittleFS whose flash stops at its N-th step.

    micropython power_cut_life.py cut IMAGE_PREFIX FIRST LAST ORDER    lives from an empty flash, cut at FIRST..LAST
    micropython power_cut_life.py whole IMAGE                          one more life on an image, not cut

Prints a line `life {...}` for each: what the outside world saw, and what the node numbered and signed. (Other lines
come from the garbage collector, which tries to close files on a disk without power.) ORDER is "real", or the name of a
deliberate mistake that the tests must notice.
"""

import hashlib
import json
import os
import sys

import vfs  # type: ignore[import-not-found]

from tallystick_emulators.flash_disk import FlashDisk, PowerCut
from tallystick_node import (
    app,
    ed25519,
    ed25519_verify,
    given_up,
    inbox,
    node,
    on_demand,
    reserve,
    segment,
    state,
    store,
)
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.chain import Chain
from tallystick_node.files import Directory
from tallystick_wire import cbor, cose, message, reading, transfer
from tallystick_wire.sequence import Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK_BYTES, BLOCKS = 512, 128
ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
TURNS, TURNS_AFTER = 34, 8
CONFIG_TURN = 8
SILENT = range(12, 25)  # turns in which the gateway says nothing: the flash fills, and the oldest are given up
# Small, so that a short life crosses every kind of write several times.
BATCH_READINGS = 3
SEGMENT_LIMIT = 3
reserve.SEQUENCE_BLOCK = 4
SITE = ed25519.SigningKey(bytes(32))
# What the signature is worth is not the question here, and it takes longer than the rest of a life.
ed25519_verify.verify = lambda public_key, message, signature: True
on_demand.VERIFIER = ()  # so that this one stays


def config_offer(version: int) -> bytes:
    """The site tells the node to give up the oldest readings when its flash is full."""
    body = cbor.Map(
        [
            ("aud", ORIGIN),
            ("jti", bytes(16)),
            ("exp", 1),
            ("target", None),
            ("version", version),
            ("settings", cbor.Map([("give_up_oldest", True)])),
        ]
    )
    kid = state.kid(SITE.public_key)
    typ = "application/vnd.tallystick.config+cbor"
    protected = cbor.encode(
        cbor.Map([(cose.LABEL_ALG, cose.ALG_EDDSA), (cose.LABEL_KID, kid), (cose.LABEL_TYP, typ)])
    )
    return transfer.build_offer(LINK_KEY, 0, cose.assemble(protected, cbor.encode(body), bytes(64)))


class World(MemoryBoard):
    """The board, and a gateway at the other end of its link that acks late, or in a second life at once."""

    def __init__(self, turns: int, late: bool) -> None:
        super().__init__(turns, Directory("/flash", [segment.FOLDER]))
        self.batch_readings, self.segment_limit = BATCH_READINGS, SEGMENT_LIMIT
        self.events: list[list[Any]] = []
        self._late = late
        self._turn = 0
        self._seen = Seen()
        self.plug_in()
        self.link.arriving = [message.build_hello(), message.build_link(LINK_KEY, ORIGIN, PEN, SITE.public_key)]

    def plug_in(self) -> None:
        self.link.resend_after_ms = 300

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def reboot(self) -> None:
        """The node starts again by itself: no power cut, and its files are whole."""
        self.hear()
        waiting = self.link.arriving
        self.power_cycle(self.turns)
        self.plug_in()
        self.link.arriving = waiting

    def idle(self, wait_ms: int) -> None:
        super().idle(wait_ms)
        self._turn += 1
        self.hear()
        if self._late and self._turn == CONFIG_TURN:
            self.link.arriving.append(config_offer(7))

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
            elif kind == "outcome":
                self.events.append(["outcome", transfer.open_outcome(payload)[1]])
            else:
                self.events.append([kind])

    def _take(self, taken: reading.Reading) -> None:
        chain, boot = taken.chain, taken.boot_record
        self.events.append(["sent", chain.boot, chain.seq, taken.identity.hex(), chain.previous.hex()])
        if boot is not None:
            self.events.append(["booted", chain.seq, boot.last_persisted, taken.pack.get(node.BAD_FILES)])
        if taken.gap is not None:
            self.events.append(["gap", taken.gap[0], taken.gap[1]])
            self._seen.forget(*taken.gap)
        self._seen.add(chain.seq)
        if self._late and self._turn in SILENT:
            return
        high, gaps = self._seen.ack()
        covered = max(high - 2, 0) if self._late else high  # late: never for the newest
        if covered:
            below = [(first, last) for first, last in gaps if last < covered]
            self.link.arriving.append(message.build_ack(LINK_KEY, taken.kid, chain.boot, covered, below))

    def acked(self, kid: bytes, seq: int, identity: bytes) -> None:
        self.events.append(["acked", seq, identity.hex()])


def watch(world: World) -> None:
    """Note what is numbered and what is signed, whether or not anybody ever hears of it."""

    def take(chain: Chain, uptime_ms: int, records: "list[Any]") -> "Any":
        measured = real_take(chain, uptime_ms, records)
        world.events.append(["taken", measured.seq])
        return measured

    def sign(chain: Chain, measured: "Any", previous: bytes) -> "tuple[bytes, bytes]":
        data, link = real_sign(chain, measured, previous)
        world.events.append(["signed", chain._boot, measured.seq, hashlib.sha256(data).digest().hex()])
        return data, link

    def wake(board: "Any") -> node.Node:
        woken = real_wake(board)
        world.events.append(["settings", woken.updates.config_version])
        return woken

    Chain.take = take  # type: ignore[assignment,method-assign]
    Chain.sign = sign  # type: ignore[assignment,method-assign]
    app.wake = wake


def make_mistake(order: str) -> None:
    """Break the order of durability in one place."""
    if order == "reserve-late":

        def store_then_reserve(self: node.Node, now_ms: int) -> bool:
            stored = real_store_batch(self, now_ms)
            if self.chain is not None and self.chain.reserve.exhausted:
                self.chain.reserve.extend()
            return stored

        def take(self: reserve.Reserve) -> int:
            self._next += 1
            return self._next - 1

        node.Node._reserve = lambda self, chain: None  # type: ignore[method-assign]
        reserve.Reserve.take = take  # type: ignore[method-assign]
        node.Node.store_batch = store_then_reserve  # type: ignore[method-assign]
    elif order == "send-early":

        def send_then_write(self: store.Store, first: int, readings: "list[bytes]") -> None:
            for packed in readings:
                sending.append(self._common.grow(cbor.decode(packed)))
            real_write(self, first, readings)

        store.Store.write = send_then_write  # type: ignore[method-assign]
    elif order == "give-up-early":

        def remove_then_declare(self: node.Node, lost: given_up.GivenUp) -> None:
            if not self.store.has_room:
                ranges = self.store.oldest()
                self.store.drop(ranges)
                lost.add(ranges)

        node.Node._make_room = remove_then_declare  # type: ignore[assignment,method-assign]
    elif order == "answer-early":

        def link_then_keep(self: node.Node, data: bytes, now_ms: int) -> "bytes | None":
            self.board.link.send(message.build_linked(self.kid))
            return real_link(self, data, now_ms)

        inbox._HANDLERS["link"] = link_then_keep  # type: ignore[assignment]
    elif order != "real":
        raise ValueError(order)


real_take, real_sign, real_wake = Chain.take, Chain.sign, app.wake
real_store_batch, real_link = node.Node.store_batch, inbox._link
real_write = store.Store.write
sending: "list[bytes]" = []  # what a mistake sends by itself


def life(disk: FlashDisk, turns: int, late: bool) -> "dict[str, Any]":
    """From mount to the cut, or to the end of the turns; a node that reboots by itself goes on."""
    world = None
    try:
        vfs.mount(vfs.VfsLfs2(disk), "/flash")
        world = World(turns, late)
        watch(world)
        while world.turns > 0:
            app.run(world)
    except PowerCut:
        if world is not None:
            world.hear()
            world.link.sent = sending
            world.hear()
    return {"steps": disk.steps, "cut": disk.is_dead, "events": world.events if world is not None else []}


def empty_image() -> bytes:
    disk = FlashDisk(BLOCK_BYTES, BLOCKS)
    vfs.VfsLfs2.mkfs(disk)
    return bytes(disk.image)


def cut_lives(prefix: str, first: int, last: int, order: str) -> None:
    make_mistake(order)
    empty = empty_image()
    for cut_at in range(first, last + 1):
        sending.clear()
        disk = FlashDisk(BLOCK_BYTES, BLOCKS, empty, cut_at)
        print("life " + json.dumps(life(disk, TURNS, True)))
        with open(f"{prefix}{cut_at}", "wb") as file:
            file.write(disk.image)
        disk.is_dead = True  # whatever a finaliser still wants to write comes too late
        vfs.umount("/flash")
        if disk.steps < cut_at:
            return


def main(arguments: "list[str]") -> None:
    if arguments[0] == "cut":
        cut_lives(arguments[1], int(arguments[2]), int(arguments[3]), arguments[4])
        return
    with open(arguments[1], "rb") as file:
        image = file.read()
    print("life " + json.dumps(life(FlashDisk(BLOCK_BYTES, BLOCKS, image), TURNS_AFTER, False)))


main(sys.argv[1:])
