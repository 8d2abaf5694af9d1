"""One file per signing key: `tallystick-secret-v1 <role> <seed hex>`, mode 0600."""

import secrets
from collections.abc import Callable
from pathlib import Path

from tallystick_proof import keys
from tallystick_proof.errors import KeyFormatError
from tallystick_provisioning import secret_file
from tallystick_provisioning.errors import KeyFileError


def load(path: Path, role: str) -> keys.Signer:
    """The key in `path`; KeyFileError unless the file is private and the key has this role."""
    text = secret_file.read(path)
    found = _role(path, text)
    if found != role:
        raise KeyFileError(f"{path}: holds a key of role {found}, not {role}")
    try:
        return keys.parse_secret(text, role)
    except KeyFormatError as error:
        raise KeyFileError(f"{path}: {error}") from None


def load_any(path: Path) -> keys.Signer:
    """The key in `path`, whatever its role."""
    return load(path, _role(path, secret_file.read(path)))


def create(path: Path, role: str, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> keys.Signer:
    """Make a key and keep it in a new file; it is durable when this returns."""
    signer = keys.generate(role, random_bytes)
    secret_file.write_new(path, keys.format_secret(signer))
    return signer


def _role(path: Path, text: str) -> str:
    words = text.split()
    if len(words) != 3:
        raise KeyFileError(f"{path}: not a key file (expected `tallystick-secret-v1 <role> <seed hex>`)")
    return words[1]
