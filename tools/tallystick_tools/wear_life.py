"""Runs inside MicroPython: the life of a real node on a real LittleFS, and what it costs the flash.

    micropython wear_life.py READINGS

From a formatted flash with firmware on it: first power-on, enrolment, so many readings, one a minute, in batches as a
board makes them, acknowledged, with an anchor each; the power fails after every BOOT_EVERY. One line of JSON comes out.
"""

import json
import os
import sys

import vfs  # type: ignore[import-not-found]

from tallystick_emulators.flash_disk import FlashDisk
from tallystick_node import app, batch, board, segment, sensor
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.files import Directory
from tallystick_wire import message, reading
from tallystick_wire.sequence import Seen

BLOCK_BYTES, BLOCKS = 4096, 256  # the smaller part of a Pico's file system of 352 blocks
FIRMWARE_BYTES = 300_000  # two slots of it lie still, and LittleFS does not wear-level what lies still
BOOT_EVERY = 1000  # readings: the power fails more than once a day
INTERVAL_MS = 60_000
ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))


class World(MemoryBoard):
    """A board on that flash, and the gateway at the other end of its link."""

    def __init__(self) -> None:
        super().__init__(0, Directory("/flash", [segment.FOLDER]))
        self.interval_ms = INTERVAL_MS
        self.batch_readings = batch.MAX_BATCH_READINGS
        self.batch_ms = 30 * INTERVAL_MS
        self.segment_limit = board.SEGMENT_LIMIT
        self.channels.append(sensor.Channel("p", lambda: -1800, -5500, 12500))
        self.channels.append(sensor.Channel("d", lambda: False))
        self.acknowledged = 0
        self.seen = Seen()
        self.cable.arriving = [message.build_link(LINK_KEY, ORIGIN, PEN)]

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def temperature(self) -> int:
        return 512 + self.now_ms // INTERVAL_MS % 90

    def idle(self, wait_ms: int) -> None:
        self.now_ms += wait_ms or 1
        heard, self.link.sent = self.link.sent, []
        for payload in heard:
            if message.kind(payload) == "reading":
                self.answer(reading.parse(payload))

    def answer(self, one: reading.Reading) -> None:
        self.seen.add(one.chain.seq)
        if one.boot_record is not None:
            self.seen.forget(one.boot_record.last_persisted + 1, one.chain.seq - 1)
        self.link.arriving.append(message.build_anchor(LINK_KEY, one.chain.seq, bytes(16)))
        self.link.arriving.append(message.build_ack(LINK_KEY, one.kid, one.chain.boot, *self.seen.ack()))

    def acked(self, kid: bytes, seq: int, identity: bytes) -> None:
        self.acknowledged += 1


def live(world: World, readings: int) -> None:
    """One boot, until so many readings are acknowledged."""
    world.now_ms = 0
    world.awake = lambda: world.acknowledged < readings  # type: ignore[method-assign]
    app.run(world)


def main(readings: int) -> None:
    disk = FlashDisk(BLOCK_BYTES, BLOCKS)
    vfs.VfsLfs2.mkfs(disk)
    vfs.mount(vfs.VfsLfs2(disk), "/flash")
    with open("/flash/firmware", "wb") as file:
        file.write(bytes(FIRMWARE_BYTES))
    before = sum(disk.erases)
    world = World()
    ends = list(range(BOOT_EVERY, readings, BOOT_EVERY))
    ends.append(readings)
    for end in ends:
        live(world, end)
    print(
        json.dumps(
            {
                "readings": readings,
                "boots": len(ends),
                "erases": sum(disk.erases) - before,
                "worst_block_erases": max(disk.erases),
                "blocks": BLOCKS,
                "writes": disk.writes,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
