"""The files that gateway.toml names, read and checked before anything runs."""

import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick_edge.config import Config
from tallystick_edge.link_config import LinkConfig, MqttConfig
from tallystick_proof import keys
from tallystick_proof.trust import Trust
from tallystick_provisioning import key_file, secret_file, site
from tallystick_provisioning.errors import KeyFileError, ProvisioningError
from tallystick_provisioning.trust_setup import read_trust

TOKEN_BYTES = 32
_TOKEN = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Files:
    """Who this gateway is and whom it trusts. `token` is the bearer text as it is sent."""

    signer: keys.Signer
    token: str
    site_key: bytes
    trust: Trust


def load(config: Config) -> Files:
    """Read everything; a ProvisioningError names the file."""
    return Files(
        token=read_token(config.token),
        signer=read_key(config.key),
        site_key=site.load(config.site_key),
        trust=read_trust(config.trust),
    )


def complaints(paths: Mapping[str, Path]) -> list[str]:
    """What is wrong with the files, by their keys in gateway.toml; nothing is written."""
    readers = {"key": read_key, "token": read_token, "site_key": site.load, "trust": read_trust}
    found = []
    for key, path in paths.items():
        try:
            if key in readers:
                readers[key](path)
            elif path.exists() and not path.is_dir():
                found.append(f"{key}: {path}: is a file; a folder is needed")
        except (ProvisioningError, OSError) as error:
            found.append(f"{key}: {error}")
    return found


def link_complaints(links: Iterable[LinkConfig]) -> list[str]:
    """What is wrong with the files that links name."""
    found = []
    for link in links:
        if isinstance(link, MqttConfig):
            try:
                ssl.create_default_context(cafile=link.ca)
            except (OSError, ssl.SSLError) as error:
                found.append(f"{link.name}: ca: {link.ca}: {error.strerror or error}")
            try:
                secret_file.read(link.password_file)
            except ProvisioningError as error:
                found.append(f"{link.name}: password_file: {error}")
    return found


def read_key(path: Path) -> keys.Signer:
    return key_file.load(path, keys.GATEWAY)


def read_token(path: Path) -> str:
    token = secret_file.read(path).strip()
    if not _TOKEN.fullmatch(token):
        raise KeyFileError(f"{path}: not a gateway's token (64 hex digits)")
    return token
