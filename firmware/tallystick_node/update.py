"""What a node does with an offered configuration or firmware: what is taken, what is refused, and what is asked for.

Imported when an offer comes or a trial ends, and let go afterwards (update_state, which knows how far it has come).
`judge` decides on bytes; Update asks for chunks one by one. A version counts from the moment its manifest is taken, so
an older one never comes back, and firmware gets one trial: it must store a reading and have it acked in its first boot,
or the boot after that is of the firmware before.
"""

import hashlib

from tallystick_node import loading, on_demand, state
from tallystick_node import slots as places
from tallystick_node.errors import FlashFull, StorageError, UpdateRefused
from tallystick_node.update_state import DONE, FAILED, LOADING, TRYING
from tallystick_wire import manifest, transfer
from tallystick_wire.errors import ManifestError, WireError
from tallystick_wire.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.slots import Slots
    from tallystick_node.state import Config
    from tallystick_node.update_state import Updates


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
    from tallystick_node import ed25519_verify  # let go in offer()

    if not ed25519_verify.verify(key, offered.to_be_signed, offered.signature):
        raise UpdateRefused("updates_wrong_signature")


class Update:
    """Of one node, with its slots (None: it has none). `is_loading`: pieces are on their way, and no end is reached."""

    def __init__(self, state: "Updates", slots: "Slots | None") -> None:
        self._state = state
        self._slots = slots
        self._count = state.count
        self._stored = state.stored
        self._manifest: "Manifest | None" = None  # of what is being loaded, once somebody asked to go on
        self._next = 0  # the piece to ask for: below 0 of the list, from 0 of the image

    @property
    def is_loading(self) -> bool:
        return self._manifest is not None

    def offer(self, config: "Config", data: bytes) -> "bytes | None":
        """A want, or an outcome; after a refusal nothing has changed. None: nobody who knows the link key offers it."""
        try:
            now_ms, data = transfer.open_offer(config.link_key, data)
        except WireError:
            self._count("offers_refused")
            return None
        identity = hashlib.sha256(data).digest()[: manifest.IDENTITY_BYTES]
        try:
            if identity == self._state.config_identity:
                return transfer.build_outcome(identity, transfer.CURRENT)
            offered = self._parse(data)
            if identity == self._state.identity:
                return self._go_on(offered, now_ms)
            known = self._state.config_version if offered.kind == manifest.CONFIG else self._state.version
            try:
                judge(config, self._state.kid, known, now_ms, offered)
            finally:
                on_demand.let_go(on_demand.VERIFIER)
            if self._state.stage == TRYING:
                raise UpdateRefused("updates_too_early")  # it would end the trial that is on, or lead it nowhere
            if offered.kind == manifest.CONFIG:
                return self._keep(offered)
            return self._begin(offered)
        except UpdateRefused as refused:
            self._count(str(refused))
            return transfer.build_outcome(identity, str(refused))

    def chunk(self, data: bytes) -> "bytes | None":
        """Keep a piece that was asked for; the next want, or the outcome. None: not that one, and nothing changed."""
        try:
            identity, index, piece = transfer.open_chunk(data)
        except WireError:
            self._count("chunks_malformed")
            return None
        wanted = self._manifest
        if wanted is None or self._slots is None or identity != self._state.identity or index != self._next:
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

    def confirm(self) -> None:
        """This firmware works: it can be updated, too, for to get here it imported what that takes."""
        if self._slots is None:
            return
        self._slots.confirm()
        # A crash here: the next boot finds the slot confirmed and says so in the twin.
        self._reach(DONE)
        self._state.on_trial = False
        self._count("updates_confirmed")
        # A crash here: they lie there until the next update, or until readings need the room.
        self.make_room()

    def make_room(self) -> None:
        """What is loaded goes."""
        self._manifest = None
        if self._slots is None:
            return
        for part in (places.LIST, places.IMAGE):
            try:
                self._slots.remove(part)
            except StorageError:
                self._count("flash_refused")

    def take_stock(self) -> None:
        """What became of a trial, seen from the boot after it was begun."""
        if self._slots is None:
            return
        found = self._slots.state(self._state.slot)
        if found == places.TRIAL:
            self._state.on_trial = True
        elif found == places.CONFIRMED:
            self._reach(DONE)
        elif found == places.FAILED:
            self._reach(FAILED)
            self._count("updates_rolled_back")
        else:  # the power went before the switch: the image is whole, and the next offer goes on from there
            self._reach(LOADING)

    def _keep(self, offered: Manifest) -> bytes:
        self._state.keep(offered.version, offered.identity, offered.settings)
        # A crash before the answer: it holds in the next boot, and an offer that comes again is answered "current".
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
        self._state.take(offered.version, offered.identity)
        # A crash here: the same offer goes on.
        self._manifest = None
        return self._go_on(offered, 0)

    def _go_on(self, offered: Manifest, now_ms: int) -> bytes:
        """This manifest was taken before."""
        if self._state.stage == DONE:
            return transfer.build_outcome(self._state.identity, transfer.CURRENT)
        if self._state.stage == TRYING:
            word = transfer.ON_TRIAL if self._state.on_trial else transfer.LOADED
            return transfer.build_outcome(self._state.identity, word)
        if self._state.stage == FAILED:
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
            return transfer.build_want(self._state.identity, self._next)
        if not loading.image_is_right(slots, wanted, self._stored):
            self._reach(FAILED)
            raise UpdateRefused("images_wrong_hash")  # each chunk was right: the signer's two hashes disagree
        # The stage, then the switch: a boot that finds "trying" asks the slots whether the switch was made.
        self._state.slot = slots.target()
        self._reach(TRYING)
        try:
            slots.install(wanted.size, self._stored)
        except ManifestError:
            self._reach(FAILED)
            raise UpdateRefused("images_malformed") from None
        except (StorageError, MemoryError):
            self._reach(LOADING)  # the next offer tries again
            raise
        self._manifest = None
        self._state.reboot = True
        return transfer.build_outcome(self._state.identity, transfer.LOADED)

    def _give_up(self) -> UpdateRefused:
        """The flash is full: give back what was loaded, so that readings go on. Under a new version it may fit."""
        self.make_room()
        self._reach(FAILED)
        return UpdateRefused("updates_no_room")

    def _reach(self, stage: str) -> None:
        self._state.reach(stage)
        if stage == FAILED:
            self._manifest = None  # nothing more is wanted of it

    def _parse(self, data: bytes) -> Manifest:
        try:
            return manifest.parse(data)
        except ManifestError:
            raise UpdateRefused("updates_malformed") from None
