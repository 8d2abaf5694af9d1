"""trust.toml: all that a verifier is given: ledger origin, PEN, witness policy, authorities, the age of a head.

Unknown keys are refused: a typing error must not weaken what a verifier asks for.
"""

import tomllib
from dataclasses import dataclass
from typing import Any

from tallystick_proof import checkpoint, keys
from tallystick_proof.entry import MAX_MS
from tallystick_proof.errors import CheckpointError, KeyFormatError, PolicyError, TrustError
from tallystick_proof.policy import Policy

VERSION = 1
MAX_TRUST_BYTES = 256 * 1024  # a policy of 64 KiB and the keys of some hundred authorities
MAX_PEN = 2**32 - 1  # private enterprise numbers are 32 bits wide (RFC 9371)
MAX_HEAD_AGE_S = 366 * 86_400  # a verifier that accepts a head older than a year has no use for the limit
MAX_AUTHORITY_KEYS = 16  # of one authority: staff of one office

_FIELDS = ("version", "origin", "pen", "max_head_age_s", "policy", "authority")
_AUTHORITY_FIELDS = ("kind", "keys", "threshold", "not_before_ms", "not_after_ms")


@dataclass(frozen=True, slots=True)
class Authority:
    """Whose keys may enrol and revoke keys of one kind. Dates bound when what they sign may have been logged."""

    kind: str
    keys: tuple[bytes, ...]
    threshold: int = 1
    not_before_ms: int | None = None
    not_after_ms: int | None = None

    @property
    def role(self) -> str:
        """The role of its keys."""
        return keys.AUTHORITY_PREFIX + self.kind


@dataclass(frozen=True, slots=True)
class Trust:
    """What a verifier believes to begin with."""

    origin: str
    pen: int
    authorities: tuple[Authority, ...]
    policy: Policy
    max_head_age_s: int

    @classmethod
    def parse(cls, text: str) -> "Trust":
        """The content of a trust.toml; TrustError names the key that is unknown, missing or wrong."""
        if len(text) > MAX_TRUST_BYTES:
            raise TrustError(f"a trust file is at most {MAX_TRUST_BYTES} bytes")
        try:
            table = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise TrustError(f"not TOML: {error}") from None
        _only(table, _FIELDS, _FIELDS, "")
        if _integer(table, "version", 0, MAX_MS) != VERSION:
            raise TrustError(f"version must be {VERSION}")
        trust = cls(
            origin=_origin(table["origin"]),
            pen=_integer(table, "pen", 0, MAX_PEN),
            authorities=_authorities(table["authority"]),
            policy=_policy(table["policy"]),
            max_head_age_s=_integer(table, "max_head_age_s", 1, MAX_HEAD_AGE_S),
        )
        trust._check_keys()
        return trust

    def format(self) -> str:
        """The text of a trust.toml that parses to this."""
        lines = [f"version = {VERSION}", f'origin = "{_escape(self.origin)}"', f"pen = {self.pen}"]
        lines += [f"max_head_age_s = {self.max_head_age_s}", f'policy = """\n{_escape(self.policy.text)}"""']
        for authority in self.authorities:
            listed = ", ".join(f'"{key.hex()}"' for key in authority.keys)
            lines += ["", "[[authority]]", f'kind = "{authority.kind}"', f"keys = [{listed}]"]
            lines += [f"threshold = {authority.threshold}"]
            lines += [] if authority.not_before_ms is None else [f"not_before_ms = {authority.not_before_ms}"]
            lines += [] if authority.not_after_ms is None else [f"not_after_ms = {authority.not_after_ms}"]
        return "\n".join(lines) + "\n"

    def authority_keys(self, kind: str) -> list[tuple[Authority, bytes]]:
        """(authority, public key) of everyone who may enrol and revoke keys of this kind."""
        return [(authority, key) for authority in self.authorities if authority.kind == kind for key in authority.keys]

    def fixed_keys(self) -> list[bytes]:
        """Every public key that this file gives a role to; none of them can be enrolled."""
        of_authorities = [key for authority in self.authorities for key in authority.keys]
        return of_authorities + [vkey.public_key for vkey in (*self.policy.logs, *self.policy.witnesses.values())]

    def _check_keys(self) -> None:
        if not any(log.name == self.origin for log in self.policy.logs):
            raise TrustError(f"policy: no log line for {self.origin!r}")
        fixed = self.fixed_keys()
        twice = next((key for key in fixed if fixed.count(key) > 1), None)
        if twice is not None:
            raise TrustError(f"key {twice.hex()} occurs twice: one key has one role")


def _authorities(tables: object) -> tuple[Authority, ...]:
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise TrustError("authority must be one or more [[authority]] tables")
    return tuple(_authority(table) for table in tables)


def _authority(table: dict[str, Any]) -> Authority:
    _only(table, _AUTHORITY_FIELDS, ("kind", "keys", "threshold"), "authority ")
    if table["kind"] not in keys.ENROLLED_KINDS:
        raise TrustError(f"authority kind must be one of {', '.join(keys.ENROLLED_KINDS)}")
    listed = table["keys"]
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_AUTHORITY_KEYS:
        raise TrustError(f"authority keys must be 1 to {MAX_AUTHORITY_KEYS} keys")
    if _integer(table, "threshold", 1, MAX_AUTHORITY_KEYS) > 1:
        raise TrustError("authority threshold: thresholds above 1 are not supported yet")
    dates = {name: _integer(table, name, 0, MAX_MS) for name in ("not_before_ms", "not_after_ms") if name in table}
    if len(dates) == 2 and dates["not_before_ms"] > dates["not_after_ms"]:
        raise TrustError("authority not_before_ms must not be after not_after_ms")
    return Authority(table["kind"], tuple(_key(item) for item in listed), **dates)


def _key(text: object) -> bytes:
    try:
        key = bytes.fromhex(text) if isinstance(text, str) else b""
        keys.check_public_key(key)
    except (ValueError, KeyFormatError) as error:
        raise TrustError(f"authority keys: {error}") from None
    if key.hex() != text:
        raise TrustError("authority keys must be lowercase hex")
    return key


def _origin(value: object) -> str:
    if not isinstance(value, str):
        raise TrustError("origin must be text")
    try:
        checkpoint.check_ledger_origin(value)
    except CheckpointError as error:
        raise TrustError(str(error)) from None
    return value


def _policy(value: object) -> Policy:
    if not isinstance(value, str):
        raise TrustError("policy must be text")
    try:
        return Policy.parse(value)
    except PolicyError as error:
        raise TrustError(f"policy: {error}") from None


def _only(table: dict[str, Any], known: tuple[str, ...], required: tuple[str, ...], where: str) -> None:
    unknown = [name for name in table if name not in known]
    if unknown:
        raise TrustError(f"{where}{unknown[0]!r} is no known key")
    missing = [name for name in required if name not in table]
    if missing:
        raise TrustError(f"{where}{missing[0]} is missing")


def _integer(table: dict[str, Any], name: str, lowest: int, highest: int) -> int:
    value = table[name]
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise TrustError(f"{name} must be an integer from {lowest} to {highest}")
    return value


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
