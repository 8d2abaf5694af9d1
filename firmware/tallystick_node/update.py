"""Configuration and firmware that a site sends: what is taken, what is refused, and how far the newest one has come.

`judge` decides on bytes. Updates keeps what was decided in two twins, `settings` and `update`, and asks for chunks one
by one. A version counts from the moment its manifest is taken, so an older one never comes back, and firmware gets one
trial: it must store a reading and have it acked in its first boot, or the boot after that is of the firmware before.
"""

import hashlib

from tallystick_node import loading, state
from tallystick_node import slots as places
from tallystick_node.errors import FlashFull, StateLost, StorageError, UpdateRefused
from tallystick_node.twin import Twin
from tallystick_wire import manifest, transfer
from tallystick_wire.errors import ManifestError
from tallystick_wire.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tallystick_node.files import Files
    from tallystick_node.slots import Slots
    from tallystick_node.state import Config

TRIAL_MS = 3_600_000  # three batches of 20 readings at one a minute: a gateway that was restarted is back by then

# How far the newest firmware manifest has come.
_LOADING, _TRYING, _DONE, _FAILED = "loading", "trying", "done", "failed"


def judge(config: "Config", kid: bytes, known_version: int, now_ms: int, offered: Manifest) -> None:
    """UpdateRefused, by the name under which it is counted, unless this node should follow the manifest.

    `now_ms`: what the gateway says that the time is. The signature comes last: it costs most, and until it holds
    nothing of the manifest is used.
    """
    key = config.downlink_key if offered.kind == manifest.CONFIG else config.firmware_key
    if key is None:
        raise UpdateRefused("updates_without_key")
    if state.kid(key) != offered.kid:
        raise UpdateRefused("updates_wrong_key")
    if offered.origin != config.origin:
        raise UpdateRefused("updates_wrong_log")
    if offered.target is not None and offered.target != kid:
        raise UpdateRefused("updates_wrong_target")
    if offered.version <= known_version:
        raise UpdateRefused("updates_old")
    if offered.expires_ms < now_ms:
        raise UpdateRefused("updates_expired")
    from tallystick_node import ed25519_verify  # 10 KB, until the reboot that follows what is taken

    if not ed25519_verify.verify(key, offered.to_be_signed, offered.signature):
        raise UpdateRefused("updates_wrong_signature")


class Updates:
    """`told`: the settings of the newest config, None before the first. `on_trial`: this firmware must prove itself."""

    def __init__(
        self,
        files: "Files",
        slots: "Slots | None",
        kid: bytes,
        count: "Callable[[str], None]",
        stored: "Callable[[], None]",
    ) -> None:
        """`stored()`: an update has come further, and the watchdog may know it."""
        self._stored = stored
        self._files = files
        self._slots = slots
        self._kid = kid
        self._count = count
        self._config_twin = Twin(files, "settings")
        self._config_version, self._config_identity, self.told = self._load(self._config_twin, [0, b"", None])
        self._firmware_twin = Twin(files, "update")
        loaded = self._load(self._firmware_twin, [0, b"", _DONE, ""])
        self._version, self._identity, self._stage, self._slot = loaded
        self._manifest: "Manifest | None" = None  # of what is being loaded, once somebody asked to go on
        self._next = 0  # the piece to ask for: below 0 of the list, from 0 of the image
        self._reboot = False
        self.on_trial = False
        self._take_stock()

    def offer(self, config: "Config", now_ms: int, data: bytes) -> bytes:
        """The answer to an offer whose MAC is right: a want, or an outcome; after a refusal nothing has changed."""
        identity = hashlib.sha256(data).digest()[: manifest.IDENTITY_BYTES]
        try:
            if identity == self._config_identity:
                return transfer.build_outcome(identity, transfer.CURRENT)
            offered = self._parse(data)
            if identity == self._identity:
                return self._go_on(offered, now_ms)
            known = self._config_version if offered.kind == manifest.CONFIG else self._version
            judge(config, self._kid, known, now_ms, offered)
            if self._stage == _TRYING:
                raise UpdateRefused("updates_too_early")  # it would end the trial that is on, or lead it nowhere
            if offered.kind == manifest.CONFIG:
                return self._keep(offered)
            return self._begin(offered)
        except UpdateRefused as refused:
            self._count(str(refused))
            return transfer.build_outcome(identity, str(refused))

    def chunk(self, identity: bytes, index: int, piece: bytes) -> "bytes | None":
        """Keep a piece that was asked for; the next want, or the outcome. None: not that one, and nothing changed."""
        wanted = self._manifest
        if wanted is None or self._slots is None or identity != self._identity or index != self._next:
            self._count("chunks_unexpected")
            return None
        try:
            try:
                if index < 0:
                    return self._take_list_piece(self._slots, wanted, piece)
                return self._take_chunk(self._slots, wanted, piece)
            except FlashFull:
                raise self._give_up() from None
        except UpdateRefused as refused:
            self._count(str(refused))
            return transfer.build_outcome(identity, str(refused))

    def delivered(self) -> None:
        """A reading of this boot was stored, sent and acked: this firmware works."""
        if not self.on_trial or self._slots is None:
            return
        self._slots.confirm()
        # A crash here: the next boot finds the slot confirmed and says so in the twin.
        self._reach(_DONE)
        self.on_trial = False
        self._count("updates_confirmed")
        # A crash here: they lie there until the next update, or until readings need the room.
        self.make_room()

    def make_room(self) -> None:
        """Readings come before updates: what is loaded and not needed goes; an offer begins anew."""
        if self._slots is None or (self._stage == _TRYING and not self.on_trial):
            return
        self._manifest = None
        for part in (places.LIST, places.IMAGE):
            try:
                self._slots.remove(part)
            except StorageError:
                self._count("flash_refused")

    def reboot_due(self, uptime_ms: int, trial_ms: int) -> bool:
        """True once something holds from the next boot on, or the trial has taken too long."""
        return self._reboot or (self.on_trial and uptime_ms > trial_ms)

    def _take_stock(self) -> None:
        """What became of a trial, seen from the boot after it was begun."""
        if self._stage != _TRYING or self._slots is None:
            return
        found = self._slots.state(self._slot)
        if found == places.TRIAL:
            self.on_trial = True
        elif found == places.CONFIRMED:
            self._reach(_DONE)
        elif found == places.FAILED:
            self._reach(_FAILED)
            self._count("updates_rolled_back")
        else:  # the power went before the switch: the image is whole, and the next offer goes on from there
            self._reach(_LOADING)

    def _keep(self, offered: Manifest) -> bytes:
        self._config_twin.save([offered.version, offered.identity, offered.settings])
        # A crash before the answer: it holds in the next boot, and an offer that comes again is answered "current".
        self._config_version, self._config_identity = offered.version, offered.identity
        self._reboot = True
        self._count("configs")
        return transfer.build_outcome(offered.identity, transfer.KEPT)

    def _begin(self, offered: Manifest) -> bytes:
        if self._slots is None:
            raise UpdateRefused("updates_without_slots")
        if not self._slots.fits(offered.board):
            raise UpdateRefused("updates_wrong_board")
        if not self._slots.has_room(offered.size):
            raise UpdateRefused("updates_no_room")
        # The list goes before the manifest that it belongs to: a crash in between leaves a manifest without a list.
        self._slots.remove(places.LIST)
        self._firmware_twin.save([offered.version, offered.identity, _LOADING, ""])
        # A crash here: the same offer goes on.
        self._version, self._identity, self._stage, self._slot = offered.version, offered.identity, _LOADING, ""
        self._manifest = None
        return self._go_on(offered, 0)

    def _go_on(self, offered: Manifest, now_ms: int) -> bytes:
        """This manifest was taken before."""
        if self._stage == _DONE:
            return transfer.build_outcome(self._identity, transfer.CURRENT)
        if self._stage == _TRYING:
            return transfer.build_outcome(self._identity, transfer.ON_TRIAL if self.on_trial else transfer.LOADED)
        if self._stage == _FAILED:
            raise UpdateRefused("updates_failed_before")
        if offered.expires_ms < now_ms:
            raise UpdateRefused("updates_expired")
        if self._slots is None:
            raise UpdateRefused("updates_without_slots")
        if self._manifest is None or self._next < 0:
            self._next = loading.first_missing(self._slots, offered, self._stored)
        self._manifest = offered
        try:
            return self._ask_or_install(self._slots, offered)
        except FlashFull:
            raise self._give_up() from None

    def _take_list_piece(self, slots: "Slots", wanted: Manifest, piece: bytes) -> "bytes | None":
        offset = (-1 - self._next) * transfer.LIST_PIECE_BYTES
        whole = wanted.chunk_count * manifest.HASH_BYTES
        if len(piece) != min(transfer.LIST_PIECE_BYTES, whole - offset):
            self._count("chunks_wrong_size")
            return None
        slots.write(places.LIST, offset, piece)
        # A crash here: this piece is there, and is not asked for again.
        self._next -= 1
        if offset + len(piece) == whole:
            if not loading.list_is_right(slots, wanted):
                self._count("lists_wrong_hash")
                slots.remove(places.LIST)
                self._next = -1
                return None
            self._next = loading.first_missing(slots, wanted, self._stored)
        return self._ask_or_install(slots, wanted)

    def _take_chunk(self, slots: "Slots", wanted: Manifest, piece: bytes) -> "bytes | None":
        if len(piece) != wanted.chunk_size(self._next):
            self._count("chunks_wrong_size")
            return None
        if hashlib.sha256(piece).digest() != loading.hash_of(slots, self._next):
            self._count("chunks_wrong_hash")
            return None
        slots.write(places.IMAGE, self._next * wanted.chunk_bytes, piece)
        # A crash here: this chunk is there, and is not asked for again.
        self._next += 1
        self._count("chunks")
        return self._ask_or_install(slots, wanted)

    def _ask_or_install(self, slots: "Slots", wanted: Manifest) -> bytes:
        if self._next < wanted.chunk_count:
            return transfer.build_want(self._identity, self._next)
        if not loading.image_is_right(slots, wanted, self._stored):
            self._reach(_FAILED)
            raise UpdateRefused("images_wrong_hash")  # each chunk was right: the signer's two hashes disagree
        # The stage, then the switch: a boot that finds "trying" asks the slots whether the switch was made.
        self._slot = slots.target()
        self._reach(_TRYING)
        try:
            slots.install(wanted.size, self._stored)
        except ManifestError:
            self._reach(_FAILED)
            raise UpdateRefused("images_malformed") from None
        except StorageError:
            self._reach(_LOADING)  # the next offer tries again
            raise
        self._manifest = None
        self._reboot = True
        return transfer.build_outcome(self._identity, transfer.LOADED)

    def _give_up(self) -> UpdateRefused:
        """The flash is full: give back what was loaded, so that readings go on. Under a new version it may fit."""
        self.make_room()
        self._reach(_FAILED)
        return UpdateRefused("updates_no_room")

    def _reach(self, stage: str) -> None:
        self._firmware_twin.save([self._version, self._identity, stage, self._slot])
        self._stage = stage

    def _parse(self, data: bytes) -> Manifest:
        try:
            return manifest.parse(data)
        except ManifestError:
            raise UpdateRefused("updates_malformed") from None

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
