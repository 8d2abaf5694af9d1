"""One boot of a node: its parts, and the few things it does with them."""

from tallystick_node import ed25519, sensor, state
from tallystick_node import reserve as reserves
from tallystick_node import segment as segments
from tallystick_node.batch import Batch
from tallystick_node.chain import Chain
from tallystick_node.errors import StorageError
from tallystick_node.outbox import WINDOW_READINGS, Outbox
from tallystick_node.settings import Settings
from tallystick_node.store import Store
from tallystick_node.twin import Twin
from tallystick_node.update import Updates
from tallystick_wire import reading, senml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.board import Board, Link
    from tallystick_node.ed25519 import SigningKey
    from tallystick_node.files import Files
    from tallystick_node.state import Config
    from tallystick_wire.message import Ack

# Beside the five of the wire's boot record: how many files lie set aside on flash (only when there are some).
BAD_FILES = "bf"


class Node:
    """`chain` is None until the node is enrolled; until then it makes no readings."""

    def __init__(self, board: "Board", files: "Files", key: "SigningKey", boot: int, config: "Config | None") -> None:
        self.board = board
        self.links: "list[Link]" = [board.link] if board.cable is board.link else [board.link, board.cable]
        self.key = key
        self.kid = state.kid(key.public_key)
        self.boot = boot
        self.config = config
        self.counts: "dict[str, int]" = {}
        self.store = Store(files, board.segment_limit)
        self.updates = Updates(files, board.slots, self.kid, self.count)
        self.settings = Settings(board, self.updates.told)
        self.batch = Batch(self.settings.batch_readings, self.settings.batch_ms)
        self.chain: "Chain | None" = None
        self._files = files
        self._before = 0  # no reading above this number was made before this boot
        self._newest_acked = 0
        self._outbox = Outbox(board.link.resend_after_ms)
        self._link_refuses = False
        self._losses = 0
        if config is not None:
            self._start_chain(config)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def all_counts(self) -> "dict[str, int]":
        """Everything that is counted, the link's troubles included."""
        found: "dict[str, int]" = {}
        for link in self.links:
            for name, count in link.counts().items():
                found[name] = found.get(name, 0) + count
        found.update(self.counts)
        if ed25519.slow_because is not None:
            found["slow_signer"] = 1
        return found

    def enrol(self, config: "Config") -> None:
        """Belong to a log from now on, across boots."""
        state.save_config(self._files, config)
        self.config = config
        self._start_chain(config)

    def take_reading(self, now_ms: int) -> None:
        """Measure and number. What is in the way is counted, and the gap in time is there for everybody to see."""
        if self.chain is None:
            return
        if self.batch.is_full or not self.store.has_room:
            self.count("no_room")
            return
        try:
            self._reserve(self.chain)
            taken = sensor.measure(self.board.channels, now_ms, self.store.is_nearly_full)
            self.batch.add(self.chain.take(now_ms, taken.records), taken.urgent)
        except StorageError:
            self.count("flash_refused")
        else:
            self.count("readings")

    def store_batch(self, now_ms: int) -> bool:
        """Sign what waits and put it on flash, in one segment; False when the flash refuses it, to be tried again."""
        entries, chain = self.batch.entries, self.chain
        if not entries or chain is None:
            return True
        link, packed = chain.reserve.link, []
        for measured in entries:
            data, link = chain.sign(measured, link)
            packed.append(self.store.pack(data))
        try:
            self.store.write(entries[0].seq, packed)
        except StorageError:
            self.count("flash_refused")
            self.batch.postpone(now_ms)
            return False
        # A crash here: they are sent at the next boot, which goes on from the last of them.
        chain.reserve.stored(entries[-1].seq, link)
        self.batch.clear()
        return True

    def send_pending(self, now_ms: int) -> None:
        """The oldest readings that are due; stops at the first that the link does not take."""
        self._link_refuses = False
        if self.board.link.losses != self._losses:
            self._losses = self.board.link.losses
            self._outbox.forget_sent()
        for seq in self._outbox.due(self.store.pending(WINDOW_READINGS), now_ms):
            if not self.board.link.send(self.store.get(seq)):
                self._link_refuses = True
                return
            self._outbox.sent(seq, now_ms)
            self.count("sent")

    def wait_ms(self, now_ms: int, limit_ms: int) -> int:
        batch_ms = self.batch.due_in_ms(now_ms)
        if batch_ms is not None:
            limit_ms = min(limit_ms, batch_ms)
        if self._link_refuses:
            return limit_ms  # what makes it take more ends the wait
        return self._outbox.wait_ms(self.store.pending(WINDOW_READINGS), now_ms, limit_ms)

    def forget(self, ack: "Ack") -> None:
        self._newest_acked = 0
        for _ in range(self.store.acked(ack, self._note_acked)):
            self.count("acked")
        if self._newest_acked > self._before:  # made in this boot, so stored and sent by this firmware
            self.updates.delivered()

    def _note_acked(self, seq: int, identity: bytes) -> None:
        self.board.acked(self.kid, seq, identity)
        self._newest_acked = max(self._newest_acked, seq)

    def _reserve(self, chain: Chain) -> None:
        """Make sure that the next number is reserved on flash."""
        if chain.reserve.exhausted:
            chain.reserve.extend()

    def _start_chain(self, config: "Config") -> None:
        genesis = reading.genesis(config.origin, self.key.public_key)
        self.store.recover(segments.common(self.kid, config.pen))
        broken = bool(self.store.broken)
        reserve = reserves.load(Twin(self._files, "reserve"), genesis, self.store.newest, broken)
        # A crash here: the reservation knows already what is lost with the broken segments.
        self.store.set_aside_broken()
        self._before = reserve.highest
        name = senml.base_name(config.pen, self.kid)
        self.chain = Chain(self.key, self.kid, name, self.boot, reserve, self._boot_records(config, reserve))
        for link in self.links:
            link.log_in(self.kid, config.link_key)

    def _boot_records(self, config: "Config", reserve: "reserves.Reserve") -> "list[senml.Record]":
        board = self.board
        settings = state.config_hash(config, self.settings.as_map())
        boot = reading.BootRecord(board.reset_cause, reserve.last, reserve.bound, board.firmware_hash, settings)
        records = boot.records()
        bad = self._files.bad_count()
        if bad:
            records.append(senml.Record(BAD_FILES, None, bad))
        return records
