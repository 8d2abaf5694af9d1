"""Where node and gateway meet on an MQTT broker: topics, and the user and password that the broker knows a node by.

A node publishes to its own `up` topic and hears its own `down` topic; the broker's access list allows nothing else. The
password comes out of the link key, so a site's password file is made from its site key.
"""

from tallystick_wire import message, reading

ALL_NODES_UP = "tallystick/+/up"  # what a gateway subscribes to
PASSWORD_BYTES = 16

_FIRST, _UP, _DOWN = "tallystick", "up", "down"
_PASSWORD_TEXT = b"tallystick/mqtt/v1\0"
_HEX_DIGITS = "0123456789abcdef"


def up_topic(kid: bytes) -> str:
    """What a node says."""
    return "/".join((_FIRST, kid.hex(), _UP))


def down_topic(kid: bytes) -> str:
    """What a node hears."""
    return "/".join((_FIRST, kid.hex(), _DOWN))


def kid_of(topic: str) -> "bytes | None":
    """Whose `up` topic this is, or None: it is nobody's."""
    words = topic.split("/")
    if len(words) != 3 or words[0] != _FIRST or words[2] != _UP:
        return None
    text = words[1]
    if len(text) != 2 * reading.KID_BYTES or any(digit not in _HEX_DIGITS for digit in text):
        return None
    return bytes.fromhex(text)


def user(kid: bytes) -> str:
    """The broker's name for a node; also its client id."""
    return kid.hex()


def password(link_key: bytes) -> str:
    """The password that goes with it."""
    return message.hmac_sha256(link_key, _PASSWORD_TEXT)[:PASSWORD_BYTES].hex()
