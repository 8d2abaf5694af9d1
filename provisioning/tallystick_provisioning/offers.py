"""Configurations and firmware on their way to nodes: which node gets which, and what to say to it next. No I/O.

A Talk is the host's side of spec 13.4 for one node: whoever owns the link sends what `due` gives, hands every want and
outcome to `hear`, and sends what comes back. The node keeps what it has, so a Talk may be forgotten at any time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from tallystick_provisioning.errors import OfferError
from tallystick_wire import manifest, message, transfer
from tallystick_wire.errors import WireError
from tallystick_wire.manifest import Manifest

ANSWER_S = 5.0  # a node verifies a signature and looks through what it has
LONGEST_PAUSE_S = 300.0  # between two offers to a node that does not answer
LOOK_AGAIN_S = 60.0  # after a node took something: does it hold now?


@dataclass(frozen=True, slots=True)
class Offer:
    """A signed manifest, and for firmware the image that it announces and the list of its chunks' hashes."""

    data: bytes
    manifest: Manifest
    image: bytes = b""
    hashes: bytes = b""

    def piece(self, index: int) -> bytes | None:
        """What a node wants under this index; None when there is no such piece."""
        size = transfer.LIST_PIECE_BYTES if index < 0 else self.manifest.chunk_bytes
        start = (-1 - index if index < 0 else index) * (size or 0)
        return (self.hashes if index < 0 else self.image)[start : start + size] or None

    @property
    def is_firmware(self) -> bool:
        return self.manifest.kind == manifest.FIRMWARE


def offer(data: bytes, images: Iterable[bytes] = ()) -> Offer:
    """The offer in these bytes, with its image out of `images`; OfferError when it is none, or has none."""
    try:
        found = manifest.parse(data)
    except WireError as error:
        raise OfferError(str(error)) from None
    if found.kind == manifest.CONFIG:
        return Offer(data, found)
    for image in images:
        if hashlib.sha256(image).digest() == found.image:
            hashes = manifest.chunk_hashes(image, found.chunk_bytes)
            if len(image) != found.size or hashlib.sha256(hashes).digest() != found.chunks:
                raise OfferError("the manifest does not fit its own image")
            return Offer(data, found, image, hashes)
    raise OfferError(f"the image {found.image.hex()} is not here")


def for_node(offers: Iterable[Offer], origin: str, kid: bytes) -> list[Offer]:
    """What this node should have: the newest configuration, then the newest firmware of each board."""
    newest: dict[tuple[str, str | None], Offer] = {}
    for one in offers:
        told = one.manifest
        if told.origin != origin or told.target not in (None, kid):
            continue
        place = (told.kind, told.board)
        if place not in newest or newest[place].manifest.version < told.version:
            newest[place] = one
    return sorted(newest.values(), key=lambda one: (one.is_firmware, one.manifest.board or ""))


class Talk:
    """`outcomes`: identity -> the node's last word for each offer; `sent` counts the chunks."""

    def __init__(self, link_key: bytes, offers: list[Offer]) -> None:
        self._link_key = link_key
        self._offers = {one.manifest.identity: one for one in offers}
        self.outcomes: dict[bytes, str] = {}
        self.sent = 0
        self._pause_s = ANSWER_S
        self._next_s = 0.0
        self._turn: bytes | None = None

    @property
    def is_over(self) -> bool:
        """Whether every offer was taken and holds, or was refused for good."""
        return all(self._is_settled(identity) for identity in self._offers)

    def due(self, now_ms: int, monotonic_s: float) -> bytes | None:
        """The offer to send now, None when it is not time. `now_ms`: since 1970."""
        if monotonic_s < self._next_s:
            return None
        self._turn = next((identity for identity in self._offers if not self._is_settled(identity)), None)
        if self._turn is None:
            return None
        self._next_s = monotonic_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return transfer.build_offer(self._link_key, now_ms, self._offers[self._turn].data)

    def hear(self, payload: bytes, monotonic_s: float) -> bytes | None:
        """The chunk that a want asks for; None for anything else."""
        try:
            kind = message.kind(payload)
            if kind == "outcome":
                self._take_outcome(*transfer.open_outcome(payload), monotonic_s)
            if kind != "want":
                return None
            identity, index = transfer.open_want(payload)
        except WireError:
            return None
        piece = self._offers[identity].piece(index) if identity in self._offers else None
        if piece is None:
            return None
        self.outcomes.pop(identity, None)
        self.sent += 1
        self._pause_s = ANSWER_S
        self._next_s = monotonic_s + ANSWER_S
        return transfer.build_chunk(identity, index, piece)

    def _take_outcome(self, identity: bytes, word: str, monotonic_s: float) -> None:
        if identity not in self._offers:
            return
        self.outcomes[identity] = word
        self._pause_s = ANSWER_S
        # A node that took something reboots; then the others have their turn, and it is asked what came of it.
        self._next_s = monotonic_s + (0.0 if self._is_settled(identity) else LOOK_AGAIN_S)

    def _is_settled(self, identity: bytes) -> bool:
        word = self.outcomes.get(identity)
        return word is not None and (word == transfer.CURRENT or word not in transfer.GOOD_OUTCOMES)
