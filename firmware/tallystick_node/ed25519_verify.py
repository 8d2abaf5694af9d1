"""Verifies Ed25519 signatures by the rule of spec 3.1, which is that of every other verifier of Tallystick.

Everything here is public, so nothing needs to take constant time. A node verifies once in a season (a configuration, a
firmware): it is imported then, in plain integers it is small, and nobody waits for its second.
"""

from tallystick_node import ed25519
from tallystick_node.ed25519_pure import BASE, IDENTITY, ORDER, P, add, double, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.ed25519_pure import Point

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

_D = -121665 * pow(121666, P - 2, P) % P
_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
_SIGN_BIT = 1 << 255
# The y of the eight points of small order; the sign of x does not matter here.
_ORDER_EIGHT_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y = (0, 1, P - 1, _ORDER_EIGHT_Y, P - _ORDER_EIGHT_Y)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds. The numbers are the steps of spec 3.1; wrong sizes are just False."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    commitment, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    if scalar >= ORDER:  # 1
        return False
    if not _is_good(public_key) or not _is_good(commitment):  # 2, 3
        return False
    point = _decode(public_key)
    if point is None:  # 4
        return False
    challenge = int.from_bytes(_sha512(commitment + public_key + message), "little") % ORDER
    return encode(_combine(scalar, challenge, _negative(point))) == commitment  # 5


def _sha512(message: bytes) -> bytes:
    """By the code that the signer has loaded already."""
    if ed25519.slow_because is None:
        from tallystick_node.sha512_viper import digest
    else:
        from tallystick_node.sha512_pure import digest
    return bytes(digest(message))  # type: ignore[no-untyped-call]


def _is_good(encoding: bytes) -> bool:
    """Canonical and not of small order."""
    y = int.from_bytes(encoding, "little") & (_SIGN_BIT - 1)
    return y < P and y not in _SMALL_ORDER_Y


def _decode(encoding: bytes) -> "Point | None":
    """The point (RFC 8032 section 5.1.3); None when no point of the curve has this y."""
    value = int.from_bytes(encoding, "little")
    y = value & (_SIGN_BIT - 1)
    square = y * y % P
    above, below = square - 1, _D * square + 1
    # A candidate for the root of above / below.
    cube = below * below * below % P
    x = above * cube * pow(above * cube * below * below * below * below % P, (P - 5) // 8, P) % P
    check = below * x * x % P
    if check != above % P:
        if check != -above % P:
            return None
        x = x * _ROOT_OF_MINUS_ONE % P
    if x == 0 and value & _SIGN_BIT:
        return None
    if x & 1 != value >> 255:
        x = P - x
    return x, y, 1, x * y % P


def _negative(point: "Point") -> "Point":
    x, y, z, t = point
    return P - x, y, z, P - t


def _combine(scalar: int, challenge: int, point: "Point") -> "Point":
    """scalar * B + challenge * point, in one pass over the bits of both."""
    sums = (IDENTITY, BASE, point, add(BASE, point))
    total = IDENTITY
    for bit in range(252, -1, -1):  # both are below 2^253
        total = double(total)
        chosen = scalar >> bit & 1 | (challenge >> bit & 1) << 1
        if chosen:
            total = add(total, sums[chosen])
    return total
