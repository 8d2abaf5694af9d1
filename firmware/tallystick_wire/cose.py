"""COSE_Sign1 (RFC 9052) in one form: tag 18, strict CBOR, a payload that is present, a 64-byte Ed25519 signature.

The unprotected header is not signed and receipts may be added there, so an identity never includes it.
"""

import hashlib

from tallystick_wire import cbor
from tallystick_wire.errors import CborError, CoseError

TAG_SIGN1 = 18
ALG_EDDSA = -8  # what we write: some verifiers still refuse -19
ALG_ED25519 = -19  # RFC 9864, accepted too
LABEL_ALG = 1
LABEL_CONTENT = 3
LABEL_KID = 4
LABEL_TYP = 16
SIGNATURE_BYTES = 64


class Sign1:
    """The parts of one message; `bare` is it with an empty unprotected header. Nothing says the signature is right."""

    __slots__ = ("bare", "payload", "protected", "protected_map", "signature", "unprotected")

    def __init__(
        self,
        bare: bytes,
        protected: bytes,
        protected_map: cbor.Map,
        unprotected: cbor.Map,
        payload: bytes,
        signature: bytes,
    ) -> None:
        self.bare = bare
        self.protected = protected
        self.protected_map = protected_map
        self.unprotected = unprotected
        self.payload = payload
        self.signature = signature

    @property
    def to_be_signed(self) -> bytes:
        return sig_structure(self.protected, self.payload)

    @property
    def identity(self) -> bytes:
        """SHA-256 of the bare message, 32 bytes."""
        return hashlib.sha256(self.bare).digest()


def sig_structure(protected: bytes, payload: bytes, external_aad: bytes = b"") -> bytes:
    """The bytes that are signed (RFC 9052 section 4.4). `protected` is the encoded map, b"" for an empty one."""
    return cbor.encode(["Signature1", protected, external_aad, payload])


def assemble(protected: bytes, payload: bytes, signature: bytes) -> bytes:
    return cbor.encode(cbor.Tag(TAG_SIGN1, [protected, cbor.Map([]), payload, signature]))


def split(data: bytes) -> Sign1:
    """The parts of `data`; CborError or CoseError when it has another form."""
    tagged = cbor.decode(data)
    if not isinstance(tagged, cbor.Tag) or tagged.number != TAG_SIGN1:
        raise CoseError("tag 18 is missing")
    parts = tagged.value
    if not isinstance(parts, list) or len(parts) != 4:
        raise CoseError("COSE_Sign1 is an array of 4")
    protected, unprotected, payload, signature = parts
    if not isinstance(unprotected, cbor.Map):
        raise CoseError("the unprotected header must be a map")
    if not isinstance(payload, bytes):
        raise CoseError("the payload must be a byte string")
    if not isinstance(signature, bytes) or len(signature) != SIGNATURE_BYTES:
        raise CoseError("the signature must be %d bytes" % SIGNATURE_BYTES)
    header = _protected_map(protected)
    # Strict CBOR has one encoding, so a message without unprotected header is its own bare form.
    bare_data = assemble(protected, payload, signature) if len(unprotected) else bytes(data)
    return Sign1(bare_data, protected, header, unprotected, payload, signature)


def bare(data: bytes) -> bytes:
    """The same message with an empty unprotected header."""
    return split(data).bare


def identity(data: bytes) -> bytes:
    """SHA-256 of the bare message, 32 bytes."""
    return split(data).identity


def _protected_map(protected: object) -> cbor.Map:
    if not isinstance(protected, bytes) or not protected:
        raise CoseError("the protected header must be a byte string that is not empty")
    try:
        decoded = cbor.decode(protected)
    except CborError as error:
        raise CoseError("protected header: %s" % error) from None
    if not isinstance(decoded, cbor.Map) or not len(decoded):
        raise CoseError("the protected header must be a map that is not empty")
    return decoded
