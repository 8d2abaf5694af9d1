"""Ed25519 keys, one role each. The only module that calls a signature library.

The verify rule, which every verifier must share: S < L; A and R canonical; A and R not of small order; R compared as
bytes with the recomputed point; the cofactorless equation. libsodium does all of it; the encodings are checked here
too, so that the rule does not hang on how a libsodium was built.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from nacl import bindings
from nacl.exceptions import BadSignatureError

from tallystick_proof.errors import KeyFormatError
from tallystick_wire import cbor

PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64
THUMBPRINT_BYTES = 32
KID_BYTES = 8

NODE, GATEWAY, LEDGER, WITNESS, AUDITOR = "node", "gateway", "ledger", "witness", "auditor"
ORGANISATION, STAFF, INSTALLER, DECISION = "organisation", "staff", "installer", "decision"
DOWNLINK, TAG_VERIFIER, FIRMWARE = "downlink", "tag-verifier", "firmware"
AUTHORITY_PREFIX = "authority-"

# Whose keys are enrolled by a statement; each kind has its own authority.
ENROLLED_KINDS = (NODE, GATEWAY, ORGANISATION, INSTALLER, DECISION)
AUTHORITY_ROLES = tuple(AUTHORITY_PREFIX + kind for kind in ENROLLED_KINDS)

READING = "reading"
GATEWAY_CHECKPOINT, LEDGER_CHECKPOINT, COSIGNATURE = "gateway-checkpoint", "ledger-checkpoint", "cosignature"
ENROL_REQUEST, ENROLMENT, REVOCATION = "enrol-request", "enrolment", "revocation"
ASSOCIATION, FACILITY, PLEDGE = "association", "facility", "pledge"
CONFIG, FIRMWARE_IMAGE = "config", "firmware"  # nodes take these; no ledger does
TAG, TAG_JOB, SHEET = "tag", "tag-job", "sheet"

# The one table of who may sign what. A key that could sign two kinds of thing could be tricked into the other one.
MAY_SIGN: dict[str, frozenset[str]] = {
    NODE: frozenset({READING, ENROL_REQUEST}),
    GATEWAY: frozenset({GATEWAY_CHECKPOINT, ENROL_REQUEST}),
    LEDGER: frozenset({LEDGER_CHECKPOINT}),
    WITNESS: frozenset({COSIGNATURE}),
    AUDITOR: frozenset({COSIGNATURE}),
    ORGANISATION: frozenset({FACILITY, PLEDGE, ENROL_REQUEST}),
    INSTALLER: frozenset({ASSOCIATION, TAG, SHEET, ENROL_REQUEST}),
    DECISION: frozenset({DECISION, ENROL_REQUEST}),
    # Nothing that these sign has a format yet, so they may sign nothing.
    STAFF: frozenset(),
    DOWNLINK: frozenset({CONFIG}),
    TAG_VERIFIER: frozenset(),
    FIRMWARE: frozenset({FIRMWARE_IMAGE}),
    **{role: frozenset({ENROLMENT, REVOCATION}) for role in AUTHORITY_ROLES},
    # Who enrols installers also hands them the keys of a job.
    AUTHORITY_PREFIX + INSTALLER: frozenset({ENROLMENT, REVOCATION, TAG_JOB}),
}

_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_SIGN_BIT = 1 << 255
# The y of the eight points of small order; the sign bit of x does not matter here.
_ORDER_EIGHT_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y = frozenset((0, 1, _FIELD - 1, _ORDER_EIGHT_Y, _FIELD - _ORDER_EIGHT_Y))

_SECRET_FORMAT = "tallystick-secret-v1"  # noqa: S105 (the name of a format)
# verify releases the interpreter lock: two threads give 1.8 times the rate on two cores, more give nothing there.
_VERIFY_THREADS = 2
_MIN_THREADED_BATCH = 64  # below this, starting threads costs more than it gains


class Signable(Protocol):
    """Something that a key may sign: it knows its kind and its exact bytes."""

    @property
    def kind(self) -> str: ...
    @property
    def to_be_signed(self) -> bytes: ...


class Signer:
    """A secret key in its role. It signs typed objects only, never bytes."""

    __slots__ = ("_secret", "kid", "public_key", "role", "thumbprint")

    def __init__(self, role: str, seed: bytes) -> None:
        if role not in MAY_SIGN:
            raise KeyFormatError(f"unknown role {role!r}")
        if len(seed) != SEED_BYTES:
            raise KeyFormatError(f"a seed is {SEED_BYTES} bytes")
        self.role = role
        self.public_key, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.thumbprint = thumbprint(self.public_key)
        self.kid = self.thumbprint[:KID_BYTES]

    def __repr__(self) -> str:
        return f"Signer({self.role!r}, kid {self.kid.hex()})"

    def sign(self, signable: Signable) -> bytes:
        """64 bytes; KeyFormatError when this role may not sign that kind."""
        if signable.kind not in MAY_SIGN[self.role]:
            raise KeyFormatError(f"a {self.role} key may not sign a {signable.kind}")
        return bindings.crypto_sign(signable.to_be_signed, self._secret)[:SIGNATURE_BYTES]


def roles_that_sign(kind: str) -> tuple[str, ...]:
    """The roles whose keys may sign this kind."""
    return tuple(role for role, kinds in MAY_SIGN.items() if kind in kinds)


def thumbprint(public_key: bytes) -> bytes:
    """RFC 9679: SHA-256 over the deterministic COSE_Key {1: 1 (OKP), -1: 6 (Ed25519), -2: x}, 32 bytes."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise KeyFormatError(f"a public key is {PUBLIC_KEY_BYTES} bytes")
    return hashlib.sha256(cbor.encode(cbor.Map([(1, 1), (-1, 6), (-2, public_key)]))).digest()


def kid(public_key: bytes) -> bytes:
    """The 8 bytes that stand for a key on the wire, and nowhere else."""
    return thumbprint(public_key)[:KID_BYTES]


def check_public_key(public_key: bytes) -> None:
    """KeyFormatError when no signature under this key would be accepted because of how the key is formed."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise KeyFormatError(f"a public key is {PUBLIC_KEY_BYTES} bytes")
    if not _good_point(public_key):
        raise KeyFormatError("the public key is not canonical, or of small order")


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds under the verify rule above. Wrong sizes are just False."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    if int.from_bytes(signature[32:], "little") >= _ORDER:
        return False
    if not _good_point(public_key) or not _good_point(signature[:32]):
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def verify_many(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    """verify_signature for each (public key, message, signature), in order."""
    if len(items) < _MIN_THREADED_BATCH:
        return _verify_each(items)
    step = -(-len(items) // _VERIFY_THREADS)
    parts = [items[start : start + step] for start in range(0, len(items), step)]
    with ThreadPoolExecutor(_VERIFY_THREADS) as pool:
        return [verdict for verdicts in pool.map(_verify_each, parts) for verdict in verdicts]


def generate(role: str, random_bytes: Callable[[int], bytes]) -> Signer:
    """A new key; `random_bytes(n)` must come from the system's generator outside tests."""
    return Signer(role, random_bytes(SEED_BYTES))


def format_secret(signer: Signer) -> str:
    """The one line that a key file holds."""
    seed = bindings.crypto_sign_ed25519_sk_to_seed(signer._secret)
    return f"{_SECRET_FORMAT} {signer.role} {seed.hex()}\n"


def parse_secret(text: str, role: str) -> Signer:
    """The key in a line of format_secret; KeyFormatError when it is another line or a key of another role."""
    words = text.split()
    if len(words) != 3 or words[0] != _SECRET_FORMAT:
        raise KeyFormatError("not a line of the form 'tallystick-secret-v1 <role> <seed in hex>'")
    if words[1] != role:
        raise KeyFormatError(f"this is a key of role {words[1]!r}, not {role!r}")
    try:
        signer = Signer(role, bytes.fromhex(words[2]))
    except ValueError:
        raise KeyFormatError("the seed is not hex") from None
    if format_secret(signer) != text:
        raise KeyFormatError("the key line has other spaces, capitals or line ends than it should")
    return signer


def _verify_each(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    return [verify_signature(*item) for item in items]


def _good_point(encoding: bytes) -> bool:
    """Canonical and not of small order. That it lies on the curve is for the library to say."""
    y = int.from_bytes(encoding, "little") & (_SIGN_BIT - 1)
    return y < _FIELD and y not in _SMALL_ORDER_Y
