"""Make a gateway: its key, its token, its enrolment, and a gateway.toml to start from."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tallystick_edge.files import TOKEN_BYTES
from tallystick_proof import keys
from tallystick_proof.trust import Trust
from tallystick_provisioning import enrolments, key_file, secret_file, whole_file
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.trust_setup import new_files

KEY, TOKEN, CONFIG, OUTBOX = "gateway.key", "token", "gateway.toml", "outbox"


@dataclass(frozen=True, slots=True)
class EnrolledGateway:
    """A new gateway; its enrolment waits in the outbox."""

    thumbprint: bytes
    identity: bytes
    outbox: Outbox


def token_hash(token: str) -> bytes:
    """What the enrolment says of the token: the hash of the bearer text as it is sent."""
    return hashlib.sha256(token.encode("ascii")).digest()


def check(folder: Path, authority: keys.Signer, trust: Trust) -> None:
    """Refuse before the first file is written."""
    enrolments.check_authority(authority, trust, keys.GATEWAY)
    new_files(folder, [folder / name for name in (KEY, TOKEN, CONFIG)])


def enrol(
    folder: Path,
    authority: keys.Signer,
    trust: Trust,
    config_text: str,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> EnrolledGateway:
    """Write key, token, statement and gateway.toml into `folder`, in this order."""
    check(folder, authority, trust)
    folder.mkdir(parents=True, exist_ok=True)
    token = random_bytes(TOKEN_BYTES).hex()
    signer = key_file.create(folder / KEY, keys.GATEWAY, random_bytes)
    secret_file.write_new(folder / TOKEN, token + "\n")
    request = enrolments.own_request(signer, trust.origin, random_bytes, token_hash(token))
    statement = enrolments.enrolment(authority, trust, request, random_bytes)
    # A crash before this leaves a key that nobody knows; remove the folder and start again.
    outbox = Outbox(folder / OUTBOX)
    kept = outbox.keep(statement)
    whole_file.write(folder / CONFIG, [config_text.encode()])
    return EnrolledGateway(signer.thumbprint, bytes.fromhex(kept.stem), outbox)
