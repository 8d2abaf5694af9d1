"""A node that only makes readings, for `tallystick bench chain`: a program for the real MicroPython.

Arguments: seed (hex), origin, PEN, tree size and hash of an anchor (hex), how many readings. Standard output: their
frames. What a node does for a reading is done, on files in RAM; only the MAC of the acknowledgements is left out.
MicroPython subset.
"""

import sys

from tallystick_node import app
from tallystick_node.board_memory import MemoryBoard, MemoryLink
from tallystick_node.state import Config
from tallystick_wire import frame, message

INTERVAL_MS = 1  # 50,000 readings lie within the minute that witnesses' clocks may differ by


class Output(MemoryLink):
    """The node's end of a cable on which nobody answers."""

    def send(self, payload: bytes) -> bool:
        sys.stdout.buffer.write(frame.encode(payload))
        return True


class BenchBoard(MemoryBoard):
    """A board with a given key, and a temperature that goes up and down."""

    def __init__(self, seed: bytes) -> None:
        super().__init__()
        self._seed = seed
        self.link = self.cable = Output()

    def random_bytes(self, count: int) -> bytes:
        return self._seed

    def temperature(self) -> int:
        return 400 + self.now_ms % 200

    def humidity(self) -> int:
        return 60 + self.now_ms % 7

    def battery(self) -> int:
        return 3000 + self.now_ms % 50


def make(board: BenchBoard, origin: str, pen: int, anchor: "tuple[int, bytes]", count: int) -> None:
    """Measure, sign, keep, send and forget `count` readings; the first one carries the anchor."""
    node = app.wake(board)
    node.enrol(Config(origin, pen, bytes(32)))
    if node.chain is None:
        raise ValueError("not enrolled")
    node.chain.accept_anchor(anchor[0], anchor[1], 0)
    for _ in range(count):
        node.take_reading(board.now_ms)
        node.store_batch(board.now_ms)
        for seq in node.store.pending(1):
            board.link.send(node.store.get(seq))
            node.forget(message.Ack(node.kid, node.boot, seq, []), board.now_ms)
        board.now_ms += INTERVAL_MS


if __name__ == "__main__":
    given, origin_, pen_, size_, hash_, count_ = sys.argv[1:]
    make(BenchBoard(bytes.fromhex(given)), origin_, int(pen_), (int(size_), bytes.fromhex(hash_)), int(count_))
