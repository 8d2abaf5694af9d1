"""keys.py: the verify rule case by case, roles, key files."""

import hashlib
import random

import pytest

from tallystick_proof import keys
from tallystick_proof.errors import KeyFormatError

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids

# A second, slow Ed25519 in affine coordinates, to know what the written rule says where libraries disagree.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    product = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P
    return x, y


def multiply(scalar: int, point: Point) -> Point:
    result: Point = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def decode(encoding: bytes) -> Point | None:
    number = int.from_bytes(encoding, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return (x if x & 1 == sign else -x % P, y % P)


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert BASE is not None
# An encoding whose point times L has order eight; found once by trial.
SEED_POINT = next(
    point
    for counter in range(100)
    if (point := decode(hashlib.sha256(bytes([counter])).digest()))
    and multiply(4, multiply(L, point)) != (0, 1)
)
TORSION = [multiply(multiple, multiply(L, SEED_POINT)) for multiple in range(8)]
MESSAGE = b"two scales and a stick"
SECRET, NONCE = 0x1234567890ABCDEF, 0xFEDCBA0987654321


def forge(key_torsion: Point, nonce_torsion: Point) -> tuple[bytes, bytes, bool]:
    """(public key, signature, whether the cofactorless equation holds) with points off the prime-order subgroup."""
    assert BASE is not None
    key = add(multiply(SECRET, BASE), key_torsion)
    nonce = add(multiply(NONCE, BASE), nonce_torsion)
    challenge = int.from_bytes(hashlib.sha512(encode(nonce) + encode(key) + MESSAGE).digest(), "little") % L
    scalar = (NONCE + challenge * SECRET) % L
    holds = multiply(scalar, BASE) == add(nonce, multiply(challenge, key))
    return encode(key), encode(nonce) + scalar.to_bytes(32, "little"), holds


def test_the_equation_is_cofactorless() -> None:
    verdicts = set()
    for key_torsion in TORSION:
        for nonce_torsion in TORSION:
            public_key, signature, holds = forge(key_torsion, nonce_torsion)
            assert keys.verify_signature(public_key, MESSAGE, signature) is holds
            verdicts.add(holds)
    assert verdicts == {True, False}


@pytest.mark.parametrize("order", range(8))
def test_small_order_points_are_refused(order: int) -> None:
    for sign in (0, 1):
        encoding = bytearray(encode(TORSION[order]))
        encoding[31] = encoding[31] & 0x7F | sign << 7
        with pytest.raises(KeyFormatError, match="small order"):
            keys.check_public_key(bytes(encoding))
        # S = 0 and R = A = identity satisfies the bare equation for every message.
        assert not keys.verify_signature(bytes(encoding), MESSAGE, bytes(encoding) + bytes(32))


@pytest.mark.parametrize("excess", range(19))
def test_encodings_of_y_above_the_field_are_refused(excess: int) -> None:
    encoding = (P + excess).to_bytes(32, "little")
    with pytest.raises(KeyFormatError, match="canonical"):
        keys.check_public_key(encoding)
    assert not keys.verify_signature(encoding, MESSAGE, bytes(64))


def test_small_order_nonce_is_refused() -> None:
    """S = k * a with R = identity satisfies the equation; the rule refuses it all the same."""
    assert BASE is not None
    key, nonce = encode(multiply(SECRET, BASE)), encode((0, 1))
    challenge = int.from_bytes(hashlib.sha512(nonce + key + MESSAGE).digest(), "little") % L
    scalar = challenge * SECRET % L
    assert multiply(scalar, BASE) == multiply(challenge, multiply(SECRET, BASE))
    assert not keys.verify_signature(key, MESSAGE, nonce + scalar.to_bytes(32, "little"))


def test_scalar_above_the_order_is_refused() -> None:
    public_key, signature, holds = forge((0, 1), (0, 1))
    assert holds
    scalar = int.from_bytes(signature[32:], "little")
    assert keys.verify_signature(public_key, MESSAGE, signature)
    assert not keys.verify_signature(public_key, MESSAGE, signature[:32] + (scalar + L).to_bytes(32, "little"))


def test_rfc_8032_first_vector() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signer = keys.Signer(keys.NODE, seed)
    assert signer.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = signer.sign(Reading(b""))
    assert signature.hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


class Reading:
    """A signable with no content of its own."""

    kind = keys.READING

    def __init__(self, to_be_signed: bytes) -> None:
        self.to_be_signed = to_be_signed


def test_wrong_sizes_are_false_not_errors() -> None:
    public_key, signature, _ = forge((0, 1), (0, 1))
    assert not keys.verify_signature(public_key[:31], MESSAGE, signature)
    assert not keys.verify_signature(public_key, MESSAGE, signature[:63])
    assert not keys.verify_signature(public_key, MESSAGE, signature + b"\0")


def test_thumbprint_is_rfc_9679() -> None:
    public_key = bytes(range(32))
    cose_key = bytes.fromhex("a3" "0101" "2006" "215820") + public_key
    assert keys.thumbprint(public_key) == hashlib.sha256(cose_key).digest()
    assert keys.kid(public_key) == keys.thumbprint(public_key)[:8]


@pytest.mark.parametrize("count", [0, 3, 64, 131])
def test_verify_many_keeps_the_order(count: int) -> None:
    signer = keys.generate(keys.NODE, CHANCE.randbytes)
    messages = [bytes([index]) for index in range(count)]
    items = [(signer.public_key, message, signer.sign(Reading(message))) for message in messages]
    bad = set(range(0, count, 7))
    items = [(key, b"x" + message if at in bad else message, sig) for at, (key, message, sig) in enumerate(items)]
    assert keys.verify_many(items) == [at not in bad for at in range(count)]


def test_secret_round_trip_and_roles() -> None:
    signer = keys.generate(keys.GATEWAY, lambda size: bytes(range(size)))
    text = keys.format_secret(signer)
    assert text == f"tallystick-secret-v1 gateway {bytes(range(32)).hex()}\n"
    assert keys.parse_secret(text, keys.GATEWAY).public_key == signer.public_key
    assert bytes(range(32)).hex() not in repr(signer)
    with pytest.raises(KeyFormatError, match="of role 'gateway', not 'node'"):
        keys.parse_secret(text, keys.NODE)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(" ", "  "),
        lambda text: text.upper(),
        lambda text: text.replace("-v1", "-v2"),
        lambda text: text[:-3] + "\n",
        lambda text: text[:-2] + "g\n",
        lambda text: text + text,
        lambda text: "",
    ],
)
def test_other_secret_lines_are_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    text = keys.format_secret(keys.Signer(keys.NODE, b"\xab" * 32))
    with pytest.raises(KeyFormatError):
        keys.parse_secret(spoil(text), keys.NODE)


def test_signer_refuses_unknown_roles_and_short_seeds() -> None:
    with pytest.raises(KeyFormatError, match="unknown role"):
        keys.Signer("king", bytes(32))
    with pytest.raises(KeyFormatError, match="32 bytes"):
        keys.Signer(keys.NODE, bytes(31))


def test_every_kind_has_a_role_and_no_key_signs_checkpoints_of_both_levels() -> None:
    assert keys.roles_that_sign(keys.READING) == (keys.NODE,)
    assert keys.roles_that_sign(keys.GATEWAY_CHECKPOINT) == (keys.GATEWAY,)
    assert keys.roles_that_sign(keys.LEDGER_CHECKPOINT) == (keys.LEDGER,)
    assert set(keys.roles_that_sign(keys.ENROLMENT)) == set(keys.AUTHORITY_ROLES)
    assert set(keys.roles_that_sign(keys.ENROL_REQUEST)) == set(keys.ENROLLED_KINDS)
