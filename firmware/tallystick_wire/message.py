"""What node and host say to each other beside readings. CBOR arrays, one payload each, at most one frame.

    ack      [kid, boot, high, gaps, mac]         host -> node   what is durable
    anchor   ["anchor", size, hash16, mac]        host -> node   a ledger checkpoint to build into the next reading
    hello    ["hello"]                            host -> node   who are you?
    node     ["node", state, public_key, origin | null, firmware_hash8]      the answer
    enrol    ["enrol", origin, pen, nonce16]      host -> node   answered by an enrol-request statement (COSE_Sign1)
    link     ["link", link_key, origin, pen, downlink_key | null, firmware_key | null]
                                                  host -> node   answered by linked or refused
    linked   ["linked", kid]
    refused  ["refused", reason]
    identify ["identify"]                         host -> node   show which board you are

Those that bring a configuration or firmware (offer, want, chunk, outcome) are in transfer.
MACs are under the link key, so a leak costs acks and anchors, never evidence.
"""

import hashlib

from tallystick_wire import cbor, cose, reading
from tallystick_wire.errors import CborError, MessageError, WireError
from tallystick_wire.sequence import MAX_GAP_RANGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Span = tuple[int, int]

MAC_BYTES = 16
LINK_KEY_BYTES = 32
NONCE_BYTES = 16
JTI_BYTES = 16
FIRMWARE_HASH_BYTES = 8
MAX_ORIGIN_CHARACTERS = 128
MAX_REASON_CHARACTERS = 128
MAX_PEN = (1 << 32) - 1
MAX_TREE_SIZE = (1 << 64) - 1

STATE_NEW = "new"
STATE_ENROLLED = "enrolled"
TYP_ENROL_REQUEST = "application/vnd.tallystick.enrol-request+cbor"

_ACK_PREFIX = b"tallystick/ack/v1\0"
_ANCHOR_PREFIX = b"tallystick/anchor/v1\0"
_LINK_PREFIX = b"tallystick/link/v1\0"
_ARRAY_SIZES = {"anchor": 4, "hello": 1, "node": 5, "enrol": 4, "link": 6, "linked": 2, "refused": 2, "identify": 1}
# Updates: see transfer.
_ARRAY_SIZES.update({"offer": 4, "want": 3, "chunk": 4, "outcome": 3})
_ACK_SIZE = 5
_FIRST_BYTE_SIGN1 = 0xC0 | cose.TAG_SIGN1
_HMAC_BLOCK_BYTES = 64  # of SHA-256


class Ack:
    """What the host holds durably: every reading up to `high` except those in `gaps` (inclusive ranges)."""

    __slots__ = ("boot", "gaps", "high", "kid")

    def __init__(self, kid: bytes, boot: int, high: int, gaps: "list[Span]") -> None:
        self.kid = kid
        self.boot = boot
        self.high = high
        self.gaps = gaps


class Node:
    """A node's answer to hello. `origin` is None until it is enrolled."""

    __slots__ = ("firmware_hash", "origin", "public_key", "state")

    def __init__(self, state: str, public_key: bytes, origin: "str | None", firmware_hash: bytes) -> None:
        self.state = state
        self.public_key = public_key
        self.origin = origin
        self.firmware_hash = firmware_hash


class Link:
    """What a node is told at enrolment. `downlink_key`, `firmware_key`: whose updates it takes; None: nobody's."""

    __slots__ = ("downlink_key", "firmware_key", "key", "origin", "pen")

    def __init__(
        self, key: bytes, origin: str, pen: int, downlink_key: "bytes | None", firmware_key: "bytes | None"
    ) -> None:
        self.key = key
        self.origin = origin
        self.pen = pen
        self.downlink_key = downlink_key
        self.firmware_key = firmware_key


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104; MicroPython has no hmac."""
    if len(key) > _HMAC_BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    key = key + bytes(_HMAC_BLOCK_BYTES - len(key))
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]) + message).digest()
    return hashlib.sha256(bytes([byte ^ 0x5C for byte in key]) + inner).digest()


def link_key(site_key: bytes, thumbprint: bytes) -> bytes:
    """The key that one node shares with the gateways of its site, 32 bytes."""
    return hmac_sha256(site_key, _LINK_PREFIX + thumbprint)


def kind(data: bytes) -> str:
    """Which message `data` is, by its outer form alone; MessageError when it is none."""
    if data[:1] == bytes([_FIRST_BYTE_SIGN1]):
        try:
            header = cose.split(data).protected_map
        except WireError as error:
            raise MessageError("signed message: %s" % error) from None
        if header.get(cose.LABEL_CONTENT) == reading.CONTENT_SENML_CBOR:
            return "reading"
        if header.get(cose.LABEL_TYP) == TYP_ENROL_REQUEST:
            return "enrol-request"
        raise MessageError("signed, but neither a reading nor an enrol request")
    items = _items(data)
    if isinstance(items[0], bytes) and len(items) == _ACK_SIZE:
        return "ack"
    if isinstance(items[0], str) and _ARRAY_SIZES.get(items[0]) == len(items):
        return items[0]
    raise MessageError("no message of this form")


def build_ack(key: bytes, kid: bytes, boot: int, high: int, gaps: "list[Span]") -> bytes:
    body: "list[Any]" = [kid, boot, high, [list(gap) for gap in gaps]]
    _check_ack(body)
    mac = mac_of(key, _ACK_PREFIX, body)
    body.append(mac)
    return cbor.encode(body)


def open_ack(key: bytes, data: bytes) -> Ack:
    """An ack whose MAC is right. That `high` is not above what the node signed is for the node to check."""
    items = _items(data)
    if len(items) != _ACK_SIZE:
        raise MessageError("an ack is an array of %d" % _ACK_SIZE)
    body = items[:-1]
    check_mac(mac_of(key, _ACK_PREFIX, body), items[-1])
    _check_ack(body)
    kid, boot, high, gaps = body
    return Ack(kid, boot, high, [(first, last) for first, last in gaps])


def build_anchor(key: bytes, size: int, hash16: bytes) -> bytes:
    check_integer("size", size, 0, MAX_TREE_SIZE)
    check_bytes("hash", hash16, reading.LINK_BYTES)
    return cbor.encode(["anchor", size, hash16, mac_of(key, _ANCHOR_PREFIX, [size, hash16])])


def open_anchor(key: bytes, data: bytes) -> "tuple[int, bytes]":
    """(tree size, hash16) of an anchor whose MAC is right."""
    size, hash16, mac = fields("anchor", data)
    check_mac(mac_of(key, _ANCHOR_PREFIX, [size, hash16]), mac)
    check_integer("size", size, 0, MAX_TREE_SIZE)
    check_bytes("hash", hash16, reading.LINK_BYTES)
    return size, hash16


def build_hello() -> bytes:
    return cbor.encode(["hello"])


def build_identify() -> bytes:
    return cbor.encode(["identify"])


def build_node(state: str, public_key: bytes, origin: "str | None", firmware_hash: bytes) -> bytes:
    return build_checked(open_node, ["node", state, public_key, origin, firmware_hash])


def open_node(data: bytes) -> Node:
    state, public_key, origin, firmware_hash = fields("node", data)
    if state not in (STATE_NEW, STATE_ENROLLED):
        raise MessageError("a node is new or enrolled")
    check_bytes("public key", public_key, reading.PUBLIC_KEY_BYTES)
    if (origin is None) != (state == STATE_NEW):
        raise MessageError("a node has an origin when it is enrolled, and only then")
    if origin is not None:
        check_text("origin", origin, MAX_ORIGIN_CHARACTERS)
    check_bytes("firmware hash", firmware_hash, FIRMWARE_HASH_BYTES)
    return Node(state, public_key, origin, firmware_hash)


def build_enrol(origin: str, pen: int, nonce: bytes) -> bytes:
    return build_checked(open_enrol, ["enrol", origin, pen, nonce])


def open_enrol(data: bytes) -> "tuple[str, int, bytes]":
    """(origin, pen, nonce)."""
    origin, pen, nonce = fields("enrol", data)
    check_text("origin", origin, MAX_ORIGIN_CHARACTERS)
    check_integer("pen", pen, 0, MAX_PEN)
    check_bytes("nonce", nonce, NONCE_BYTES)
    return origin, pen, nonce


def build_link(
    key: bytes,
    origin: str,
    pen: int,
    downlink_key: "bytes | None" = None,
    firmware_key: "bytes | None" = None,
) -> bytes:
    return build_checked(open_link, ["link", key, origin, pen, downlink_key, firmware_key])


def open_link(data: bytes) -> Link:
    key, origin, pen, downlink_key, firmware_key = fields("link", data)
    check_bytes("link key", key, LINK_KEY_BYTES)
    check_text("origin", origin, MAX_ORIGIN_CHARACTERS)
    check_integer("pen", pen, 0, MAX_PEN)
    for field, public_key in (("downlink key", downlink_key), ("firmware key", firmware_key)):
        if public_key is not None:
            check_bytes(field, public_key, reading.PUBLIC_KEY_BYTES)
    return Link(key, origin, pen, downlink_key, firmware_key)


def build_linked(kid: bytes) -> bytes:
    return build_checked(open_linked, ["linked", kid])


def open_linked(data: bytes) -> bytes:
    """The node's kid."""
    (kid,) = fields("linked", data)
    check_bytes("kid", kid, reading.KID_BYTES)
    return bytes(kid)


def build_refused(reason: str) -> bytes:
    return build_checked(open_refused, ["refused", reason])


def open_refused(data: bytes) -> str:
    """Why the node refused, in its own words."""
    (reason,) = fields("refused", data)
    check_text("reason", reason, MAX_REASON_CHARACTERS)
    return str(reason)


def enrol_request(
    kid: bytes,
    public_key: bytes,
    key_kind: str,
    origin: str,
    nonce: bytes,
    jti: bytes,
    sign: "Callable[[bytes], bytes]",
) -> bytes:
    """The statement by which a new key asks to be enrolled in one ledger. `sign` turns a message into 64 bytes."""
    check_bytes("kid", kid, reading.KID_BYTES)
    check_bytes("public key", public_key, reading.PUBLIC_KEY_BYTES)
    check_bytes("nonce", nonce, NONCE_BYTES)
    check_bytes("jti", jti, JTI_BYTES)
    protected = cbor.encode(
        cbor.Map([(cose.LABEL_ALG, cose.ALG_EDDSA), (cose.LABEL_KID, kid), (cose.LABEL_TYP, TYP_ENROL_REQUEST)])
    )
    body = [("aud", origin), ("jti", jti), ("exp", None), ("key", public_key), ("kind", key_kind), ("nonce", nonce)]
    payload = cbor.encode(cbor.Map(body))
    return cose.assemble(protected, payload, sign(cose.sig_structure(protected, payload)))


def _items(data: bytes) -> "list[Any]":
    try:
        items = cbor.decode(data)
    except CborError as error:
        raise MessageError("message: %s" % error) from None
    if not isinstance(items, list) or not items:
        raise MessageError("a message is an array that is not empty")
    return items


def fields(name: str, data: bytes) -> "list[Any]":
    items = _items(data)
    if items[0] != name or len(items) != _ARRAY_SIZES[name]:
        raise MessageError("not a message of kind %s" % name)
    return items[1:]


def build_checked(opener: "Callable[[bytes], object]", items: "list[Any]") -> bytes:
    """Encode; the opener is the one home of the rules, so nothing is written that it would refuse."""
    data = cbor.encode(items)
    opener(data)
    return data


def mac_of(key: bytes, prefix: bytes, body: "list[Any]") -> bytes:
    return hmac_sha256(key, prefix + cbor.encode(body))[:MAC_BYTES]


def check_mac(expected: bytes, mac: "Any") -> None:
    check_bytes("mac", mac, MAC_BYTES)
    difference = 0
    for index in range(MAC_BYTES):
        difference |= expected[index] ^ mac[index]  # every byte, so that the time tells nothing
    if difference:
        raise MessageError("the MAC is wrong")


def _check_ack(body: "list[Any]") -> None:
    kid, boot, high, gaps = body
    check_bytes("kid", kid, reading.KID_BYTES)
    check_integer("boot", boot, 0, reading.MAX_BOOT)
    check_integer("high", high, 0, reading.MAX_SEQ)
    if not isinstance(gaps, list) or len(gaps) > MAX_GAP_RANGES:
        raise MessageError("gaps are at most %d ranges" % MAX_GAP_RANGES)
    lowest = 1
    for gap in gaps:
        if not isinstance(gap, list) or len(gap) != 2:
            raise MessageError("a gap is [first, last]")
        check_integer("first of a gap", gap[0], lowest, high)
        check_integer("last of a gap", gap[1], gap[0], high - 1)
        lowest = gap[1] + 2  # between two gaps stands what arrived


def check_bytes(field: str, value: object, size: int) -> None:
    if not isinstance(value, bytes) or len(value) != size:
        raise MessageError("%s must be %d bytes" % (field, size))


def check_text(field: str, value: object, limit: int) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise MessageError("%s must be text of 1 to %d characters" % (field, limit))


def check_integer(field: str, value: object, lowest: int, highest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise MessageError("%s must be an integer from %d to %d" % (field, lowest, highest))
