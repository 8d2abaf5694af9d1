"""Who may sign what, since when: the directory of keys, replayed from enrolments and revocations in ledger order.

Only the order of the ledger counts, never a claimed time: a key exists from the index of its enrolment on, and is
revoked from the index of its first revocation on. `retired` says: no more. `compromised` says: and doubt what came
before. A later `compromised` replaces `retired`; nothing replaces `compromised`.
"""

from dataclasses import dataclass, replace

from tallystick_proof import keys, statement
from tallystick_proof.errors import EnrolmentError, KeyFormatError, StatementError
from tallystick_proof.merkle import MAX_TREE_SIZE
from tallystick_proof.statement import Statement
from tallystick_proof.trust import Authority, Trust
from tallystick_wire.cbor import Map

COMPROMISED = "compromised"
NOT_LOGGED = MAX_TREE_SIZE  # an index behind every other: nothing comes after an enrolment that no log holds

ALREADY_ENROLLED = "is already enrolled by another statement"


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """One enrolled key. Indexes are those of the ledger; check_enrolment knows none and leaves NOT_LOGGED."""

    thumbprint: bytes
    public_key: bytes
    kind: str
    instrument: Map | None
    token_hash: bytes | None
    commitment: bytes | None
    not_before_ms: int | None
    not_after_ms: int | None
    statement: Statement
    enrolled_index: int = NOT_LOGGED
    revoked_index: int | None = None
    revoked_reason: str | None = None

    @property
    def kid(self) -> bytes:
        return self.thumbprint[: keys.KID_BYTES]

    def active_at(self, index: int) -> bool:
        """Whether something logged at this ledger index may be signed by this key."""
        return self.enrolled_index < index and (self.revoked_index is None or index < self.revoked_index)


class Directory:
    """The keys of one ledger as of the last index added. Nothing is removed from it."""

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.last_index = -1
        self._keys: dict[bytes, EnrolledKey] = {}
        self._thumbprints: dict[bytes, bytes] = {}  # kid -> thumbprint

    def add(self, signed: Statement, ledger_index: int, logged_ms: int | None = None) -> EnrolledKey:
        """Apply an enrolment or a revocation; indexes must rise. EnrolmentError leaves everything as it was.

        The identical enrolment again changes nothing, and neither does a revocation that says nothing new.
        """
        if ledger_index <= self.last_index:
            raise EnrolmentError(f"ledger index {ledger_index} does not follow {self.last_index}")
        key = self.check(signed, logged_ms)
        if key.thumbprint not in self._keys:
            key = replace(key, enrolled_index=ledger_index)
            self._thumbprints[key.kid] = key.thumbprint
        elif signed.kind == keys.REVOCATION:
            key = _revoked(key, str(signed.body["reason"]), ledger_index)
        self._keys[key.thumbprint] = key
        self.last_index = ledger_index
        return key

    def check(self, signed: Statement, logged_ms: int | None = None) -> EnrolledKey:
        """The key that `add` would enrol or revoke, as it is now; EnrolmentError when it would refuse."""
        if signed.kind == keys.REVOCATION:
            return self._check_revocation(signed, logged_ms)
        key = check_enrolment(signed, self.trust, logged_ms)
        known = self._keys.get(key.thumbprint)
        if known is not None:
            if known.statement.identity != signed.identity:
                raise EnrolmentError(f"key {key.thumbprint.hex()} {ALREADY_ENROLLED}")
            return known
        if key.kid in self._thumbprints:
            raise EnrolmentError(f"kid {key.kid.hex()} already stands for another key")
        return key

    def key(self, thumbprint: bytes) -> EnrolledKey | None:
        """The key with this thumbprint."""
        return self._keys.get(thumbprint)

    def by_kid(self, kid: bytes) -> EnrolledKey | None:
        """The one key that these 8 bytes stand for in this ledger."""
        return self._keys.get(self._thumbprints.get(kid, b""))

    def keys(self) -> list[EnrolledKey]:
        """Every key, in the order of enrolment."""
        return list(self._keys.values())

    def signer(self, signed: Statement, ledger_index: int) -> EnrolledKey:
        """The enrolled key that signed a statement (no enrolment, no revocation) to be logged at this index.

        EnrolmentError when it is unknown, of a kind that may not sign this, revoked, or the signature does not hold.
        """
        key = self.by_kid(signed.kid)
        if key is None:
            raise EnrolmentError(f"{signed.kind}: unknown key {signed.kid.hex()}")
        _check_audience(signed, self.trust)
        try:
            statement.check_role(signed, key.kind)
            statement.verify(signed, key.public_key)
        except StatementError as error:
            raise EnrolmentError(str(error)) from None
        if not key.active_at(ledger_index):
            raise EnrolmentError(f"{signed.kind}: key {key.thumbprint.hex()} is not valid at index {ledger_index}")
        return key

    def _check_revocation(self, signed: Statement, logged_ms: int | None) -> EnrolledKey:
        key = self._keys.get(signed.body["thumbprint"])
        if key is None:
            raise EnrolmentError(f"revocation of a key that is not enrolled: {signed.body['thumbprint'].hex()}")
        check_revocation(signed, key, self.trust, logged_ms)
        return key


def check_enrolment(signed: Statement, trust: Trust, logged_ms: int | None = None) -> EnrolledKey:
    """The key that this statement enrols, judged by trust.toml alone; EnrolmentError says what is wrong.

    `logged_ms` is when the ledger had it; it is needed where the authority has dates.
    """
    if signed.kind != keys.ENROLMENT:
        raise EnrolmentError(f"a {signed.kind} is no enrolment")
    body = signed.body
    _check_authority(signed, str(body["kind"]), trust, logged_ms)
    _check_new_key(body["key"], trust)
    request = _check_request(signed, trust)
    _check_kind_fields(body)
    if None not in (body["not_before"], body["not_after"]) and body["not_before"] > body["not_after"]:
        raise EnrolmentError("enrolment: not_before must not be after not_after")
    if request.body.get("token_hash") != body["token_hash"]:
        raise EnrolmentError("enrolment: token_hash is not the one that the new key asked for")
    return EnrolledKey(
        thumbprint=keys.thumbprint(body["key"]),
        public_key=body["key"],
        kind=body["kind"],
        instrument=body["instrument"],
        token_hash=body["token_hash"],
        commitment=body["commitment"],
        not_before_ms=body["not_before"],
        not_after_ms=body["not_after"],
        statement=signed,
    )


def check_revocation(signed: Statement, key: EnrolledKey, trust: Trust, logged_ms: int | None = None) -> None:
    """EnrolmentError unless an authority of the key's kind signed the revocation of this key."""
    if signed.kind != keys.REVOCATION or signed.body["thumbprint"] != key.thumbprint:
        raise EnrolmentError("not a revocation of this key")
    _check_authority(signed, key.kind, trust, logged_ms)


def _check_authority(signed: Statement, kind: str, trust: Trust, logged_ms: int | None) -> None:
    _check_audience(signed, trust)
    for authority, public_key in trust.authority_keys(kind):
        if keys.kid(public_key) == signed.kid:
            try:
                statement.verify(signed, public_key)
            except StatementError as error:
                raise EnrolmentError(str(error)) from None
            _check_dates(authority, signed, logged_ms)
            return
    raise EnrolmentError(f"{signed.kind}: {signed.kid.hex()} is no authority for {kind} keys")


def _check_dates(authority: Authority, signed: Statement, logged_ms: int | None) -> None:
    first, last = authority.not_before_ms, authority.not_after_ms
    if first is None and last is None:
        return
    if logged_ms is None:
        raise EnrolmentError(f"{signed.kind}: its authority has dates, and when it was logged is not known")
    if (first is not None and logged_ms < first) or (last is not None and logged_ms > last):
        raise EnrolmentError(f"{signed.kind}: logged outside the dates of its authority")


def _check_audience(signed: Statement, trust: Trust) -> None:
    if signed.body["aud"] != trust.origin:
        raise EnrolmentError(f"{signed.kind}: made for {signed.body['aud']!r}, not for {trust.origin!r}")


def _check_new_key(public_key: bytes, trust: Trust) -> None:
    try:
        keys.check_public_key(public_key)
    except KeyFormatError as error:
        raise EnrolmentError(f"enrolment: {error}") from None
    if public_key in trust.fixed_keys():
        raise EnrolmentError("enrolment: the key already has a role in trust.toml; one key has one role")


def _check_request(signed: Statement, trust: Trust) -> Statement:
    """The new key's own word that it wants to be this kind of key in this ledger, and in no other."""
    try:
        request = statement.parse(signed.body["request"])
        if request.kind != keys.ENROL_REQUEST:
            raise StatementError(f"the request is a {request.kind}")
        statement.verify(request, signed.body["key"])
    except StatementError as error:
        raise EnrolmentError(f"enrolment request: {error}") from None
    if request.data != signed.body["request"]:
        raise EnrolmentError("enrolment request: its unprotected header must be empty")
    _check_audience(request, trust)
    if (request.body["key"], request.body["kind"]) != (signed.body["key"], signed.body["kind"]):
        raise EnrolmentError("enrolment request: asks for another key or kind than the enrolment gives")
    return request


def _check_kind_fields(body: dict[str, object]) -> None:
    if (body["instrument"] is not None) != (body["kind"] == keys.NODE):
        raise EnrolmentError("enrolment: a node has an instrument, and only a node")
    if (body["token_hash"] is not None) != (body["kind"] == keys.GATEWAY):
        raise EnrolmentError("enrolment: a gateway has a token_hash, and only a gateway")


def _revoked(key: EnrolledKey, reason: str, ledger_index: int) -> EnrolledKey:
    if key.revoked_index is None:
        return replace(key, revoked_index=ledger_index, revoked_reason=reason)
    return replace(key, revoked_reason=reason) if reason == COMPROMISED else key
