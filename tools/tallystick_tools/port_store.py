"""Runs in MicroPython on the counting port: what a reading costs but for measuring it and for its signature.

    port_store.py BATCHES

The node's own code, on files in RAM (the port has no LittleFS): the pack, the protected header, the bytes to sign, the
COSE message, its hash for the next reading, the segment of twenty with its CRC, a number reservation every 256. Prints
instructions a reading, collecting garbage included, and the size of a reading. MicroPython subset.
"""

import sys

import port
from tallystick_node import batch, chain, files, reserve, segment, store, twin
from tallystick_node.board_memory import MemoryStorage
from tallystick_wire import senml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.batch import Measured

PEN, KID = 32473, bytes(range(8))
SIGNATURE = bytes(64)
BLOCK_BYTES = 4096


class Flash(MemoryStorage):
    """Files in RAM, but every segment in the same block: a flash does not fill the heap."""

    def __init__(self) -> None:
        super().__init__()
        self.block = bytearray(BLOCK_BYTES)

    def write(self, name: str, pieces: "list[bytes]") -> None:
        if not name.startswith(segment.FOLDER + "/"):
            super().write(name, pieces)
            return
        at = 0
        for piece in pieces:
            self.block[at : at + len(piece)] = piece
            at += len(piece)
        self.files[name] = b""


class NoSigner:
    """Where a signature would be made."""

    def sign(self, message: bytes) -> bytes:
        return SIGNATURE


class Maker:
    """The part of node.Node between sensors and radio."""

    def __init__(self) -> None:
        kept = files.Files(Flash())
        self.store = store.Store(kept, 1000)
        self.store.recover(segment.common(PEN, KID))
        self.reserve = reserve.load(twin.Twin(kept, "reserve"), bytes(16), None, False)
        name = senml.base_name(PEN, KID)
        self.chain = chain.Chain(NoSigner(), KID, name, 1, self.reserve, [])  # type: ignore[arg-type]
        self.uptime_ms = 0
        self.reading_bytes = 0

    def take(self) -> "Measured":
        self.uptime_ms += 60_000
        number = self.uptime_ms // 60_000
        if self.reserve.exhausted:
            self.reserve.extend()
        records = [
            senml.Record("t", "Cel", senml.Decimal(-2, 400 + number % 200)),
            senml.Record("h", "%RH", 60 + number % 7),
            senml.Record("b", "V", senml.Decimal(-3, 3000 + number % 50)),
        ]
        return self.chain.take(self.uptime_ms, records)

    def batch(self) -> None:
        taken = [self.take() for _ in range(batch.MAX_BATCH_READINGS)]
        link, packed = self.reserve.link, []
        for measured in taken:
            data, link = self.chain.sign(measured, link)
            packed.append(self.store.pack(data))
        self.store.write(taken[0].seq, packed)
        self.reserve.stored(taken[-1].seq, link)
        self.reading_bytes = len(data)


def main(batches: int) -> None:
    maker = Maker()
    maker.batch()  # the first call also fills caches
    counts = [port.count(maker.batch) for _ in range(batches)]  # type: ignore[attr-defined]
    print(sum(counts) // (batches * batch.MAX_BATCH_READINGS), maker.reading_bytes)


main(int(sys.argv[1]))
