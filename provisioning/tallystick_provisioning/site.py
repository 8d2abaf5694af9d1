"""The site key: what the gateways of one site share, and from which every node's link key comes."""

import secrets
from collections.abc import Callable
from pathlib import Path

from tallystick_provisioning import secret_file
from tallystick_provisioning.errors import KeyFileError

SITE_KEY_BYTES = 32
_HEAD = "tallystick-site-v1"


def create(path: Path, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """Make a site key and keep it in a new file."""
    key = random_bytes(SITE_KEY_BYTES)
    secret_file.write_new(path, f"{_HEAD} {key.hex()}\n")
    return key


def load(path: Path) -> bytes:
    """The 32 bytes of a site key file; KeyFileError when the file is not private or not one."""
    text = secret_file.read(path)
    head, _, digits = text.strip().partition(" ")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if head != _HEAD or len(key) != SITE_KEY_BYTES or text != f"{_HEAD} {key.hex()}\n":
        raise KeyFileError(f"{path}: not a site key (expected `{_HEAD} <64 hex digits>`)")
    return key
