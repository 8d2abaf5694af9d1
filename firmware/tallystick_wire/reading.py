"""The reading: what one node saw at one moment, signed, chained to the reading before it.

COSE_Sign1 with exactly four protected labels: 1 algorithm, 3 content type (112, SenML-CBOR), 4 kid, -65537 chain.
chain = [boot, seq, uptime_ms, previous, anchor]. Parsing checks the structure; the signature is for whoever holds keys.
"""

import hashlib

from tallystick_wire import cbor, cose, senml
from tallystick_wire.errors import ReadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Anchor = tuple[int, bytes, int]

MAX_READING_BYTES = 1024  # one frame; five times what three measurements need
CONTENT_SENML_CBOR = 112
LABEL_CHAIN = -65537
KID_BYTES = 8
PUBLIC_KEY_BYTES = 32
LINK_BYTES = 16  # previous reading and anchor: half a SHA-256, to save radio time
MAX_BOOT = MAX_SEQ = (1 << 32) - 1  # a reading a second for 136 years
MAX_UPTIME_MS = (1 << 64) - 1
_GENESIS_PREFIX = b"tallystick/genesis/v1\0"

# The first reading of a boot also says how the node came up: names of its boot record.
RESET_CAUSE, LAST_PERSISTED, RESERVED_BOUND, FIRMWARE_HASH, CONFIG_HASH = BOOT_NAMES = ("rc", "lp", "rb", "fw", "cf")
BOOT_HASH_BYTES = 8

# A node whose flash is full may give up its oldest readings; every reading says so until one of them is acked.
GAP_FIRST, GAP_LAST = "gf", "gl"


class Chain:
    """Where a reading stands in its node's life. anchor = (tree size, hash16, uptime_ms at receipt) or None."""

    __slots__ = ("anchor", "boot", "previous", "seq", "uptime_ms")

    def __init__(self, boot: int, seq: int, uptime_ms: int, previous: bytes, anchor: "Anchor | None") -> None:
        self.boot = boot
        self.seq = seq
        self.uptime_ms = uptime_ms
        self.previous = previous
        self.anchor = anchor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and self.items() == other.items()

    def __repr__(self) -> str:
        return "Chain(%r, %r, %r, %r, %r)" % tuple(self.items())

    def items(self) -> "list[object]":
        """As it stands in the protected header."""
        return [self.boot, self.seq, self.uptime_ms, self.previous, None if self.anchor is None else list(self.anchor)]


class BootRecord:
    """What the first reading of a boot adds. `last_persisted` < seq; numbers up to `reserved_bound` may be lost."""

    __slots__ = ("config_hash", "firmware_hash", "last_persisted", "reserved_bound", "reset_cause")

    def __init__(
        self, reset_cause: str, last_persisted: int, reserved_bound: int, firmware_hash: bytes, config_hash: bytes
    ) -> None:
        self.reset_cause = reset_cause
        self.last_persisted = last_persisted
        self.reserved_bound = reserved_bound
        self.firmware_hash = firmware_hash
        self.config_hash = config_hash

    def records(self) -> "list[senml.Record]":
        """The records to put behind the measurements."""
        return [
            senml.Record(RESET_CAUSE, None, self.reset_cause),
            senml.Record(LAST_PERSISTED, None, self.last_persisted),
            senml.Record(RESERVED_BOUND, None, self.reserved_bound),
            senml.Record(FIRMWARE_HASH, None, self.firmware_hash),
            senml.Record(CONFIG_HASH, None, self.config_hash),
        ]


class GapRecord:
    """Numbers `first` to `last`: what of them was not delivered by now was given up, and will never come."""

    __slots__ = ("first", "last")

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last

    def records(self) -> "list[senml.Record]":
        """The records to put behind the measurements."""
        return [senml.Record(GAP_FIRST, None, self.first), senml.Record(GAP_LAST, None, self.last)]


class Reading:
    """A reading whose structure is right. `data` is bare; `link` is what the next reading calls previous.

    gap = (first, last) of its gap record, or None.
    """

    __slots__ = ("boot_record", "chain", "data", "gap", "identity", "kid", "link", "pack", "payload", "sign1")

    def __init__(self, sign1: cose.Sign1, kid: bytes, chain: Chain, pack: senml.Pack) -> None:
        self.sign1 = sign1
        self.kid = kid
        self.chain = chain
        self.payload = sign1.payload
        self.pack = pack
        self.boot_record = _boot_record(pack)
        self.gap = _gap(pack, chain.seq)
        self.data = sign1.bare
        self.identity = hashlib.sha256(self.data).digest()
        self.link = self.identity[:LINK_BYTES]


def genesis(origin: str, public_key: bytes) -> bytes:
    """`previous` of a node's first reading: it ties the chain to one log and one key."""
    _check_bytes("public key", public_key, PUBLIC_KEY_BYTES)  # a fixed size: else origin and key could trade bytes
    return hashlib.sha256(_GENESIS_PREFIX + origin.encode() + public_key).digest()[:LINK_BYTES]


def protected_header(kid: bytes, chain: Chain) -> bytes:
    _check_chain(chain)
    _check_bytes("kid", kid, KID_BYTES)
    return cbor.encode(
        cbor.Map(
            [
                (cose.LABEL_ALG, cose.ALG_EDDSA),
                (cose.LABEL_CONTENT, CONTENT_SENML_CBOR),
                (cose.LABEL_KID, kid),
                (LABEL_CHAIN, chain.items()),
            ]
        )
    )


def build(kid: bytes, chain: Chain, payload: bytes, sign: "Callable[[bytes], bytes]") -> bytes:
    """A signed reading. `payload` is an encoded pack; `sign` turns a message into 64 bytes."""
    protected = protected_header(kid, chain)
    data = cose.assemble(protected, payload, sign(cose.sig_structure(protected, payload)))
    _check_size(data)
    return data


def parse(data: bytes) -> Reading:
    """The structure of a reading, checked whole; a WireError otherwise. Says nothing about the signature."""
    _check_size(data)
    sign1 = cose.split(data)
    header = sign1.protected_map
    labels = [label for label, _ in header.pairs]
    if labels != [cose.LABEL_ALG, cose.LABEL_CONTENT, cose.LABEL_KID, LABEL_CHAIN]:
        raise ReadingError("the protected labels must be exactly 1, 3, 4 and %d" % LABEL_CHAIN)
    if header[cose.LABEL_ALG] not in (cose.ALG_EDDSA, cose.ALG_ED25519):
        raise ReadingError("the algorithm must be %d or %d" % (cose.ALG_EDDSA, cose.ALG_ED25519))
    if header[cose.LABEL_CONTENT] != CONTENT_SENML_CBOR:
        raise ReadingError("the content type must be %d" % CONTENT_SENML_CBOR)
    kid = header[cose.LABEL_KID]
    _check_bytes("kid", kid, KID_BYTES)
    pack = senml.decode_pack(sign1.payload)
    if senml.split_base_name(pack.base_name)[1] != kid:
        raise ReadingError("the base name is not that of the signing key")
    return Reading(sign1, kid, _chain(header[LABEL_CHAIN]), pack)


def _chain(items: object) -> Chain:
    if not isinstance(items, list) or len(items) != 5:
        raise ReadingError("chain is an array of 5")
    boot, seq, uptime_ms, previous, anchor = items
    if anchor is not None:
        if not isinstance(anchor, list) or len(anchor) != 3:
            raise ReadingError("anchor is null or an array of 3")
        anchor = (anchor[0], anchor[1], anchor[2])
    chain = Chain(boot, seq, uptime_ms, previous, anchor)
    _check_chain(chain)
    return chain


def _check_chain(chain: Chain) -> None:
    """The rules that hold for writer and reader alike."""
    _check_integer("boot", chain.boot, 1, MAX_BOOT)
    _check_integer("seq", chain.seq, 1, MAX_SEQ)
    _check_integer("uptime_ms", chain.uptime_ms, 0, MAX_UPTIME_MS)
    _check_bytes("previous", chain.previous, LINK_BYTES)
    if chain.anchor is not None:
        size, hash16, anchor_uptime_ms = chain.anchor
        _check_integer("anchor size", size, 0, MAX_UPTIME_MS)
        _check_bytes("anchor hash", hash16, LINK_BYTES)
        _check_integer("anchor uptime_ms", anchor_uptime_ms, 0, chain.uptime_ms)


def _boot_record(pack: senml.Pack) -> "BootRecord | None":
    if all(pack.get(name) is None for name in BOOT_NAMES):
        return None
    values: "list[Any]" = [pack.get(name) for name in BOOT_NAMES]
    reset_cause, last_persisted, reserved_bound, firmware_hash, config_hash = values
    if not isinstance(reset_cause, str):
        raise ReadingError("%s must be text" % RESET_CAUSE)
    _check_integer(LAST_PERSISTED, last_persisted, 0, MAX_SEQ)
    _check_integer(RESERVED_BOUND, reserved_bound, 0, MAX_SEQ)
    _check_bytes(FIRMWARE_HASH, firmware_hash, BOOT_HASH_BYTES)
    _check_bytes(CONFIG_HASH, config_hash, BOOT_HASH_BYTES)
    return BootRecord(reset_cause, last_persisted, reserved_bound, firmware_hash, config_hash)


def _gap(pack: senml.Pack, seq: int) -> "tuple[int, int] | None":
    values: "list[Any]" = [pack.get(GAP_FIRST), pack.get(GAP_LAST)]
    first, last = values
    if first is None and last is None:
        return None
    _check_integer(GAP_LAST, last, 1, seq - 1)
    _check_integer(GAP_FIRST, first, 1, last)
    return first, last


def _check_integer(field: str, value: object, lowest: int, highest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise ReadingError("%s must be an integer from %d to %d" % (field, lowest, highest))


def _check_bytes(field: str, value: object, size: int) -> None:
    if not isinstance(value, bytes) or len(value) != size:
        raise ReadingError("%s must be %d bytes" % (field, size))


def _check_size(data: bytes) -> None:
    if len(data) > MAX_READING_BYTES:
        raise ReadingError("a reading is at most %d bytes" % MAX_READING_BYTES)
