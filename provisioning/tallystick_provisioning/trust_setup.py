"""Make the authorities of a new ledger, its site key, and the trust.toml that everyone else starts from."""

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tallystick_proof import keys, note
from tallystick_proof.errors import ProofError
from tallystick_proof.policy import Policy
from tallystick_proof.trust import MAX_TRUST_BYTES, Authority, Trust
from tallystick_provisioning import key_file, site, text_file, update_keys, whole_file
from tallystick_provisioning.errors import SetupError
from tallystick_provisioning.secret_file import sync_folder

MAX_VKEY_FILE_BYTES = 4096  # one line: a name of 256 characters and a key
AUTHORITIES, SITE_KEY, TRUST = "authorities", "site.key", "trust.toml"
DOWNLINK_KEY, FIRMWARE_KEY = "downlink.key", "firmware.key"  # sign what the site's nodes are told and what they run


@dataclass(frozen=True, slots=True)
class Plan:
    """What `trust init` will do: everything is checked before the first file is written."""

    folder: Path
    ledger: note.VerifierKey
    witnesses: tuple[note.VerifierKey, ...]
    quorum: int
    pen: int
    max_head_age_s: int

    @property
    def policy(self) -> str:
        """The witness policy (C2SP tlog-policy)."""
        names = [f"witness-{number}" for number in range(1, len(self.witnesses) + 1)]
        lines = [f"log {self.ledger.vkey}"]
        lines += [f"witness {name} {vkey.vkey}" for name, vkey in zip(names, self.witnesses, strict=True)]
        if names:
            lines += [f"group witnesses {self.quorum} {' '.join(names)}", "quorum witnesses"]
        else:
            lines += ["quorum none"]
        return "\n".join(lines) + "\n"

    def trust(self, authorities: Sequence[keys.Signer]) -> Trust:
        """The trust file's content; checked like one that was read."""
        listed = tuple(
            Authority(signer.role.removeprefix(keys.AUTHORITY_PREFIX), (signer.public_key,)) for signer in authorities
        )
        made = Trust(self.ledger.name, self.pen, listed, Policy.parse(self.policy), self.max_head_age_s)
        return Trust.parse(made.format())

    def key_path(self, kind: str) -> Path:
        return self.folder / AUTHORITIES / f"{kind}.key"

    def paths(self) -> list[Path]:
        """Every file that will be written."""
        names = (SITE_KEY, DOWNLINK_KEY, FIRMWARE_KEY, update_keys.FILE, TRUST)
        return [*map(self.key_path, keys.ENROLLED_KINDS), *(self.folder / name for name in names)]


def plan(
    folder: Path, ledger: Path, witnesses: Sequence[Path], quorum: int | None, pen: int, max_head_age_s: int
) -> Plan:
    """A checked plan; SetupError when a file is in the way or a verifier key does not fit."""
    ledger_key = read_vkey(ledger, note.TYPE_ED25519, "a log's")
    witness_keys = tuple(read_vkey(path, note.TYPE_COSIGNATURE, "a witness's") for path in witnesses)
    if quorum is None:
        quorum = len(witnesses) // 2 + 1 if witnesses else 0  # a majority
    if witnesses and not 1 <= quorum <= len(witnesses):
        raise SetupError(f"quorum must be 1 to {len(witnesses)}, the number of witnesses")
    made = Plan(folder, ledger_key, witness_keys, quorum, pen, max_head_age_s)
    made.trust([keys.Signer(role, secrets.token_bytes(keys.SEED_BYTES)) for role in keys.AUTHORITY_ROLES])
    new_files(folder, made.paths())
    return made


def carry_out(made: Plan, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Trust:
    """Write keys first and trust.toml last: a folder with a trust.toml is whole."""
    (made.folder / AUTHORITIES).mkdir(parents=True, exist_ok=True)
    authorities = [
        key_file.create(made.key_path(kind), keys.AUTHORITY_PREFIX + kind, random_bytes)
        for kind in keys.ENROLLED_KINDS
    ]
    site.create(made.folder / SITE_KEY, random_bytes)
    downlink = key_file.create(made.folder / DOWNLINK_KEY, keys.DOWNLINK, random_bytes)
    firmware = key_file.create(made.folder / FIRMWARE_KEY, keys.FIRMWARE, random_bytes)
    public = update_keys.UpdateKeys(downlink.public_key, firmware.public_key)
    whole_file.write(made.folder / update_keys.FILE, [public.format().encode()])
    trust = made.trust(authorities)
    with (made.folder / TRUST).open("x", encoding="utf-8") as file:
        file.write(trust.format())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(made.folder)
    return trust


def new_files(folder: Path, paths: Sequence[Path]) -> None:
    """SetupError unless all of `paths` can be made in `folder`: asked before the first of them is written."""
    for path in paths:
        if path.exists():
            raise SetupError(f"{path}: exists already; nothing was written")
    above = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not above.is_dir():
        raise SetupError(f"{above}: is a file; a folder is needed there")


def read_vkey(path: Path, key_type: int, whose: str) -> note.VerifierKey:
    """The C2SP verifier key in a one-line file; `whose` says what its `key_type` is needed for."""
    text = text_file.read(path, MAX_VKEY_FILE_BYTES).strip()
    try:
        vkey = note.VerifierKey.parse(text)
    except ProofError as error:
        raise SetupError(f"{path}: {error}") from None
    if vkey.key_type != key_type:
        raise SetupError(f"{path}: a key of signature type {vkey.key_type}; {whose} has type {key_type}")
    return vkey


def read_trust(path: Path) -> Trust:
    """The trust.toml at `path`; SetupError or FileError with its name otherwise."""
    text = text_file.read(path, MAX_TRUST_BYTES)
    try:
        return Trust.parse(text)
    except ProofError as error:
        raise SetupError(f"{path}: {error}") from None
