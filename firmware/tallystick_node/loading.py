"""How much of an update lies in the slots already. What lies there is looked at, never what was once written down."""

import hashlib

from tallystick_node.slots import IMAGE, LIST
from tallystick_wire import manifest, transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick_node.slots import Slots
    from tallystick_wire.manifest import Manifest


_PIECE_BYTES = 1024


def first_missing(slots: "Slots", loading: "Manifest", going_on: "Callable[[], None]") -> int:
    """The piece to ask for next, as want counts them; the number of chunks when nothing is missing.

    `going_on()` after each piece: it takes a small board longer than a watchdog waits.
    """
    if not list_is_right(slots, loading):
        size = slots.size(LIST)
        if size >= loading.chunk_count * manifest.HASH_BYTES:  # whole, and wrong
            slots.remove(LIST)
            size = 0
        return -1 - size // transfer.LIST_PIECE_BYTES
    for index in range(loading.chunk_count):
        there = slots.read(IMAGE, index * loading.chunk_bytes, loading.chunk_size(index))
        if hashlib.sha256(there).digest() != hash_of(slots, index):
            return index - index % max(1, slots.granule // loading.chunk_bytes)
        going_on()
    return loading.chunk_count


def list_is_right(slots: "Slots", loading: "Manifest") -> bool:
    """Whether the list of chunk hashes is the one that was signed."""
    return _hash(slots, LIST, loading.chunk_count * manifest.HASH_BYTES, lambda: None) == loading.chunks


def image_is_right(slots: "Slots", loading: "Manifest", going_on: "Callable[[], None]") -> bool:
    """Whether the image is the one that was signed; `going_on()` after each piece."""
    return _hash(slots, IMAGE, loading.size, going_on) == loading.image


def hash_of(slots: "Slots", index: int) -> bytes:
    """What the list says of this chunk."""
    return slots.read(LIST, index * manifest.HASH_BYTES, manifest.HASH_BYTES)


def _hash(slots: "Slots", part: str, size: int, going_on: "Callable[[], None]") -> bytes:
    total = hashlib.sha256()
    for offset in range(0, size, _PIECE_BYTES):
        total.update(slots.read(part, offset, min(_PIECE_BYTES, size - offset)))
        going_on()
    return total.digest()
