"""Statements written by people as TOML: hex for bytes, "8.0" for decimals in a facility's rules. No I/O."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from tallystick_proof import keys, statement
from tallystick_proof.errors import RulesError, StatementError
from tallystick_proof.loan_rules import Rules
from tallystick_provisioning.errors import StatementFileError
from tallystick_wire import cbor, senml

KINDS = (keys.ASSOCIATION, keys.FACILITY, keys.PLEDGE, keys.REVOCATION)
MAX_FILE_BYTES = 64 * 1024  # a statement is at most 16 KiB, and hex doubles it

# The fields that hold bytes, and so are hex in the file.
_BYTES_FIELDS = frozenset({"thumbprint", "lender", "borrower", "decision_key", "facility", "association", "nodes"})
_DECIMAL = re.compile(r"(-?)(\d{1,15})\.(\d{1,6})")
# Who signs is known from the key: the file may leave it out.
_OWN_FIELD = {keys.FACILITY: "lender"}


def body(kind: str, text: str, signer: keys.Signer, origin: str, jti: bytes) -> dict[str, Any]:
    """The whole body of a `kind` statement; StatementFileError names the field that is wrong."""
    if kind not in KINDS:
        raise StatementFileError(f"{kind}: must be one of {', '.join(KINDS)}")
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StatementFileError(f"not TOML: {error}") from None
    for given in ("aud", "jti"):
        if given in table:
            raise StatementFileError(f"{given}: is filled in from trust.toml and chance, leave it out")
    fields = {name: _value(name, value) for name, value in table.items()}
    own = _OWN_FIELD.get(kind)
    if own is not None and fields.setdefault(own, signer.thumbprint) != signer.thumbprint:
        raise StatementFileError(f"{own}: is not the key that signs ({signer.thumbprint.hex()})")
    whole = {"aud": origin, "jti": jti, "exp": None, **fields}
    try:
        statement.check_body(kind, cbor.Map(list(whole.items())))
        if kind == keys.FACILITY:
            Rules.parse(whole["rules"])  # a ledger would take any; no loan could ever be opened under bad ones
    except (StatementError, RulesError) as error:
        raise StatementFileError(str(error)) from None
    return whole


def _value(name: str, value: object) -> object:
    if name in _BYTES_FIELDS:
        return [hex_bytes(name, item) for item in value] if isinstance(value, list) else hex_bytes(name, value)
    if name == "rules":
        if not isinstance(value, Mapping):
            raise StatementFileError("rules: must be a table")
        return cbor.Map([(key, _rule(key, item)) for key, item in value.items()])
    return value


def hex_bytes(name: str, value: object) -> bytes:
    """The bytes of lowercase hex digits; StatementFileError names the field."""
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None or data.hex() != value:
        raise StatementFileError(f"{name}: must be lowercase hex digits")
    return data


def _rule(name: str, value: object) -> object:
    """An integer, or a decimal from text: a binary fraction would not be what the lender wrote."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise StatementFileError(f'rules.{name}: must be an integer or a decimal as text, like "8.0"')
    if isinstance(value, int):
        return value
    match = _DECIMAL.fullmatch(value)
    if not match:
        raise StatementFileError(f'rules.{name}: {value!r} is not a decimal like "8.0"')
    sign, whole, fraction = match.groups()
    return cbor.Tag(senml.TAG_DECIMAL, [-len(fraction), int(f"{sign}{whole}{fraction}")])
