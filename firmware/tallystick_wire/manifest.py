"""Statements that change a node: `config` and `firmware`, each signed by its own key and never by another.

A COSE_Sign1 with the three protected labels of every statement. Their bodies (spec 8):

    both      aud, jti, exp (ms, never null), target (kid, or null: every node of that log), version
    config    settings (see settings)
    firmware  board, size, chunk_bytes, image (its SHA-256), chunks (SHA-256 of the list of its chunks' SHA-256)

`parse` checks form and limits. The signature, and whether the node wants it, are the node's business (update).
"""

import hashlib

from tallystick_wire import cbor, cose, reading
from tallystick_wire.errors import CborError, CoseError, ManifestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONFIG = "config"
FIRMWARE = "firmware"
MAX_MANIFEST_BYTES = 1100  # with the host's time and a MAC it is one frame
MAX_VERSION = (1 << 32) - 1  # seconds since 1970 fit until 2106, and need no counter that somebody must keep
MAX_TIME_MS = (1 << 63) - 1
MAX_BOARD_CHARACTERS = 32
MAX_IMAGE_BYTES = 2 * 1024 * 1024  # half of the 4 MiB flash of an ESP32; a folder of .mpy files is a twentieth of it
CHUNK_BYTES = (256, 512, 1024)  # what divides an erase block and fits one frame
HASH_BYTES = 32
IDENTITY_BYTES = 16  # of a manifest, in want, chunk and outcome: the start of its SHA-256
JTI_BYTES = 16

_TYPES = {"application/vnd.tallystick.config+cbor": CONFIG, "application/vnd.tallystick.firmware+cbor": FIRMWARE}
_BOTH = ("aud", "jti", "exp", "target", "version")
_FIELDS = {  # MicroPython has no (*a, b)
    CONFIG: _BOTH + ("settings",),  # noqa: RUF005
    FIRMWARE: _BOTH + ("board", "size", "chunk_bytes", "image", "chunks"),  # noqa: RUF005
}


class Manifest:
    """`settings` is None in firmware; `board`, `image` and the others are None in config."""

    __slots__ = (
        "board",
        "chunk_bytes",
        "chunks",
        "expires_ms",
        "identity",
        "image",
        "kid",
        "kind",
        "origin",
        "settings",
        "signature",
        "size",
        "target",
        "to_be_signed",
        "version",
    )

    def __init__(self, kind: str, parts: cose.Sign1, kid: bytes, body: cbor.Map) -> None:
        self.kind = kind
        self.kid = kid
        self.identity = parts.identity[:IDENTITY_BYTES]
        self.to_be_signed = parts.to_be_signed
        self.signature = parts.signature
        self.origin: str = body["aud"]
        self.expires_ms: int = body["exp"]
        self.target: "bytes | None" = body["target"]
        self.version: int = body["version"]
        self.settings: "cbor.Map | None" = body.get("settings")
        self.board: str = body.get("board")
        self.size: int = body.get("size")
        self.chunk_bytes: int = body.get("chunk_bytes")
        self.image: bytes = body.get("image")
        self.chunks: bytes = body.get("chunks")

    @property
    def chunk_count(self) -> int:
        return -(-self.size // self.chunk_bytes)

    def chunk_size(self, index: int) -> int:
        """How many bytes the chunk `index` has: all but the last are full."""
        return min(self.chunk_bytes, self.size - index * self.chunk_bytes)


def parse(data: bytes) -> Manifest:
    """The manifest in `data`; ManifestError names what is wrong. It is bare: nothing outside the signature is free."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError("a manifest is at most %d bytes" % MAX_MANIFEST_BYTES)
    try:
        parts = cose.split(data)
        body = cbor.decode(parts.payload)
    except (CborError, CoseError) as error:
        raise ManifestError("manifest: %s" % error) from None
    if len(parts.unprotected):
        raise ManifestError("the unprotected header must be empty")
    kind, kid = _header(parts.protected_map)
    if not isinstance(body, cbor.Map):
        raise ManifestError("the body must be a map")
    if sorted([str(name) for name, _ in body.pairs]) != sorted(_FIELDS[kind]):
        raise ManifestError("a %s has the fields %s, and no others" % (kind, ", ".join(_FIELDS[kind])))
    _check_both(body)
    if kind == CONFIG:
        from tallystick_wire import settings  # a node that loads firmware has no memory to spare

        settings.check(body["settings"])
    else:
        _check_firmware(body)
    return Manifest(kind, parts, kid, body)


def chunk_hashes(image: bytes, chunk_bytes: int) -> bytes:
    """The list: the SHA-256 of every chunk, one after the other."""
    starts = range(0, len(image), chunk_bytes)
    return b"".join([hashlib.sha256(image[start : start + chunk_bytes]).digest() for start in starts])


def _header(protected: cbor.Map) -> "tuple[str, bytes]":
    if [label for label, _ in protected.pairs] != [cose.LABEL_ALG, cose.LABEL_KID, cose.LABEL_TYP]:
        raise ManifestError("the protected labels must be exactly 1, 4 and 16")
    if protected[cose.LABEL_ALG] not in (cose.ALG_EDDSA, cose.ALG_ED25519):
        raise ManifestError("the algorithm must be %d or %d" % (cose.ALG_EDDSA, cose.ALG_ED25519))
    kid, typ = protected[cose.LABEL_KID], protected[cose.LABEL_TYP]
    _check_bytes("kid", kid, reading.KID_BYTES)
    if not isinstance(typ, str) or typ not in _TYPES:
        raise ManifestError("neither a config nor a firmware statement")
    return _TYPES[typ], kid


def _check_both(body: cbor.Map) -> None:
    _check_text("aud", body["aud"], 128)
    _check_bytes("jti", body["jti"], JTI_BYTES)
    _check_integer("exp", body["exp"], 0, MAX_TIME_MS)
    if body["target"] is not None:
        _check_bytes("target", body["target"], reading.KID_BYTES)
    _check_integer("version", body["version"], 1, MAX_VERSION)


def _check_firmware(body: cbor.Map) -> None:
    _check_text("board", body["board"], MAX_BOARD_CHARACTERS)
    _check_integer("size", body["size"], 1, MAX_IMAGE_BYTES)
    if body["chunk_bytes"] not in CHUNK_BYTES or isinstance(body["chunk_bytes"], bool):
        raise ManifestError("chunk_bytes must be 256, 512 or 1024")
    _check_bytes("image", body["image"], HASH_BYTES)
    _check_bytes("chunks", body["chunks"], HASH_BYTES)


def _check_bytes(field: str, value: "Any", size: int) -> None:
    if not isinstance(value, bytes) or len(value) != size:
        raise ManifestError("%s must be %d bytes" % (field, size))


def _check_text(field: str, value: "Any", limit: int) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise ManifestError("%s must be text of 1 to %d characters" % (field, limit))


def _check_integer(field: str, value: "Any", lowest: int, highest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise ManifestError("%s must be an integer from %d to %d" % (field, lowest, highest))
