"""Originality signatures of emulated tags.

NXP signs each UID at production (NTAG21x: secp128r1; NTAG 424: secp224r1; ECDSA over the bare UID as the number to be
signed). Nobody but NXP can make one, so emulated tags carry signatures of a key of our own: genuine against
`ORIGINALITY_PUBLIC_KEY_21X` and `ORIGINALITY_PUBLIC_KEY_424`, foreign against NXP's. The one pair that NXP published
for NTAG21x is built in, and those of two NTAG 424 that somebody recorded.
"""

import hashlib
from functools import lru_cache

from ecdsa import NIST224p, SigningKey  # type: ignore[import-untyped]
from ecdsa.curves import Curve, SECP128r1  # type: ignore[import-untyped]

PUBLISHED = {
    bytes.fromhex("04E10CDA993C80"): bytes.fromhex("8B76052EE42F5567BEB53238B3E3F9950707C0DCC956B5C5EFCFDB709B2D82B3")
}
RECORDED_424 = {
    bytes.fromhex(uid): bytes.fromhex(signature)
    for uid, signature in (
        (
            "04A9707A0B1090",
            "03F0A17889E3063D2D01CD8750734601BC031C26812705A1BD3B7536"
            "1604B19B762DC285DCE303A5B6DE5F2814F0449BA64AB445A7AEC4CF",
        ),
        (
            "04407A7A0B1090",
            "5F019173DA747943318455D4DD9413858C8D335D4B488DC52A606386"
            "115C5C796CE79E95A499C430B6DD5D1CD41BF23F258C678070DBD42C",
        ),
    )
}


def _emulator_key(curve: Curve) -> SigningKey:
    # Public on purpose, like everything here: whoever knows it can make emulated tags, and nothing else.
    seed = hashlib.sha256(b"tallystick/emulated-tag/" + curve.name.encode()).digest()
    return SigningKey.from_secret_exponent(int.from_bytes(seed) % (curve.order - 1) + 1, curve)


_KEY_21X = _emulator_key(SECP128r1)
_KEY_424 = _emulator_key(NIST224p)
ORIGINALITY_PUBLIC_KEY_21X: bytes = _KEY_21X.verifying_key.to_string("uncompressed")  # 33 bytes
ORIGINALITY_PUBLIC_KEY_424: bytes = _KEY_424.verifying_key.to_string("uncompressed")  # 57 bytes


@lru_cache(maxsize=4096)  # a signature takes milliseconds, and a tag is asked often
def sign_21x(uid: bytes) -> bytes:
    """32 bytes, r || s: NXP's own where it is published, else the emulator's."""
    return PUBLISHED.get(uid) or _sign(_KEY_21X, uid)


@lru_cache(maxsize=4096)
def sign_424(uid: bytes) -> bytes:
    """56 bytes, r || s: NXP's own where it was recorded, else the emulator's."""
    return RECORDED_424.get(uid) or _sign(_KEY_424, uid)


def _sign(key: SigningKey, uid: bytes) -> bytes:
    signature: bytes = key.sign_digest_deterministic(uid, hashfunc=hashlib.sha256)
    return signature
