"""The files that gateway.toml names, read and checked before anything runs."""

import re
from dataclasses import dataclass

from tallystick_edge.config import Config
from tallystick_proof import keys
from tallystick_proof.trust import Trust
from tallystick_provisioning import key_file, secret_file, site
from tallystick_provisioning.errors import KeyFileError
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
    """Read everything; KeyFileError or SetupError names the file."""
    token = secret_file.read(config.token).strip()
    if not _TOKEN.fullmatch(token):
        raise KeyFileError(f"{config.token}: not a gateway's token (64 hex digits)")
    return Files(
        signer=key_file.load(config.key, keys.GATEWAY),
        token=token,
        site_key=site.load(config.site_key),
        trust=read_trust(config.trust),
    )
