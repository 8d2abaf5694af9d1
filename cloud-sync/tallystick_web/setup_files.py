"""The files of a new ledger: keys, token, cloud.toml. Nothing is ever overwritten."""

import base64
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tallystick_proof import keys, note
from tallystick_provisioning import key_file, secret_file, whole_file
from tallystick_provisioning.toml_text import quoted
from tallystick_provisioning.trust_setup import new_files
from tallystick_web import config

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """What `cloud init` writes into cloud.toml beside file names."""

    origin: str
    host: str
    port: int
    trust: Path
    witnesses: Sequence[str]
    sequence_ms: int
    publish_ms: int
    refresh_ms: int
    webhook_url: str | None


def make(folder: Path, settings: Settings) -> str:
    """Write everything; returns the ledger's verifier key. ConfigError or SetupError before anything is written."""
    text = _toml(folder, settings)
    config.parse(text, folder)  # what will be written must be what `serve` takes
    names = ["ledger.key", "decision.key", "api.token", "webhook.secret", "ledger.vkey", "cloud.toml"]
    new_files(folder, [folder / name for name in names])
    folder.mkdir(parents=True, exist_ok=True)
    # cloud.toml comes last: what a crash leaves without it does not start. Remove the folder and begin again.
    signer = key_file.create(folder / "ledger.key", keys.LEDGER)
    key_file.create(folder / "decision.key", keys.DECISION)
    secret_file.write_new(folder / "api.token", secrets.token_hex(TOKEN_BYTES) + "\n")
    if settings.webhook_url is not None:
        secret = base64.b64encode(secrets.token_bytes(TOKEN_BYTES)).decode()
        secret_file.write_new(folder / "webhook.secret", f"whsec_{secret}\n")
    vkey = note.VerifierKey(settings.origin, note.TYPE_ED25519, signer.public_key).vkey
    whole_file.write(folder / "ledger.vkey", [f"{vkey}\n".encode()])
    whole_file.write(folder / "cloud.toml", [text.encode()])
    return vkey


def _toml(folder: Path, settings: Settings) -> str:
    witnesses = ", ".join(map(quoted, settings.witnesses))
    webhook = (
        f'webhook_url = {quoted(settings.webhook_url)}\nwebhook_secret = "webhook.secret"\n'
        if settings.webhook_url is not None
        else ""
    )
    return f"""\
# One ledger. Paths are relative to this file. Unknown keys are refused.
origin = {quoted(settings.origin)}
key = "ledger.key"
trust = {quoted(os.path.relpath(settings.trust, folder))}  # `tallystick trust init` makes it
database = "ledger.db"
blobs = "blobs"
host = {quoted(settings.host)}
port = {settings.port}
api_token = "api.token"
witnesses = [{witnesses}]  # addresses only; whose cosignatures count stands in trust.toml
sequence_ms = {settings.sequence_ms}
publish_ms = {settings.publish_ms}
refresh_ms = {settings.refresh_ms}

[finance]
decision_key = "decision.key"
{webhook}"""
