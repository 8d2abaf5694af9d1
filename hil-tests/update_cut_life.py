"""Runs inside MicroPython: a node takes a configuration and firmware while the power goes at the N-th write or erase.

    micropython update_cut_life.py ORDERS FIRST LAST MISTAKE

ORDERS is a JSON file of the test: what the host sends, as hex. For each cut FIRST..LAST it prints a line `lives {...}`
with what happened until the cut and what happened in the life after it, from the flash that the cut left. MISTAKE is
"none", or the name of a deliberate one that the test must notice.
"""

import gc
import hashlib
import json
import os
import sys

import vfs  # type: ignore[import-not-found]

from tallystick_emulators.flash_disk import FlashDisk, PowerCut
from tallystick_node import app, inbox, loader, segment, slots, update_state
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.files import Directory
from tallystick_wire import cbor, message, reading, transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK_BYTES, BLOCKS = 1024, 128
ROOT = "/flash/slots"
NOW_MS = 1_800_000_000_000
MOST_BOOTS = 12


class Host:
    """The node's world: what it is sent, and what was seen of it."""

    def __init__(self, orders: "dict[str, Any]") -> None:
        self.orders = orders
        self.link_key = bytes.fromhex(orders["link_key"])
        self.events: list[list[Any]] = []
        self.node: Any = None
        self.board: Any = None

    def boot(self) -> None:
        """Power on. What the loader chose is looked at: is it a whole firmware?"""
        slot = loader.choose(ROOT)
        state = loader.load(ROOT).state
        self.events.append(["boot", slot, state, "" if slot == loader.FACTORY else _content(ROOT + "/" + slot)])
        self.board = MemoryBoard(0, Directory("/flash/tallystick", [segment.FOLDER]))
        self.board.random_bytes = os.urandom
        self.board.slots = slots.FileSlots(ROOT)
        self.node = app.wake(self.board)
        told = self.node.updates.told
        self.events.append(["told", "" if told is None else cbor.encode(told).hex()])

    def say(self, payload: bytes) -> "bytes | None":
        return inbox.answer(self.node, payload, 0)

    def bring(self, name: str) -> str:
        """The node's word for that offer, after all the pieces that it wants."""
        offer = self.orders[name]
        answer = self.say(transfer.build_offer(self.link_key, NOW_MS, bytes.fromhex(offer["data"])))
        while answer is not None and message.kind(answer) == "want":
            identity, index = transfer.open_want(answer)
            self.events.append(["want", name, index])
            answer = self.say(transfer.build_chunk(identity, index, bytes.fromhex(offer["pieces"][str(index)])))
        word = "" if answer is None else transfer.open_outcome(answer)[1]
        self.events.append(["word", name, word])
        return word

    def prove(self) -> None:
        """A reading is stored, sent and acked."""
        self.node.take_reading(0)
        self.node.store_batch(0)
        self.node.send_pending(0)
        readings = [reading.parse(data) for data in self.board.link.sent if message.kind(data) == "reading"]
        newest = readings[-1]
        self.say(message.build_ack(self.link_key, newest.kid, newest.chain.boot, newest.chain.seq, []))

    def live(self) -> None:
        """Until the configuration holds and firmware was confirmed; after a rollback under its next version."""
        firmware = "firmware"
        for _ in range(MOST_BOOTS):
            self.boot()
            if self.bring("config") == transfer.KEPT:
                continue
            word = self.bring(firmware)
            if word == transfer.ON_TRIAL:
                self.prove()
                word = self.bring(firmware)
            if word == transfer.CURRENT:
                if self.bring("config") == transfer.CURRENT:
                    self.bring("old config")
                    self.events.append(["done"])
                    return
            elif word == "updates_failed_before":
                firmware = "firmware again"
                if self.bring(firmware) == transfer.CURRENT:
                    self.events.append(["done"])
                    return


def _content(folder: str) -> str:
    """A hash of every file of a slot; "nothing" for one that is not there."""
    total = hashlib.sha256()
    try:
        for package in sorted(os.listdir(folder)):
            for name in sorted(os.listdir(folder + "/" + package)):
                with open(folder + "/" + package + "/" + name, "rb") as file:
                    total.update(b"%s/%s" % (package.encode(), name.encode()))
                    total.update(file.read())
    except OSError:
        return "nothing"
    return total.digest().hex()


def make_mistake(mistake: str) -> None:
    """Break the order of durability in one place."""
    if mistake == "switch-early":

        def switch_then_unpack(self: slots.FileSlots, size: int, stored: "Any") -> None:
            slot = self.target()
            loader.save(ROOT, loader.load(ROOT).confirmed, slot, loader.TRY)
            self._unpack(slot, size, stored)

        slots.FileSlots.install = switch_then_unpack  # type: ignore[method-assign]
    elif mistake == "trial-not-noted":

        def boot_then_note(root: str) -> str:
            record = loader.load(root)
            return record.trial if record.state == loader.TRY else real_choose(root)

        loader.choose = boot_then_note
    elif mistake == "answer-early":

        def answer_then_keep(self: update_state.Updates, version: int, identity: bytes, settings: "Any") -> None:
            host.events.append(["word", "config", transfer.KEPT])
            real_keep(self, version, identity, settings)

        update_state.Updates.keep = answer_then_keep  # type: ignore[method-assign]
    elif mistake != "none":
        raise ValueError(mistake)


real_choose = loader.choose
real_keep = update_state.Updates.keep


def play(disk: FlashDisk, orders: "dict[str, Any]") -> "dict[str, Any]":
    """From mount to the cut, or to the end."""
    global host
    host = Host(orders)
    try:
        vfs.mount(vfs.VfsLfs2(disk), "/flash")
        host.live()
    except PowerCut:
        pass
    alive = not disk.is_dead
    disk.is_dead = True  # whatever a finaliser still wants to write comes too late
    host.node = host.board = None
    gc.collect()
    vfs.umount("/flash")
    return {"steps": disk.steps, "cut": not alive, "events": host.events}


def enrolled_image(orders: "dict[str, Any]") -> bytes:
    """A flash with a node that belongs to the log, and took its first configuration long ago."""
    disk = FlashDisk(BLOCK_BYTES, BLOCKS)
    vfs.VfsLfs2.mkfs(disk)
    vfs.mount(vfs.VfsLfs2(disk), "/flash")
    early = Host(orders)
    early.boot()
    early.say(bytes.fromhex(orders["link"]))
    early.bring("old config")
    vfs.umount("/flash")
    return bytes(disk.image)


def main(arguments: "list[str]") -> None:
    with open(arguments[0]) as file:
        orders = json.load(file)
    before = enrolled_image(orders)
    for cut_at in range(int(arguments[1]), int(arguments[2]) + 1):
        make_mistake(arguments[3])
        first = FlashDisk(BLOCK_BYTES, BLOCKS, before, cut_at)
        cut = play(first, orders)
        after = play(FlashDisk(BLOCK_BYTES, BLOCKS, bytes(first.image)), orders)
        print("lives " + json.dumps([cut, after]))
        if not cut["cut"]:
            return


host: "Any" = None
main(sys.argv[1:])
