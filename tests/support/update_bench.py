"""A node in memory with real slots on disk, and what a host does to update it."""

from update_support import LINK_KEY, MPY, Slots, now_ms, small_image

from tallystick_node import app, inbox, loader
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.node import Node
from tallystick_node.slots import FileSlots
from tallystick_provisioning.offers import Offer
from tallystick_wire import message, reading, transfer


class Bench:
    """A node in memory with real slots on disk; `boot` is a power cut and the loader's choice."""

    def __init__(self) -> None:
        self.board = MemoryBoard()
        self.slots = Slots()
        self.image = small_image()
        self.running = loader.FACTORY
        self.node = self.boot()

    def boot(self) -> Node:
        self.board.power_cycle()
        self.running = loader.choose(str(self.slots.root))
        self.board.slots = FileSlots(str(self.slots.root), MPY)
        self.node = app.wake(self.board)
        return self.node

    def is_on_trial(self) -> bool:
        return self.node.updates.on_trial

    def say(self, payload: bytes) -> bytes | None:
        return inbox.answer(self.node, payload, 0)

    def offer(self, one: Offer, time_ms: int | None = None) -> bytes:
        answer = self.say(transfer.build_offer(LINK_KEY, now_ms() if time_ms is None else time_ms, one.data))
        assert answer is not None
        return answer

    def word(self, one: Offer, time_ms: int | None = None) -> str:
        identity, word = transfer.open_outcome(self.offer(one, time_ms))
        assert identity == one.manifest.identity
        return word

    def load(self, one: Offer, most: int = 1000) -> tuple[list[int], bytes]:
        """Bring at most so many pieces; (the indexes that were asked for, the last answer)."""
        wanted: list[int] = []
        answer = self.offer(one)
        while message.kind(answer) == "want" and len(wanted) < most:
            _, index = transfer.open_want(answer)
            wanted.append(index)
            piece = one.piece(index)
            assert piece is not None
            heard = self.say(transfer.build_chunk(one.manifest.identity, index, piece))
            assert heard is not None
            answer = heard
        return wanted, answer

    def prove(self) -> None:
        """A reading is made, stored, sent and acked."""
        self.node.take_reading(self.board.now_ms)
        assert self.node.store_batch(self.board.now_ms)
        self.node.send_pending(self.board.now_ms)
        sent = [reading.parse(data) for data in self.board.link.sent if message.kind(data) == "reading"]
        newest = sent[-1]
        self.say(message.build_ack(LINK_KEY, newest.kid, newest.chain.boot, newest.chain.seq, []))

    def everything(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        return dict(self.board.memory.files), self.slots.content()
