"""MQTT packets: what the node writes, as paho reads it; what a broker may send; and everything else refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tallystick_node import mqtt_packet
from tallystick_node.errors import LinkError
from tallystick_node.mqtt_packet import Packet, Parser

CONNACK = bytes.fromhex("20 09 00 00 06 22 00 0a 21 00 14")  # of Mosquitto 2.0
PUBACK = bytes.fromhex("40 02 00 01")
SUBACK = bytes.fromhex("90 04 00 01 00 00")
DOWN = bytes.fromhex("30 08 00 03 61 2f 62 00") + b"hi"


def one(data: bytes) -> Packet:
    (packet,) = Parser().feed(data)
    return packet


def properties(data: bytes, kind: int) -> tuple[dict[str, object], bytes]:
    """paho's reading of properties at the start of `data`, and what follows them."""
    read = Properties(kind)  # type: ignore[no-untyped-call]
    _, size = read.unpack(data)  # type: ignore[no-untyped-call]
    return read.json(), data[size:]  # type: ignore[no-untyped-call]


def test_connect() -> None:
    data = mqtt_packet.connect("me", "user", "word", 60)
    assert data[:10] == b"\x10\x20\x00\x04MQTT\x05\xc2"
    assert data[10:12] == (60).to_bytes(2, "big")
    told, rest = properties(data[12:], PacketTypes.CONNECT)
    assert told == {"MaximumPacketSize": mqtt_packet.MAX_PACKET_BYTES}
    assert rest == b"\0\x02me\0\x04user\0\x04word"


def test_subscribe() -> None:
    assert mqtt_packet.subscribe(7, "a/b") == b"\x82\x09\0\x07\0\0\x03a/b\x20"


@pytest.mark.parametrize("size", [0, 1, 100, 113, 114, 115, 1200])
def test_publish(size: int) -> None:
    payload = bytes(range(256)) * 5
    data = mqtt_packet.publish(0xFFFF, "a/b", payload[:size], 60)
    length, start = (data[1], 2) if data[1] < 0x80 else ((data[1] & 0x7F) | data[2] << 7, 3)
    assert (data[0], len(data)) == (0x32, start + length)
    assert data[start : start + 7] == b"\0\x03a/b\xff\xff"
    told, rest = properties(data[start + 7 :], PacketTypes.PUBLISH)
    assert (told, rest) == ({"MessageExpiryInterval": 60}, payload[:size])


def test_a_packet_of_ours_has_a_limit() -> None:
    with pytest.raises(LinkError, match="the limit is 1328"):
        mqtt_packet.publish(1, "a/b", bytes(mqtt_packet.MAX_PACKET_BYTES), 60)


def test_what_a_broker_says() -> None:
    found = one(CONNACK)
    assert (found.kind, found.reason, found.properties) == (mqtt_packet.CONNACK, 0, {0x22: 10, 0x21: 20})
    found = one(PUBACK)
    assert (found.kind, found.number, found.reason) == (mqtt_packet.PUBACK, 1, 0)
    found = one(bytes.fromhex("40 03 00 05 10"))
    assert (found.number, found.reason) == (5, mqtt_packet.NOBODY_LISTENS)
    found = one(bytes.fromhex("40 0a 00 05 87 06 1f 00 03 6e 6f 21"))
    assert (found.number, found.reason) == (5, 0x87)
    found = one(SUBACK)
    assert (found.kind, found.number, found.reason) == (mqtt_packet.SUBACK, 1, 0)
    assert one(b"\xd0\0").kind == mqtt_packet.PINGRESP
    assert one(b"\xe0\0").kind == mqtt_packet.DISCONNECT
    assert one(b"\xe0\x01\x8b").reason == 0x8B
    found = one(DOWN)
    assert (found.kind, found.topic, found.payload) == (mqtt_packet.PUBLISH, b"a/b", b"hi")


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_packets_come_in_any_pieces(step: int) -> None:
    stream = CONNACK + DOWN + PUBACK + DOWN + SUBACK
    parser = Parser()
    found = [packet for at in range(0, len(stream), step) for packet in parser.feed(stream[at : at + step])]
    assert [packet.kind for packet in found] == [2, 3, 4, 3, 9]


REFUSED = {
    "00 00": "begins with 00",
    "10 02 00 00": "begins with 10",  # CONNECT is a client's
    "21 03 00 00 00": "begins with 21",  # a flag that CONNACK does not have
    "32 0a 00 03 61 2f 62 00 01 00 68 69": "begins with 32",  # QoS 1: we asked for QoS 0
    "34 0a 00 03 61 2f 62 00 01 00 68 69": "begins with 34",
    "20 03 01 00 00": "a session that nobody asked for",
    "20 02 00 00": "cut short",  # CONNACK always has properties
    "20 04 00 00 00 00": "1 bytes too many",
    "20 05 00 00 02 21 00": "cut short",
    "20 09 00 00 06 21 00 14 21 00 14": "property 21",  # twice
    "20 05 00 00 02 23 00": "property 23",  # a topic alias belongs to PUBLISH, and we asked for none
    "30 0b 00 03 61 2f 62 03 23 00 01 68 69": "property 23",
    "40 01 00": "cut short",
    "40 05 00 01 00 00 00": "1 bytes too many",
    "d0 01 00": "1 bytes too many",
    "30 ff ff 7f": "a packet of 2097151 bytes; the limit is 1328",
    "30 b1 0a": "a packet of 1329 bytes; the limit is 1328",
    "30 ff ff ff ff 01": "a length of more than 4 digits",
}


@pytest.mark.parametrize(("data", "why"), REFUSED.items(), ids=list(REFUSED))
def test_what_no_broker_may_say(data: str, why: str) -> None:
    with pytest.raises(LinkError, match=why) as found:
        Parser().feed(bytes.fromhex(data))
    assert found.value.count == mqtt_packet.MALFORMED


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_bytes_make_anything_else_happen(pieces: list[bytes]) -> None:
    parser = Parser()
    try:
        for piece in pieces:
            for packet in parser.feed(piece):
                assert len(packet.payload) <= mqtt_packet.MAX_PACKET_BYTES
    except LinkError:
        pass


@given(st.binary(max_size=60), st.sampled_from([0x20, 0x30, 0x31, 0x40, 0x90, 0xD0, 0xE0]))
def test_no_body_makes_anything_else_happen(body: bytes, first: int) -> None:
    with suppress(LinkError):
        mqtt_packet.parse(first, body)

