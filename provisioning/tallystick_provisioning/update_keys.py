"""Whose configuration and firmware the nodes of a site take: two public keys, kept beside the site key.

The secret halves are two files: downlink.key signs configurations, firmware.key firmware. Only the public halves travel
with an installer and into the nodes.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tallystick_proof import keys
from tallystick_proof.errors import KeyFormatError
from tallystick_provisioning import text_file
from tallystick_provisioning.errors import SetupError

FILE = "updates.toml"  # beside site.key
MAX_FILE_BYTES = 4096  # two keys in hex


@dataclass(frozen=True, slots=True)
class UpdateKeys:
    """Public keys of the roles downlink and firmware; None: the nodes take nothing of that kind, ever."""

    downlink: bytes | None = None
    firmware: bytes | None = None

    def format(self) -> str:
        lines = ["# Whose configuration (downlink) and firmware this site's nodes take: public keys.\n"]
        for name, key in (("downlink", self.downlink), ("firmware", self.firmware)):
            lines += [f'{name} = "{key.hex()}"\n'] if key is not None else []
        return "".join(lines)


NO_UPDATES = UpdateKeys()


def beside(site_key: Path) -> UpdateKeys:
    """The keys of the site whose site key lies at `site_key`; NO_UPDATES where there is no such file."""
    path = site_key.parent / FILE
    return read(path) if path.exists() else NO_UPDATES


def read(path: Path) -> UpdateKeys:
    """The keys in a file; SetupError names what is wrong."""
    try:
        table = tomllib.loads(text_file.read(path, MAX_FILE_BYTES))
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{path}: not TOML: {error}") from None
    unknown = sorted(set(table) - {"downlink", "firmware"})
    if unknown:
        raise SetupError(f"{path}: unknown key {unknown[0]!r}")
    return UpdateKeys(_key(path, table, "downlink"), _key(path, table, "firmware"))


def _key(path: Path, table: dict[str, object], name: str) -> bytes | None:
    value = table.get(name)
    if value is None:
        return None
    try:
        key = bytes.fromhex(value) if isinstance(value, str) else b""
        keys.check_public_key(key)
    except (ValueError, KeyFormatError):
        raise SetupError(f"{path}: {name} must be a public key, 64 hex digits") from None
    return key
