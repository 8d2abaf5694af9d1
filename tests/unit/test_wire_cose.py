"""COSE_Sign1 in the one form that we write."""

import hashlib

import pytest

from tallystick_wire import cbor, cose
from tallystick_wire.errors import CborError, CoseError, WireError

PROTECTED = bytes.fromhex("a10127")
SIGNATURE = bytes(range(64))
MESSAGE = cose.assemble(PROTECTED, b"payload", SIGNATURE)


def test_sig_structure_is_that_of_rfc_9052() -> None:
    # The to-be-signed bytes of a public example: protected {1: -8, 3: 0}, "This is the content.".
    expected = "846a5369676e61747572653145a2012703004054546869732069732074686520636f6e74656e742e"
    assert cose.sig_structure(bytes.fromhex("a201270300"), b"This is the content.").hex() == expected


def test_split_gives_the_parts() -> None:
    parts = cose.split(MESSAGE)
    assert (parts.protected, parts.payload, parts.signature) == (PROTECTED, b"payload", SIGNATURE)
    assert parts.protected_map == cbor.Map([(cose.LABEL_ALG, cose.ALG_EDDSA)])
    assert len(parts.unprotected) == 0
    assert parts.to_be_signed == cose.sig_structure(PROTECTED, b"payload")


def test_identity_leaves_the_unprotected_header_out() -> None:
    header = cbor.Map([(394, [b"receipt"])])
    decorated = cbor.encode(cbor.Tag(18, [PROTECTED, header, b"payload", SIGNATURE]))
    assert cose.split(decorated).unprotected == header
    assert cose.bare(decorated) == MESSAGE
    assert cose.identity(decorated) == cose.identity(MESSAGE) == hashlib.sha256(MESSAGE).digest()


def message(**changes: object) -> bytes:
    parts = {"protected": PROTECTED, "unprotected": cbor.Map([]), "payload": b"payload", "signature": SIGNATURE}
    return cbor.encode(cbor.Tag(18, list({**parts, **changes}.values())))


@pytest.mark.parametrize(
    "data",
    [
        cbor.encode(cbor.decode(MESSAGE).value),
        cbor.encode(cbor.Tag(17, cbor.decode(MESSAGE).value)),
        cbor.encode(cbor.Tag(18, [PROTECTED, cbor.Map([]), b"payload"])),
        cbor.encode(cbor.Tag(18, 1)),
        message(protected=b""),
        message(protected=b"\xa0"),
        message(protected=b"\x80"),
        message(protected=bytes.fromhex("a1011827")[:3]),
        message(protected=bytes.fromhex("a11801")),
        message(protected=cbor.Map([(1, -8)])),
        message(unprotected=b""),
        message(payload=None),
        message(payload="payload"),
        message(signature=SIGNATURE[:63]),
        message(signature=SIGNATURE + b"\0"),
        message(signature="s" * 64),
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(CoseError):
        cose.split(data)


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(CborError):
        cose.split(MESSAGE + b"\0")
    assert issubclass(CborError, WireError)
