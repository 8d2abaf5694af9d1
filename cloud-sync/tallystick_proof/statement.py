"""Statements: everything signed that is no reading and no checkpoint. COSE_Sign1 with exactly three protected labels:
1 algorithm, 4 kid, 16 typ "application/vnd.tallystick.<kind>+cbor"; the body is a map whose fields TABLE lists.

Parsing checks form and fields; `verify` checks one signature. Whether the signer was allowed to is enrolment's matter.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tallystick_proof import keys
from tallystick_proof.entry import MAX_MS
from tallystick_proof.errors import StatementError
from tallystick_proof.fields import (
    Check,
    Schema,
    any_list,
    any_map,
    different,
    exactly,
    flag,
    integer,
    one_of,
    or_null,
    places,
    some_bytes,
    text,
    word,
)
from tallystick_proof.keys import Signer
from tallystick_wire import cbor, cose, manifest, reading, settings
from tallystick_wire.errors import WireError

MAX_STATEMENT_BYTES = 16 * 1024  # a facility or decision of some dozen nodes is 2-4 KiB; four fit a ledger entry
MAX_TEXT_CHARACTERS = 128  # names, places, lots, origins: one line on a screen
MAX_CURRENCY_CHARACTERS = 3  # ISO 4217
MAX_NODES = 64  # nodes of one association: a cold room has a handful, and a decision must name each in 16 KiB
MAX_FIRMWARE_HASH_BYTES = 32  # a node reports 8 bytes of it, a manufacturer's SHA-256 has 32
MAX_MINOR_UNITS = 2**63 - 1  # money fits a signed 64-bit column
MAX_DECISION_NUMBER = 2**32 - 1
MAX_TAG_EPOCH = 2**32 - 1  # how often a tag was given an identity
MAX_TAG_KEY_VERSION = 254  # one byte on the tag; 255 stands for the thrown-away keys of a retired one
MAX_JOB_TAGS = 10_000  # of one sealed job: a day has hundreds
TAG_CHIPS = ("ntag213", "ntag215", "ntag216", "ntag424", "ntag424tt")
MAX_CHANNELS = 16  # names of one or two letters that one node measures

# GS1's set as it stands in a URL; browsers make other links of . and ..
_ITEM_PATH = re.compile(r"/01/[0-9]{14}/21/(?!\.{1,2}$)(?:[A-Za-z0-9._-]|%2[125-9A-CF]|%3[A-F]){1,20}")
_TYP_PREFIX, _TYP_SUFFIX = "application/vnd.tallystick.", "+cbor"
_LABELS = [cose.LABEL_ALG, cose.LABEL_KID, cose.LABEL_TYP]


def _item_path(value: object) -> str | None:
    """/01/<GTIN-14>/21/<serial>: the path of a GS1 Digital Link, percent-encoded."""
    good = isinstance(value, str) and _ITEM_PATH.fullmatch(value)
    return None if good else "must be a path like /01/09506000134352/21/AB-1"


def _channels(value: object) -> str | None:
    """{"t": [full name, unit or null], ...}: what the letters of this node's packs mean."""
    if not isinstance(value, cbor.Map) or not 0 < len(value) <= MAX_CHANNELS:
        return f"must be a map of 1 to {MAX_CHANNELS}"
    name, meaning = text(2), places(text(MAX_TEXT_CHARACTERS), or_null(text(MAX_TEXT_CHARACTERS)))
    return next((wrong for key, item in value.pairs if (wrong := name(key) or meaning(item))), None)


def _fields(schema: Schema) -> Check:
    """A map with exactly these fields."""

    def check(value: object) -> str | None:
        return _wrong_field(schema, frozenset(), value) if isinstance(value, cbor.Map) else "must be a map"

    return check


def _settings(value: object) -> str | None:
    try:
        settings.check(value)
    except WireError as error:
        return f"must hold only what a node can be told: {error}"
    return None


_HASH = exactly(keys.THUMBPRINT_BYTES)
_MS = integer(MAX_MS)
_TEXT = text(MAX_TEXT_CHARACTERS)
_MONEY = integer(MAX_MINOR_UNITS)
_CURRENCY = text(MAX_CURRENCY_CHARACTERS, MAX_CURRENCY_CHARACTERS)
_KIND = word(*keys.ENROLLED_KINDS)
_INSTRUMENT = _fields(
    {
        "model": _TEXT,
        "serial": _TEXT,
        "calibration": or_null(_HASH),
        "due_ms": or_null(_MS),
        "firmware": or_null(some_bytes(MAX_FIRMWARE_HASH_BYTES)),
        "channels": _channels,
    }
)
# What every statement has: for which ledger, a name that makes it unique, until when it may be logged.
# What a statement for nodes has: it expires, it is for one node or for all of the log, and versions only rise.
_FOR_NODES: Schema = {
    "exp": _MS,
    "target": or_null(exactly(keys.KID_BYTES)),
    "version": integer(manifest.MAX_VERSION, 1),
}
_COMMON: Schema = {"aud": _TEXT, "jti": exactly(16), "exp": or_null(_MS)}


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of one kind beside the common ones; `optional` ones may be missing. Roles: keys.MAY_SIGN."""

    fields: Schema
    optional: frozenset[str] = frozenset()


# The one table of statement bodies.
TABLE: dict[str, Form] = {
    keys.ENROL_REQUEST: Form(
        {"key": exactly(keys.PUBLIC_KEY_BYTES), "kind": _KIND, "nonce": exactly(16), "token_hash": _HASH},
        # A gateway's request binds its bearer token; a node writes no such field.
        optional=frozenset({"token_hash"}),
    ),
    keys.ENROLMENT: Form(
        {
            "request": some_bytes(MAX_STATEMENT_BYTES),
            "kind": _KIND,
            "key": exactly(keys.PUBLIC_KEY_BYTES),
            "not_before": or_null(_MS),
            "not_after": or_null(_MS),
            "commitment": or_null(_HASH),
            "instrument": or_null(_INSTRUMENT),
            "token_hash": or_null(_HASH),
        }
    ),
    keys.REVOCATION: Form({"thumbprint": _HASH, "reason": word("retired", "compromised")}),
    keys.ASSOCIATION: Form({"place": _TEXT, "lot": _TEXT, "nodes": different(_HASH, MAX_NODES), "since_ms": _MS}),
    keys.TAG: Form(
        {
            "item": _item_path,
            "chip": word(*TAG_CHIPS),
            "copyable": flag,
            "uid": _HASH,  # a salted commitment
            "epoch": or_null(integer(MAX_TAG_EPOCH)),
            "key_set": _TEXT,
            "key_version": integer(MAX_TAG_KEY_VERSION, 1),
            "since_ms": _MS,
        }
    ),
    keys.TAG_JOB: Form(
        {
            "installer": or_null(_HASH),
            "job": exactly(16),
            "key_set": _TEXT,
            "key_version": integer(MAX_TAG_KEY_VERSION, 1),
            "count": integer(MAX_JOB_TAGS, 1),
            "sealed": _HASH,
        }
    ),
    # Beside a file it is checked without a ledger, so it brings the key that signed it; whose that is, it cannot say.
    keys.SHEET: Form({"document": _HASH, "key": exactly(keys.PUBLIC_KEY_BYTES), "made_ms": _MS}),
    keys.FACILITY: Form(
        {
            "lender": _HASH,
            "borrower": _HASH,
            "decision_key": _HASH,
            "currency": _CURRENCY,
            "limit_minor": _MONEY,
            "rules": any_map,
        }
    ),
    keys.PLEDGE: Form(
        {
            "facility": _HASH,
            "association": _HASH,
            "lot": _TEXT,
            "value_minor": _MONEY,
            "principal_minor": _MONEY,
            "currency": _CURRENCY,
        }
    ),
    keys.DECISION: Form(
        {
            "subject": _HASH,
            "n": integer(MAX_DECISION_NUMBER),
            "previous": or_null(_HASH),
            "state_before": _HASH,
            "event": any_map,
            "rules": _HASH,
            "as_of": places(_MS, _MS),
            "effects": any_list,
            "state_after": _HASH,
        }
    ),
    keys.CONFIG: Form({**_FOR_NODES, "settings": _settings}),
    keys.FIRMWARE_IMAGE: Form(
        {
            **_FOR_NODES,
            "board": text(manifest.MAX_BOARD_CHARACTERS),
            "size": integer(manifest.MAX_IMAGE_BYTES, 1),
            "chunk_bytes": one_of(*manifest.CHUNK_BYTES),
            "image": _HASH,
            "chunks": _HASH,
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose form is right. `data` is bare; `identity` is its SHA-256."""

    kind: str
    kid: bytes
    body: dict[str, Any]
    data: bytes
    identity: bytes
    to_be_signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class UnsignedStatement:
    """A statement that a key may sign: its fields are checked when it is made."""

    kind: str
    kid: bytes
    body: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_body(self.kind, cbor.Map(list(self.body.items())))

    @property
    def protected(self) -> bytes:
        labels = [(cose.LABEL_ALG, cose.ALG_EDDSA), (cose.LABEL_KID, self.kid), (cose.LABEL_TYP, typ(self.kind))]
        return cbor.encode(cbor.Map(labels))

    @property
    def payload(self) -> bytes:
        return cbor.encode(cbor.Map(list(self.body.items())))

    @property
    def to_be_signed(self) -> bytes:
        return cose.sig_structure(self.protected, self.payload)


@dataclass(frozen=True, slots=True)
class UnsignedReading:
    """The bytes that reading.build hands to its signer, held to be those of a reading."""

    to_be_signed: bytes

    def __post_init__(self) -> None:
        try:
            _, protected, _, payload = cbor.decode(self.to_be_signed)
            reading.parse(cose.assemble(protected, payload, bytes(cose.SIGNATURE_BYTES)))
            genuine = cose.sig_structure(protected, payload) == self.to_be_signed
        except (WireError, ValueError, TypeError):
            genuine = False
        if not genuine:
            raise StatementError("not the signed bytes of a reading")

    @property
    def kind(self) -> str:
        return keys.READING


def typ(kind: str) -> str:
    """The media type that stands in label 16."""
    return f"{_TYP_PREFIX}{kind}{_TYP_SUFFIX}"


def build(signer: Signer, kind: str, body: Mapping[str, Any]) -> bytes:
    """A signed statement; StatementError names a wrong field, KeyFormatError a wrong role."""
    unsigned = UnsignedStatement(kind, signer.kid, body)
    data = cose.assemble(unsigned.protected, unsigned.payload, signer.sign(unsigned))
    if len(data) > MAX_STATEMENT_BYTES:
        raise StatementError(f"a statement is at most {MAX_STATEMENT_BYTES} bytes")
    return data


def build_reading(signer: Signer, chain: reading.Chain, payload: bytes) -> bytes:
    """A reading signed on a host: for simulated nodes. Real ones sign for themselves."""
    return reading.build(signer.kid, chain, payload, lambda message: signer.sign(UnsignedReading(message)))


def parse(data: bytes) -> Statement:
    """The statement in `data`, its form and every field checked; StatementError names what is wrong."""
    if len(data) > MAX_STATEMENT_BYTES:
        raise StatementError(f"a statement is at most {MAX_STATEMENT_BYTES} bytes")
    try:
        parts = cose.split(data)
        body = cbor.decode(parts.payload)
    except WireError as error:
        raise StatementError(f"statement: {error}") from None
    kind, kid = _header(parts.protected_map)
    check_body(kind, body)
    bare = parts.bare
    identity = hashlib.sha256(bare).digest()
    return Statement(kind, kid, dict(body.pairs), bare, identity, parts.to_be_signed, parts.signature)


def verify(statement: Statement, public_key: bytes) -> None:
    """StatementError unless this key signed it. The caller knows that the key's role may: see keys.MAY_SIGN."""
    if keys.kid(public_key) != statement.kid:
        raise StatementError(f"the {statement.kind} names another key")
    if not keys.verify_signature(public_key, statement.to_be_signed, statement.signature):
        raise StatementError(f"the signature of the {statement.kind} does not hold")


def check_role(statement: Statement, role: str) -> None:
    """StatementError unless a key of this role may sign this kind."""
    if statement.kind not in keys.MAY_SIGN.get(role, ()):
        raise StatementError(f"a {role} key may not sign a {statement.kind}")


def check_body(kind: str, body: object) -> None:
    """StatementError names the first field that is unknown, missing or wrong."""
    form = TABLE.get(kind)
    if form is None:
        raise StatementError(f"unknown kind {kind!r}")
    if not isinstance(body, cbor.Map):
        raise StatementError(f"the body of a {kind} must be a map")
    wrong = _wrong_field({**_COMMON, **form.fields}, form.optional, body)
    if wrong:
        raise StatementError(f"{kind}: {wrong}")


def _header(protected: cbor.Map) -> tuple[str, bytes]:
    if [label for label, _ in protected.pairs] != _LABELS:
        raise StatementError("the protected labels must be exactly 1, 4 and 16")
    if protected[cose.LABEL_ALG] not in (cose.ALG_EDDSA, cose.ALG_ED25519):
        raise StatementError(f"the algorithm must be {cose.ALG_EDDSA} or {cose.ALG_ED25519}")
    kid, media_type = protected[cose.LABEL_KID], protected[cose.LABEL_TYP]
    if not isinstance(kid, bytes) or len(kid) != keys.KID_BYTES:
        raise StatementError(f"kid must be {keys.KID_BYTES} bytes")
    if not isinstance(media_type, str):
        raise StatementError("typ must be text")
    kind = media_type.removeprefix(_TYP_PREFIX).removesuffix(_TYP_SUFFIX)
    if kind not in TABLE or typ(kind) != media_type:
        raise StatementError(f"unknown typ {media_type[:MAX_TEXT_CHARACTERS]!r}")
    return kind, kid


def _wrong_field(schema: Schema, optional: frozenset[str], body: cbor.Map) -> str | None:
    for name, value in body.pairs:
        check = schema.get(name) if isinstance(name, str) else None
        if check is None:
            return f"unknown field {str(name)[:MAX_TEXT_CHARACTERS]!r}"
        wrong = check(value)
        if wrong:
            return f"{name} {wrong}"
    missing = [name for name in schema if name not in optional and name not in body]
    return f"{missing[0]} is missing" if missing else None
