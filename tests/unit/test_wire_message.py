"""Messages between node and host, and their MACs."""

import hashlib
import hmac

import pytest

from tallystick_wire import cbor, cose, message, reading, senml
from tallystick_wire.errors import MessageError

KEY = bytes(range(32))
KID = bytes(range(8))
HASH16 = bytes(range(16))
ORIGIN = "ledger.example/log"
PUBLIC_KEY = bytes(range(32, 64))


def sign(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


@pytest.mark.parametrize("size", [0, 1, 32, 63, 64, 65, 200])
def test_hmac_against_the_standard_library(size: int) -> None:
    key, text = bytes(range(size)), bytes(range(256)) * 2
    assert message.hmac_sha256(key, text) == hmac.digest(key, text, "sha256")


def test_link_key() -> None:
    assert message.link_key(KEY, PUBLIC_KEY) == hmac.digest(KEY, b"tallystick/link/v1\0" + PUBLIC_KEY, "sha256")


def test_ack() -> None:
    data = message.build_ack(KEY, KID, 3, 90, [(2, 4), (6, 6), (80, 89)])
    ack = message.open_ack(KEY, data)
    assert (ack.kid, ack.boot, ack.high, ack.gaps) == (KID, 3, 90, [(2, 4), (6, 6), (80, 89)])
    *body, mac = cbor.decode(data)
    assert mac == hmac.digest(KEY, b"tallystick/ack/v1\0" + cbor.encode(body), "sha256")[:16]
    assert message.kind(data) == "ack"


def test_anchor() -> None:
    data = message.build_anchor(KEY, 19, HASH16)
    assert message.open_anchor(KEY, data) == (19, HASH16)
    signed = b"tallystick/anchor/v1\0" + cbor.encode([19, HASH16])
    assert cbor.decode(data)[3] == hmac.digest(KEY, signed, "sha256")[:16]


def test_a_wrong_mac_is_refused_whatever_byte_is_wrong() -> None:
    ack, anchor = message.build_ack(KEY, KID, 1, 5, []), message.build_anchor(KEY, 1, HASH16)
    for opener, data in ((message.open_ack, ack), (message.open_anchor, anchor)):
        with pytest.raises(MessageError, match="MAC"):
            opener(bytes(32), data)
        for position in range(len(data) - message.MAC_BYTES, len(data)):
            damaged = bytearray(data)
            damaged[position] ^= 0x80
            with pytest.raises(MessageError, match="MAC"):
                opener(KEY, bytes(damaged))


def test_an_ack_and_an_anchor_cannot_be_taken_for_each_other() -> None:
    with pytest.raises(MessageError):
        message.open_anchor(KEY, message.build_ack(KEY, KID, 1, 5, []))
    with pytest.raises(MessageError):
        message.open_ack(KEY, message.build_anchor(KEY, 1, HASH16))


@pytest.mark.parametrize(
    ("high", "gaps"),
    [
        (-1, []),
        (1 << 32, []),
        (5, [(0, 1)]),
        (5, [(3, 2)]),
        (5, [(2, 5)]),
        (5, [(3, 3), (1, 1)]),
        (5, [(1, 1), (2, 2)]),  # they touch
        (200, [(2 * number, 2 * number) for number in range(1, 34)]),
    ],
)
def test_acks_that_say_nothing_sensible(high: int, gaps: list[tuple[int, int]]) -> None:
    with pytest.raises(MessageError):
        message.build_ack(KEY, KID, 1, high, gaps)
    body: list[object] = [KID, 1, high, [list(gap) for gap in gaps]]
    mac = hmac.digest(KEY, b"tallystick/ack/v1\0" + cbor.encode(body), "sha256")[:16]
    with pytest.raises(MessageError):
        message.open_ack(KEY, cbor.encode([*body, mac]))


def test_every_kind_is_known_and_opens() -> None:
    node = message.open_node(message.build_node("enrolled", PUBLIC_KEY, ORIGIN, KID))
    assert (node.state, node.public_key, node.origin, node.firmware_hash) == ("enrolled", PUBLIC_KEY, ORIGIN, KID)
    assert message.open_node(message.build_node("new", PUBLIC_KEY, None, KID)).origin is None
    assert message.open_enrol(message.build_enrol(ORIGIN, 32473, HASH16)) == (ORIGIN, 32473, HASH16)
    for update_keys in ((None, None), (PUBLIC_KEY, None), (None, PUBLIC_KEY), (PUBLIC_KEY, KEY)):
        link = message.open_link(message.build_link(KEY, ORIGIN, 32473, *update_keys))
        assert (link.key, link.origin, link.pen) == (KEY, ORIGIN, 32473)
        assert (link.downlink_key, link.firmware_key) == update_keys
    assert message.open_linked(message.build_linked(KID)) == KID
    assert message.open_refused(message.build_refused("no")) == "no"
    kinds = {
        "hello": message.build_hello(),
        "identify": message.build_identify(),
        "node": message.build_node("new", PUBLIC_KEY, None, KID),
        "enrol": message.build_enrol(ORIGIN, 0, HASH16),
        "link": message.build_link(KEY, ORIGIN, 1),
        "linked": message.build_linked(KID),
        "refused": message.build_refused("no"),
        "anchor": message.build_anchor(KEY, 1, HASH16),
        "ack": message.build_ack(KEY, KID, 1, 0, []),
    }
    assert {name: message.kind(data) for name, data in kinds.items()} == {name: name for name in kinds}


def test_enrol_request() -> None:
    data = message.enrol_request(KID, PUBLIC_KEY, "node", ORIGIN, HASH16, bytes(16), sign)
    parts = cose.split(data)
    assert parts.signature == sign(parts.to_be_signed)
    assert parts.protected_map == cbor.Map([(1, -8), (4, KID), (16, "application/vnd.tallystick.enrol-request+cbor")])
    expected = {"aud": ORIGIN, "jti": bytes(16), "exp": None, "key": PUBLIC_KEY, "kind": "node", "nonce": HASH16}
    assert parts.payload == cbor.encode(expected)
    assert message.kind(data) == "enrol-request"


def test_a_reading_is_known_by_its_content_type() -> None:
    name = senml.base_name(1, KID)
    payload = senml.encode_pack(name, [senml.Record("t", None, 1)])
    data = reading.build(KID, reading.Chain(1, 1, 0, HASH16, None), payload, sign)
    assert message.kind(data) == "reading"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xf6",
        cbor.encode([]),
        cbor.encode({}),
        cbor.encode(["hello", 1]),
        cbor.encode(["who"]),
        cbor.encode([1]),
        cbor.encode([KID, 1, 2]),
        cbor.encode([["hello"]]),
        b"\xd2",
        cose.assemble(b"", b"", bytes(64)),
        cose.assemble(cbor.encode({1: -8}), b"", bytes(64)),
        cose.assemble(cbor.encode({1: -8, 16: "application/vnd.tallystick.enrolment+cbor"}), b"", bytes(64)),
    ],
)
def test_no_kind(data: bytes) -> None:
    with pytest.raises(MessageError):
        message.kind(data)


@pytest.mark.parametrize(
    ("opener", "items"),
    [
        (message.open_node, ["node", "old", PUBLIC_KEY, None, KID]),
        (message.open_node, ["node", "new", PUBLIC_KEY, ORIGIN, KID]),
        (message.open_node, ["node", "enrolled", PUBLIC_KEY, None, KID]),
        (message.open_node, ["node", "enrolled", PUBLIC_KEY, "", KID]),
        (message.open_node, ["node", "new", PUBLIC_KEY[1:], None, KID]),
        (message.open_node, ["node", "new", PUBLIC_KEY, None, b""]),
        (message.open_enrol, ["enrol", ORIGIN, -1, HASH16]),
        (message.open_enrol, ["enrol", ORIGIN, 1 << 32, HASH16]),
        (message.open_enrol, ["enrol", "x" * 129, 1, HASH16]),
        (message.open_enrol, ["enrol", ORIGIN, 1, b""]),
        (message.open_enrol, ["enrol", ORIGIN, 1]),
        (message.open_link, ["link", KEY, ORIGIN, 1]),
        (message.open_link, ["link", KEY[1:], ORIGIN, 1, None, None]),
        (message.open_link, ["link", KEY, 7, 1, None, None]),
        (message.open_link, ["link", KEY, ORIGIN, 1, KEY[1:], None]),
        (message.open_link, ["link", KEY, ORIGIN, 1, None, "a key"]),
        (message.open_linked, ["linked", None]),
        (message.open_linked, ["refused", KID]),
        (message.open_refused, ["refused", ""]),
    ],
)
def test_wrong_fields(opener: "object", items: list[object]) -> None:
    with pytest.raises(MessageError):
        opener(cbor.encode(items))  # type: ignore[operator]
