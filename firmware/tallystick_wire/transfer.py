"""How a manifest and what it announces reach a node. The host offers, the node asks for what it lacks.

    offer    ["offer", now_ms, manifest, mac]          host -> node   a manifest, and what time it is
    want     ["want", identity16, index]               node -> host   one piece, please
    chunk    ["chunk", identity16, index, bytes]       host -> node   the piece
    outcome  ["outcome", identity16, word]             node -> host   how it ended, for this offer

`index` from 0 counts the chunks of the image. -1, -2, ... are the pieces of the list of chunk hashes, 1024 bytes each.
A node that hears nothing asks no second time: a host that hears nothing offers again, and the node goes on from there.
"""

from tallystick_wire import cbor, manifest
from tallystick_wire.errors import MessageError
from tallystick_wire.message import (
    build_checked,
    check_bytes,
    check_integer,
    check_mac,
    check_text,
    fields,
    mac_of,
)

LIST_PIECE_BYTES = 1024
MAX_CHUNKS = manifest.MAX_IMAGE_BYTES // manifest.CHUNK_BYTES[0]
MAX_LIST_PIECES = MAX_CHUNKS * manifest.HASH_BYTES // LIST_PIECE_BYTES
MAX_PIECE_BYTES = 1024  # the larger of a chunk and a piece of the list
MAX_OUTCOME_CHARACTERS = 32

# The words of an outcome that are good news; every other one names why the node refused (update).
KEPT = "kept"  # a config: it holds from the next boot on, which is about to happen
LOADED = "loaded"  # firmware: it is whole, and runs on trial after the boot that is about to happen
ON_TRIAL = "on-trial"  # it runs, and has not yet stored and delivered a reading
CURRENT = "current"  # it holds, or runs, already
GOOD_OUTCOMES = (KEPT, LOADED, ON_TRIAL, CURRENT)

_OFFER_PREFIX = b"tallystick/offer/v1\0"


def build_offer(link_key: bytes, now_ms: int, data: bytes) -> bytes:
    check_integer("now_ms", now_ms, 0, manifest.MAX_TIME_MS)
    _check_piece("manifest", data, manifest.MAX_MANIFEST_BYTES)
    return cbor.encode(["offer", now_ms, data, mac_of(link_key, _OFFER_PREFIX, [now_ms, data])])


def open_offer(link_key: bytes, data: bytes) -> "tuple[int, bytes]":
    """(the host's time, manifest) of an offer whose MAC is right."""
    now_ms, offered, mac = fields("offer", data)
    check_mac(mac_of(link_key, _OFFER_PREFIX, [now_ms, offered]), mac)
    check_integer("now_ms", now_ms, 0, manifest.MAX_TIME_MS)
    _check_piece("manifest", offered, manifest.MAX_MANIFEST_BYTES)
    return now_ms, offered


def build_want(identity: bytes, index: int) -> bytes:
    return build_checked(open_want, ["want", identity, index])


def open_want(data: bytes) -> "tuple[bytes, int]":
    """(identity, index)."""
    identity, index = fields("want", data)
    check_bytes("identity", identity, manifest.IDENTITY_BYTES)
    check_integer("index", index, -MAX_LIST_PIECES, MAX_CHUNKS - 1)
    return identity, index


def build_chunk(identity: bytes, index: int, piece: bytes) -> bytes:
    return build_checked(open_chunk, ["chunk", identity, index, piece])


def open_chunk(data: bytes) -> "tuple[bytes, int, bytes]":
    """(identity, index, bytes). Nothing says yet that they are the right ones."""
    identity, index, piece = fields("chunk", data)
    check_bytes("identity", identity, manifest.IDENTITY_BYTES)
    check_integer("index", index, -MAX_LIST_PIECES, MAX_CHUNKS - 1)
    _check_piece("piece", piece, MAX_PIECE_BYTES)
    return identity, index, piece


def build_outcome(identity: bytes, word: str) -> bytes:
    return build_checked(open_outcome, ["outcome", identity, word])


def open_outcome(data: bytes) -> "tuple[bytes, str]":
    """(identity, word)."""
    identity, word = fields("outcome", data)
    check_bytes("identity", identity, manifest.IDENTITY_BYTES)
    check_text("outcome", word, MAX_OUTCOME_CHARACTERS)
    return identity, word


def list_pieces(chunk_count: int) -> int:
    """How many pieces the list of so many hashes has."""
    return -(-chunk_count * manifest.HASH_BYTES // LIST_PIECE_BYTES)


def _check_piece(field: str, value: object, limit: int) -> None:
    if not isinstance(value, bytes) or not 0 < len(value) <= limit:
        raise MessageError("%s must be 1 to %d bytes" % (field, limit))
