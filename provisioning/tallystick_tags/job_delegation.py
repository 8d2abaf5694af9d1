"""The delegation inside a sealed job: who may write which tags, and until when. No I/O."""

import hashlib

from tallystick_proof import keys, statement
from tallystick_proof.errors import ProofError
from tallystick_proof.trust import Trust
from tallystick_tags.errors import KeysError
from tallystick_tags.job_bundle import SealedJob
from tallystick_wire import cbor


def check(sealed: SealedJob, trust: Trust, installer: bytes | None, now_ms: int) -> None:
    """The delegation in the file: of an authority that trust.toml names, this ledger, in time, for this installer."""
    hashes = [digest for digest, _ in sealed.contents.entries]
    try:
        _check_signature(sealed.delegation, trust)
        _check_fields(sealed.delegation, trust, hashes, installer, now_ms)
    except (ProofError, KeysError) as error:
        raise KeysError(f"{sealed.path}: {error}") from None


def _check_signature(signed: statement.Statement, trust: Trust) -> None:
    for _, key in trust.authority_keys(keys.INSTALLER):
        if keys.kid(key) == signed.kid:
            statement.verify(signed, key)
            return
    raise KeysError("is not signed by an installer authority that trust.toml names")


def _check_fields(
    signed: statement.Statement, trust: Trust, hashes: list[bytes], installer: bytes | None, now_ms: int
) -> None:
    body = signed.body
    if body["aud"] != trust.origin:
        raise KeysError(f"is for the ledger {body['aud']}")
    if body["exp"] is not None and body["exp"] < now_ms:
        raise KeysError("its time is over: ask for a new one")
    if body["installer"] is not None and body["installer"] != installer:
        raise KeysError(f"was given to another installer ({body['installer'].hex()})")
    if hashlib.sha256(cbor.encode(hashes)).digest() != body["sealed"] or body["count"] != len(hashes) - 1:
        raise KeysError("its entries are not those that were signed")
