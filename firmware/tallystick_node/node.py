"""One boot of a node: its parts, and the few things it does with them."""

from tallystick_node import ed25519, sensor, state
from tallystick_node import reserve as reserves
from tallystick_node import segment as segments
from tallystick_node.batch import Batch
from tallystick_node.chain import Chain
from tallystick_node.delivery import Delivery
from tallystick_node.errors import FlashFull, StorageError
from tallystick_node.given_up import GivenUp
from tallystick_node.settings import Settings
from tallystick_node.store import Store
from tallystick_node.twin import Twin
from tallystick_node.update_state import Updates
from tallystick_node.watchdog import Watchdog, deadline_ms
from tallystick_wire import reading, senml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick_node.board import Board, Link
    from tallystick_node.ed25519 import SigningKey
    from tallystick_node.files import Files
    from tallystick_node.sleep_state import SleepState
    from tallystick_node.state import Config
    from tallystick_wire.message import Ack

# Beside the five of the wire's boot record: how many files lie set aside on flash (only when there are some).
BAD_FILES = "bf"


class Node:
    """`chain` and `given_up` are None until the node is enrolled; until then it makes no readings.

    `slept`: what it knew before the deep sleep from which this is the wake; None at a boot.
    """

    def __init__(
        self,
        board: "Board",
        files: "Files",
        key: "SigningKey",
        boot: int,
        config: "Config | None",
        slept: "SleepState | None" = None,
    ) -> None:
        self.board = board
        self.links: "list[Link]" = [board.link] if board.cable is board.link else [board.link, board.cable]
        self.key = key
        self.kid = state.kid(key.public_key)
        self.boot = boot
        self.config = config
        self.counts: "dict[str, int]" = {}
        self.store = Store(files, board.segment_limit)
        self.updates = Updates(files, board, self.kid, self.count)
        self.settings = Settings(board, self.updates.told)
        self.batch = Batch(self.settings.batch_readings, self.settings.batch_ms)
        self.delivery = Delivery(board.link, self.store, board.linger_ms, self.count)
        self.watchdog = Watchdog(board.feed, deadline_ms(self.settings.interval_ms, self.settings.batch_ms))
        self.chain: "Chain | None" = None
        self.given_up: "GivenUp | None" = None
        self.slept = slept
        self._files = files
        self._newest_acked = 0
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
        if self.batch.is_full or not (self.store.has_room or self.settings.give_up_oldest):
            self.count("no_room")
            return
        try:
            self._reserve(self.chain)
        except StorageError:
            self.count("flash_refused")
            return
        taken = sensor.measure(self.board.channels, now_ms, self.store.is_nearly_full)
        self.batch.add(self.chain.take(now_ms, taken.records), taken.urgent)
        self.count("readings")
        if taken.urgent:
            self.delivery.hurry()

    def store_batch(self, now_ms: int) -> bool:
        """Sign what waits and put it on flash, in one segment; False when the flash refuses it, to be tried again."""
        entries, chain, given_up = self.batch.entries, self.chain, self.given_up
        if not entries or chain is None or given_up is None:
            return True
        try:
            self._make_room(given_up)
            self.store.release()  # the new segment needs the room
            link, packed = chain.reserve.link, []
            for measured in entries:
                chain.add_records(measured, given_up.next_records(measured.seq))
                data, link = chain.sign(measured, link)
                packed.append(self.store.pack(data))
            self.store.write(entries[0].seq, packed)
        except StorageError as error:
            if isinstance(error, FlashFull):
                self.updates.make_room()
            self.count("flash_refused")
            self.batch.postpone(now_ms)
            return False
        # A crash here: they are sent at the next boot, which goes on from the last of them.
        chain.reserve.stored(entries[-1].seq, link)
        self.batch.clear()
        self.watchdog.progress(now_ms)
        return True

    def send_pending(self, now_ms: int) -> None:
        """Whatever the gateway has not acked and should have now."""
        if self.delivery.turn(now_ms) or self.chain is None:
            self.watchdog.progress(now_ms)

    def wait_ms(self, now_ms: int, limit_ms: int) -> int:
        """How long there is nothing to do, at most `limit_ms`."""
        batch_ms = self.batch.due_in_ms(now_ms)
        return self.delivery.wait_ms(now_ms, limit_ms if batch_ms is None else min(limit_ms, batch_ms))

    def forget(self, ack: "Ack", now_ms: int) -> None:
        """What a gateway has, it has; and what it knows to be given up needs no more telling."""
        self._newest_acked = 0
        forgotten = self.store.acked(ack, self._note_acked)
        for _ in range(forgotten):
            self.count("acked")
        self.delivery.acked(ack, forgotten, now_ms)
        if self.given_up is not None:
            self.given_up.acked(ack)
        if self.chain is not None and self._newest_acked > self.chain.reserve.before:
            self.updates.delivered()  # made in this boot, so stored and sent by this firmware

    def sleep(self) -> "list[Any] | None":
        """What the parts must not forget over a deep sleep; None when this node should not sleep now."""
        config, chain, given_up = self.config, self.chain, self.given_up
        if config is None or chain is None or given_up is None or not chain.has_booted:
            return None
        if self.updates.on_trial or self.batch.is_urgent:
            return None
        batch = self.batch.sleep(segments.common_payload(config.pen, self.kid))
        beliefs = [channel.save() for channel in self.board.channels]
        sent = [self.delivery.sleep(), self.watchdog.progress_ms]
        return [chain.sleep(), batch, self.store.pending_ranges(), given_up.sleep(), sent, beliefs]

    def _resume(self, config: "Config", chain: Chain, slept: "list[Any]") -> None:
        """Go on as sleep() left it."""
        chained, batch, _, _, sent, beliefs = slept
        chain.resume(chained)
        self.batch.resume(batch, segments.common_payload(config.pen, self.kid))
        self.delivery.resume(sent[0])
        self.watchdog.progress(sent[1])
        for number, channel in enumerate(self.board.channels):
            channel.belief.restore(beliefs[number])

    def _make_room(self, given_up: GivenUp) -> None:
        """Where the site wants it so, a full flash takes a new batch for the price of the oldest."""
        if self.store.has_room or not self.settings.give_up_oldest:
            return
        ranges = self.store.oldest()
        if ranges:
            ranges[0] = (self._lost_from(ranges[0][0]), ranges[0][1])
            given_up.add(ranges)
        # A crash here: the next boot goes on with this line.
        self.store.drop(ranges)
        self.count("segments_given_up")

    def _lost_from(self, seq: int) -> int:
        """Where the loss begins when reading `seq` is given up: a boot record alone says what is missing before it."""
        boot = reading.parse(self.store.get(seq)).boot_record
        return seq if boot is None else boot.last_persisted + 1

    def _note_acked(self, seq: int, identity: bytes) -> None:
        self.board.acked(self.kid, seq, identity)
        self._newest_acked = max(self._newest_acked, seq)

    def _reserve(self, chain: Chain) -> None:
        """Make sure that the next number is reserved on flash."""
        if chain.reserve.exhausted:
            chain.reserve.extend()

    def _start_chain(self, config: "Config") -> None:
        genesis = reading.genesis(config.origin, self.key.public_key)
        common = segments.common(config.pen, self.kid)
        slept = self.slept
        if slept is None:
            self.store.recover(common)
        else:
            self.store.resume(common, slept.parts[2])
        broken = bool(self.store.broken)
        reserve = reserves.load(Twin(self._files, "reserve"), genesis, self.store.newest, broken)
        # A crash here: the reservation knows already what is lost with the broken segments.
        self.store.set_aside_broken()
        self.given_up = GivenUp(self._files, self.store.first)
        if slept is not None:
            self.given_up.resume(slept.parts[3])  # it may be behind the twin: the next batch that needs room catches up
        self.store.drop(self.given_up.ranges)
        name = senml.base_name(config.pen, self.kid)
        self.chain = Chain(self.key, self.kid, name, self.boot, reserve, self._boot_records(config, reserve))
        for link in self.links:
            link.log_in(self.kid, config.link_key)
        if slept is not None:
            self._resume(config, self.chain, slept.parts)

    def _boot_records(self, config: "Config", reserve: "reserves.Reserve") -> "list[senml.Record]":
        board = self.board
        settings = state.config_hash(config, self.settings.as_map())
        boot = reading.BootRecord(board.reset_cause, reserve.last, reserve.bound, board.firmware_hash, settings)
        records = boot.records()
        bad = self._files.bad_count()
        if bad:
            records.append(senml.Record(BAD_FILES, None, bad))
        return records
