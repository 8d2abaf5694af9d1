"""The node's small state: its key, its boot counter, and what it was told at enrolment. Each is a Twin.

A key whose counters are lost must not sign again, because it could use a sequence number twice. Then the key is set
aside, and the node comes up with a new one, to be enrolled like any new node.
"""

import hashlib

from tallystick_node import ed25519
from tallystick_node.files import Files
from tallystick_node.twin import Twin
from tallystick_wire import cbor, reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_KEY = "key"
_BOOT = "boot"
_CONFIG = "config"


class Config:
    """What the node learned at enrolment: which log it reports to, the key it shares with its gateways, and whose
    configuration and firmware it takes (None: nobody's).
    """

    __slots__ = ("downlink_key", "firmware_key", "link_key", "origin", "pen")

    def __init__(
        self,
        origin: str,
        pen: int,
        link_key: bytes,
        downlink_key: "bytes | None" = None,
        firmware_key: "bytes | None" = None,
    ) -> None:
        self.origin = origin
        self.pen = pen
        self.link_key = link_key
        self.downlink_key = downlink_key
        self.firmware_key = firmware_key


def load_key(files: Files, random_bytes: "Callable[[int], bytes]") -> ed25519.SigningKey:
    """The node's key; at the first boot it is made, and kept before anybody hears of it."""
    twin = Twin(files, _KEY)
    seed = twin.load()
    if seed is None:
        # Whatever lies here belonged to a key that is gone. A crash before the key is kept: again from here.
        for name in files.names():
            files.set_aside(name)
        seed = random_bytes(ed25519.SEED_BYTES)
        twin.save(seed)
    twin.restore(seed)
    return ed25519.SigningKey(seed)


def retire_key(files: Files) -> None:
    """Set the key aside, and nothing before it: a crash in here finds the state lost again."""
    for name in files.names():
        if name.startswith(_KEY + "."):
            files.set_aside(name)


def next_boot(files: Files) -> int:
    """The number of this boot, kept before it is used."""
    twin = Twin(files, _BOOT)
    boot = (twin.load() or 0) + 1
    if twin.doubtful:
        boot += 1  # the copy that is missing may have counted one boot more
    twin.save(boot)
    return int(boot)


def this_boot(files: Files) -> "int | None":
    """The number of the last boot, for a wake that is none; None when that is not certain."""
    twin = Twin(files, _BOOT)
    boot = twin.load()
    return None if boot is None or twin.doubtful else int(boot)


def load_config(files: Files) -> "Config | None":
    """None until the node is enrolled."""
    twin = Twin(files, _CONFIG)
    value = twin.load()
    if value is None:
        return None
    twin.restore(value)
    origin, pen, link_key, downlink_key, firmware_key = value
    return Config(origin, pen, link_key, downlink_key, firmware_key)


def save_config(files: Files, config: Config) -> None:
    twin = Twin(files, _CONFIG)
    twin.load()
    twin.save([config.origin, config.pen, config.link_key, config.downlink_key, config.firmware_key])


def config_hash(config: Config, settings: cbor.Map) -> bytes:
    """What a verifier may hold against what the site ordered; the link key is no part of it."""
    return hashlib.sha256(cbor.encode([config.origin, config.pen, settings])).digest()[: reading.BOOT_HASH_BYTES]


def kid(public_key: bytes) -> bytes:
    """The first 8 bytes of the key's RFC 9679 thumbprint: SHA-256 over the COSE_Key {1: 1, -1: 6, -2: x}."""
    thumbprint = hashlib.sha256(cbor.encode(cbor.Map([(1, 1), (-1, 6), (-2, public_key)]))).digest()
    return thumbprint[: reading.KID_BYTES]
