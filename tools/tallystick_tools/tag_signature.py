"""Originality signatures of emulated tags.

NXP signs each UID at production (NTAG21x: secp128r1; NTAG 424: secp224r1; ECDSA over the bare UID as the number to be
signed). Nobody but NXP can make one, so emulated tags carry signatures of a key of our own: genuine against
`ORIGINALITY_PUBLIC_KEY_21X` and `ORIGINALITY_PUBLIC_KEY_424`, foreign against NXP's. The one pair that NXP published
for NTAG21x is built in.
"""

import hashlib
from functools import lru_cache

from ecdsa import NIST224p, SigningKey  # type: ignore[import-untyped]
from ecdsa.curves import Curve, SECP128r1  # type: ignore[import-untyped]

PUBLISHED = {
    bytes.fromhex("04E10CDA993C80"): bytes.fromhex("8B76052EE42F5567BEB53238B3E3F9950707C0DCC956B5C5EFCFDB709B2D82B3")
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
    """56 bytes, r || s, of the emulator's key."""
    return _sign(_KEY_424, uid)


def _sign(key: SigningKey, uid: bytes) -> bytes:
    signature: bytes = key.sign_digest_deterministic(uid, hashfunc=hashlib.sha256)
    return signature
