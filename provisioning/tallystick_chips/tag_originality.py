"""NXP's originality signatures over each UID. They filter silicon of others, and stop no copy of UID and signature."""

from collections.abc import Sequence
from dataclasses import dataclass

from ecdsa import NIST224p, SECP128r1, VerifyingKey  # type: ignore[import-untyped]
from ecdsa.errors import MalformedPointError  # type: ignore[import-untyped]
from ecdsa.keys import BadSignatureError  # type: ignore[import-untyped]

NTAG21X_SIGNATURE_BYTES = 32
NTAG424_SIGNATURE_BYTES = 56


@dataclass(frozen=True, slots=True)
class Originality:
    """The makers' public keys that are believed: uncompressed points (04, X, Y) of secp128r1 and secp224r1."""

    ntag21x: Sequence[bytes]
    ntag424: Sequence[bytes]

    def signed_21x(self, uid: bytes, signature: bytes) -> bool:
        """Whether the maker of an NTAG21x signed this UID."""
        return len(signature) == NTAG21X_SIGNATURE_BYTES and _signed(self.ntag21x, SECP128r1, uid, signature)

    def signed_424(self, uid: bytes, signature: bytes) -> bool:
        """Whether the maker of an NTAG 424 signed this UID."""
        return len(signature) == NTAG424_SIGNATURE_BYTES and _signed(self.ntag424, NIST224p, uid, signature)


def _signed(points: Sequence[bytes], curve: object, uid: bytes, signature: bytes) -> bool:
    """The UID is signed as it is, in the place of a digest."""
    for point in points:
        try:
            VerifyingKey.from_string(point, curve=curve).verify_digest(signature, uid, allow_truncate=True)
        except (BadSignatureError, MalformedPointError):
            continue
        return True
    return False


# NTAG213/215/216: AN11350; NTAG 424 DNA: AN12196, both as NXP publishes them.
NXP = Originality(
    ntag21x=(bytes.fromhex("04494E1A386D3D3CFE3DC10E5DE68A499B1C202DB5B132393E89ED19FE5BE8BC61"),),
    ntag424=(
        bytes.fromhex(
            "048A9B380AF2EE1B98DC417FECC263F8449C7625CECE82D9B916C992DA209D68"
            "422B81EC20B65A66B5102A61596AF3379200599316A00A1410"
        ),
    ),
)
