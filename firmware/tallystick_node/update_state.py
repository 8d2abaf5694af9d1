"""The newest configuration and firmware that a site sent: what holds in this boot, and how far the update has come.

That much a node needs in every boot, from two twins, `settings` and `update`. All else about updates is imported when
an offer comes or a trial ends, and let go as soon as nobody goes on with it (on_demand). What then finds no memory
changes nothing and is counted: readings come first.
"""

from tallystick_node import on_demand
from tallystick_node.errors import StateLost
from tallystick_node.twin import Twin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tallystick_node.board import Board
    from tallystick_node.files import Files
    from tallystick_node.state import Config
    from tallystick_node.update import Update

TRIAL_MS = 3_600_000  # three batches of 20 readings at one a minute: a gateway that was restarted is back by then
ABANDONED_MS = 60_000  # whoever brings an update answers sooner, or offers it again

# How far the newest firmware manifest has come.
LOADING, TRYING, DONE, FAILED = "loading", "trying", "done", "failed"


class Updates:
    """`told`: the settings of the newest config, None before the first. `on_trial`: this firmware must prove itself."""

    def __init__(self, files: "Files", board: "Board", kid: bytes, count: "Callable[[str], None]") -> None:
        self._files = files
        self.kid = kid
        self.count = count
        self.stored = board.feed  # an update has come further, and the watchdog may know it
        self._config_twin = Twin(files, "settings")
        self.config_version, self.config_identity, self.told = self._load(self._config_twin, [0, b"", None])
        self._firmware_twin = Twin(files, "update")
        loaded = self._load(self._firmware_twin, [0, b"", DONE, ""])
        self.version, self.identity, self.stage, self.slot = loaded
        self.reboot = False
        self.on_trial = False
        self._board = board
        self._update: "Update | None" = None  # while something is being loaded
        self._was_heard = False
        self._heard_ms = 0
        if self.stage == TRYING:
            self._on_demand(lambda update: update.take_stock())

    def offer(self, config: "Config", data: bytes) -> "bytes | None":
        """The answer to an offer: a want, or an outcome; after a refusal nothing has changed."""
        return self._if_memory(lambda update: update.offer(config, data))

    def chunk(self, data: bytes) -> "bytes | None":
        """Keep a piece that was asked for; the next want, or the outcome. None: not that one, and nothing changed."""
        if self._update is None:
            self.count("chunks_unexpected")
            return None
        return self._if_memory(lambda update: update.chunk(data))

    def delivered(self) -> None:
        """A reading of this boot was stored, sent and acked: this firmware works."""
        if self.on_trial:
            self._if_memory(lambda update: update.confirm())  # or at the next ack

    def make_room(self) -> None:
        """Readings come before updates: what is loaded and not needed goes; an offer begins anew."""
        if self.stage != TRYING or self.on_trial:
            self._if_memory(lambda update: update.make_room())

    def turn(self, now_ms: int) -> None:
        """Once in every turn of the loop: what nobody goes on with is let go."""
        if self._was_heard:
            self._was_heard, self._heard_ms = False, now_ms
        elif self._update is not None and now_ms - self._heard_ms > ABANDONED_MS:
            self._let_go()

    def reboot_due(self, uptime_ms: int, trial_ms: int) -> bool:
        """True once something holds from the next boot on, or the trial has taken too long."""
        return self.reboot or (self.on_trial and uptime_ms > trial_ms)

    def keep(self, version: int, identity: bytes, settings: "Any") -> None:
        """A configuration was taken: it holds from the next boot on."""
        self._config_twin.save([version, identity, settings])
        self.config_version, self.config_identity = version, identity
        self.reboot = True

    def take(self, version: int, identity: bytes) -> None:
        """Firmware was taken, and nothing of it is here yet."""
        self._firmware_twin.save([version, identity, LOADING, ""])
        self.version, self.identity, self.stage, self.slot = version, identity, LOADING, ""

    def reach(self, stage: str) -> None:
        self._firmware_twin.save([self.version, self.identity, stage, self.slot])
        self.stage = stage

    def _if_memory(self, work: "Callable[[Update], bytes | None]") -> "bytes | None":
        """None, too, when the memory does not suffice: whoever offers the update offers it again."""
        try:
            return self._on_demand(work)
        except MemoryError:
            self.count("updates_no_memory")
            self._let_go()
            return None

    def _on_demand(self, work: "Callable[[Update], bytes | None]") -> "bytes | None":
        self._was_heard = True
        try:
            if self._update is None:
                from tallystick_node.update import Update

                self._update = Update(self, self._board.slots)
            return work(self._update)
        finally:
            if self._update is None or not self._update.is_loading:
                self._let_go()

    def _let_go(self) -> None:
        self._update = None
        on_demand.let_go(on_demand.UPDATES)

    def _load(self, twin: Twin, first: "list[Any]") -> "list[Any]":
        """The twin's value. Both copies lost: as at the beginning; what a manifest may do then, its expiry bounds."""
        try:
            value = twin.load()
            if value is not None:
                twin.restore(value)
            return list(value or first)
        except StateLost as lost:
            for name in self._files.names():
                if name.startswith(str(lost) + "."):
                    self._files.set_aside(name)
            return first
