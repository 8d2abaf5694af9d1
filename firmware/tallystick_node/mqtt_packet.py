"""MQTT 5 packets, as few as a node needs: it publishes with QoS 1 and hears with QoS 0. Bytes in, bytes out.

Version 5 and not 3.1.1: a broker then says why it refuses, and keeps to the largest packet that we name. Everything
that a broker may not send to this client (OASIS MQTT 5.0) is an error: the connection is closed and made anew.
"""

from tallystick_node.errors import LinkError
from tallystick_wire import frame

MAX_PACKET_BYTES = frame.MAX_FRAME_PAYLOAD_BYTES + 128  # a payload, its topic, properties; a node holds one in RAM
_LENGTH_DIGITS = 4  # of the standard

MALFORMED = "mqtt_malformed"  # what the link counts then

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 13, 14
PING = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
LOWEST_REFUSAL = 0x80  # reason codes from here on are failures
NOBODY_LISTENS = 0x10  # taken by the broker, and no gateway has subscribed

# Properties that matter here.
SESSION_EXPIRY, RECEIVE_MAXIMUM, MAXIMUM_QOS, MAXIMUM_PACKET, SERVER_KEEP_ALIVE = 0x11, 0x21, 0x24, 0x27, 0x13
_MESSAGE_EXPIRY = 0x02
_USER_PROPERTY = 0x26
# How long each property is: bytes, or a text or binary behind its length (_TEXT), or two of them.
_TEXT, _PAIR = -1, -2
_SIZES = {0x01: 1, 0x02: 4, 0x03: _TEXT, 0x08: _TEXT, 0x09: _TEXT, 0x11: 4, 0x12: _TEXT, 0x13: 2, 0x15: _TEXT}
_SIZES.update({0x16: _TEXT, 0x1A: _TEXT, 0x1C: _TEXT, 0x1F: _TEXT, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x26: _PAIR})
_SIZES.update({0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1})
# Which of them a packet to this client may have (table 2-4; no topic alias and no subscription id: we asked for none).
_ALLOWED = {
    CONNACK: b"\x11\x12\x13\x15\x16\x1a\x1c\x1f\x21\x22\x24\x25\x26\x27\x28\x29\x2a",
    PUBLISH: b"\x01\x02\x03\x08\x09\x26",
    PUBACK: b"\x1f\x26",
    SUBACK: b"\x1f\x26",
    DISCONNECT: b"\x11\x1c\x1f\x26",
}


class Packet:
    """One packet from the broker. `number` is the packet id, `properties` those that are integers."""

    __slots__ = ("kind", "number", "payload", "properties", "reason", "topic")

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.number = 0
        self.reason = 0
        self.topic = b""
        self.payload = b""
        self.properties: "dict[int, int]" = {}


def connect(client: str, user: str, password: str, keep_alive_s: int) -> bytes:
    """A clean start without a session that outlives it: what a broker would keep for a node is old when it wakes."""
    largest = bytes([MAXIMUM_PACKET]) + MAX_PACKET_BYTES.to_bytes(4, "big")
    flags = 0xC2  # user, password, clean start
    head = _text("MQTT") + bytes([5, flags]) + keep_alive_s.to_bytes(2, "big") + bytes([len(largest)]) + largest
    return _packet(0x10, head + _text(client) + _text(user) + _text(password))


def subscribe(number: int, topic: str) -> bytes:
    """With QoS 0, and without what was retained."""
    no_retained = 0x20
    return _packet(0x82, number.to_bytes(2, "big") + b"\x00" + _text(topic) + bytes([no_retained]))


def publish(number: int, topic: str, payload: bytes, expiry_s: int) -> bytes:
    """With QoS 1; a broker drops it when no gateway took it for `expiry_s`."""
    expiry = bytes([_MESSAGE_EXPIRY]) + expiry_s.to_bytes(4, "big")
    return _packet(0x32, _text(topic) + number.to_bytes(2, "big") + bytes([len(expiry)]) + expiry + payload)


def _packet(first: int, body: bytes) -> bytes:
    if len(body) > MAX_PACKET_BYTES:
        raise LinkError(MALFORMED, "a packet of %d bytes; the limit is %d" % (len(body), MAX_PACKET_BYTES))
    head = bytearray([first])
    left = len(body)
    while True:
        digit = left & 0x7F
        left >>= 7
        head.append(digit | 0x80 if left else digit)
        if not left:
            return bytes(head) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


class Parser:
    """Packets out of a stream. After LinkError the stream is lost: drop the connection and this parser with it."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> "list[Packet]":
        """The packets that are whole now; holds at most one that is not."""
        self._data += data
        packets: "list[Packet]" = []
        while True:
            found = _split(self._data)
            if found is None:
                return packets
            first, start, end = found
            packets.append(parse(first, bytes(self._data[start:end])))
            self._data = self._data[end:]


def _split(data: bytearray) -> "tuple[int, int, int] | None":
    """(first byte, where the body begins, where it ends) of the packet that `data` begins with; None: not whole yet."""
    length = 0
    for index in range(1, _LENGTH_DIGITS + 1):
        if index >= len(data):
            return None
        length |= (data[index] & 0x7F) << 7 * (index - 1)
        if data[index] < 0x80:
            if length > MAX_PACKET_BYTES:
                text = "the broker sends a packet of %d bytes; the limit is %d" % (length, MAX_PACKET_BYTES)
                raise LinkError(MALFORMED, text)
            end = index + 1 + length
            return (data[0], index + 1, end) if len(data) >= end else None
    raise LinkError(MALFORMED, "the broker sends a length of more than %d digits" % _LENGTH_DIGITS)


def parse(first: int, body: bytes) -> Packet:
    """One packet from its first byte and what follows its length; LinkError when it is not for this client."""
    packet = Packet(first >> 4)
    reader = _READERS.get(packet.kind)
    # A PUBLISH may say that it is retained or a duplicate; everything else, and its QoS, has one form.
    if reader is None or first & (0x06 if packet.kind == PUBLISH else 0x0F):
        raise LinkError(MALFORMED, "the broker sends a packet that begins with %02x" % first)
    body_reader = _Body(body)
    reader(packet, body_reader)
    body_reader.end()
    return packet


class _Body:
    """Reads a packet's body from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left():
            raise LinkError(MALFORMED, "the broker sends a packet that is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def text(self) -> bytes:
        return self.take(self.integer(2))

    def end(self) -> None:
        if self.left():
            raise LinkError(MALFORMED, "the broker sends a packet with %d bytes too many" % self.left())

    def length(self) -> int:
        """Of the properties: a variable byte integer; more than two digits do not fit a packet."""
        low = self.integer(1)
        return low if low < 0x80 else (low & 0x7F) | self.integer(1) << 7

    def properties(self, kind: int) -> "dict[int, int]":
        """Those that are integers; the others are checked for their form."""
        part = _Body(self.take(self.length()))
        found: "dict[int, int]" = {}
        seen = []
        while part.left():
            name = part.integer(1)
            if name not in _ALLOWED[kind] or (name in seen and name != _USER_PROPERTY):
                raise LinkError(MALFORMED, "the broker sends property %02x in packet %d" % (name, kind))
            seen.append(name)
            size = _SIZES[name]
            if size > 0:
                found[name] = part.integer(size)
            else:
                part.text()
                if size == _PAIR:
                    part.text()
        return found


def _connack(packet: Packet, body: _Body) -> None:
    flags = body.integer(1)
    if flags:  # a session: we asked for a clean start
        raise LinkError(MALFORMED, "the broker goes on with a session that nobody asked for")
    packet.reason = body.integer(1)
    packet.properties = body.properties(CONNACK)


def _publish(packet: Packet, body: _Body) -> None:
    packet.topic = body.text()
    packet.properties = body.properties(PUBLISH)
    packet.payload = body.take(body.left())


def _puback(packet: Packet, body: _Body) -> None:
    packet.number = body.integer(2)
    _short_reason(packet, body)


def _suback(packet: Packet, body: _Body) -> None:
    packet.number = body.integer(2)
    packet.properties = body.properties(SUBACK)
    packet.reason = body.integer(1)


def _pingresp(packet: Packet, body: _Body) -> None:
    """It has no body."""


def _short_reason(packet: Packet, body: _Body) -> None:
    """A reason that is left out is 0, and so are the properties behind it."""
    if body.left():
        packet.reason = body.integer(1)
    if body.left():
        packet.properties = body.properties(packet.kind)


_READERS = {
    CONNACK: _connack,
    PUBLISH: _publish,
    PUBACK: _puback,
    SUBACK: _suback,
    PINGRESP: _pingresp,
    DISCONNECT: _short_reason,
}
