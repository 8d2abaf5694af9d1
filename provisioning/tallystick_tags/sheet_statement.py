"""The signed statement beside a closing sheet: this file, byte for byte, is what this installer made then. No I/O."""

import hashlib

from tallystick_proof import keys, statement
from tallystick_proof.errors import ProofError
from tallystick_proof.statement import Statement
from tallystick_tags.errors import SheetError
from tallystick_wire import message


def build(installer: keys.Signer, origin: str, document: bytes, made_ms: int) -> bytes:
    """The statement about the bytes `document`; the same for the same."""
    digest = hashlib.sha256(document).digest()
    body = {
        "aud": origin,
        "jti": digest[: message.JTI_BYTES],  # a file is signed once
        "exp": None,
        "document": digest,
        "key": installer.public_key,
        "made_ms": made_ms,
    }
    return statement.build(installer, keys.SHEET, body)


def check(data: bytes, document: bytes, installer: bytes) -> Statement:
    """The statement in `data`, when the installer with this thumbprint signed it about exactly this document."""
    try:
        signed = statement.parse(data)
        if signed.kind != keys.SHEET:
            raise SheetError(f"beside it lies a statement of kind {signed.kind}, not about a sheet")
        public_key = signed.body["key"]
        if keys.thumbprint(public_key) != installer:
            raise SheetError(f"it is signed by {keys.thumbprint(public_key).hex()}, which is another key")
        statement.verify(signed, public_key)
    except ProofError as error:
        raise SheetError(f"its statement does not hold: {error}") from None
    if signed.body["document"] != hashlib.sha256(document).digest():
        raise SheetError("the file is not the one that was signed: at least one byte differs")
    return signed
