"""Ed25519 signatures (RFC 8032 section 5.1) in plain integers: for a board whose MicroPython has no viper, and CPython.

Not constant time: Python integers are not. Whoever can time single operations on the board holds the board already,
and can read the seed out of its flash.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T: x = X/Z, y = Y/Z, x*y = T/Z

_SEED_BYTES = 32

P = (1 << 255) - 19
ORDER = (1 << 252) + 27742317777372353535851937790883648493
_D2 = 2 * -121665 * pow(121666, P - 2, P) % P
IDENTITY = (0, 1, 1, 0)
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE_Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960
BASE = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P)

# A comb: a scalar is 4 rows of 64 bits, and one table of the 16 sums of rows serves all 64 columns.
_ROWS = 4
_COLUMNS = 64
_comb: "list[Point]" = []  # made at first use: about the work of one signature


class SigningKey:
    """A seed and what follows from it, so that a node does not derive it again for each reading."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _SEED_BYTES:
            raise ValueError("an Ed25519 seed is %d bytes" % _SEED_BYTES)
        expanded = _sha512(seed)
        # Clamping: a multiple of 8 with the top bit at 254 (RFC 8032 section 5.1.5).
        scalar = int.from_bytes(expanded[:32], "little")
        self._scalar = scalar & ((1 << 254) - 8) | 1 << 254
        self._prefix = expanded[32:]
        self.public_key = encode(_times_base(self._scalar))

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes: the same message always gives the same one."""
        nonce = _hash_to_scalar(self._prefix + message)
        commitment = encode(_times_base(nonce))
        challenge = _hash_to_scalar(commitment + self.public_key + message)
        return commitment + ((nonce + challenge * self._scalar) % ORDER).to_bytes(32, "little")


def _sha512(data: bytes) -> bytes:
    from tallystick_node import sha512_pure  # only who signs pays for it: a verifier takes points from this module

    return sha512_pure.digest(data)


def _hash_to_scalar(data: bytes) -> int:
    return int.from_bytes(_sha512(data), "little") % ORDER


def encode(point: "Point") -> bytes:
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def _times_base(scalar: int) -> "Point":
    """scalar * B, 0 <= scalar < 2^256: 63 doublings and 64 additions."""
    if not _comb:
        _fill_comb()
    point = IDENTITY
    for column in range(_COLUMNS - 1, -1, -1):
        if column < _COLUMNS - 1:
            point = double(point)
        bits = scalar >> column
        teeth = bits & 1 | bits >> 63 & 2 | bits >> 126 & 4 | bits >> 189 & 8
        point = add(point, _comb[teeth])
    return point


def _fill_comb() -> None:
    """_comb[teeth] = the sum of 2^(64 * row) * B over the rows set in `teeth`."""
    table: "list[Point]" = [IDENTITY]
    power = BASE
    for row in range(_ROWS):
        table += [add(point, power) for point in table]
        for _ in range(_COLUMNS if row < _ROWS - 1 else 0):
            power = double(power)
    _comb.extend(table)


def add(left: "Point", right: "Point") -> "Point":
    """The complete addition law for a = -1 (RFC 8032 section 5.1.4): holds for the identity and for equal points."""
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2) % P
    b = (y1 + x1) * (y2 + x2) % P
    c = t1 * _D2 * t2 % P
    d = 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def double(point: "Point") -> "Point":
    x, y, z, _ = point
    a = x * x % P
    b = y * y % P
    h = a + b
    e = h - (x + y) * (x + y) % P
    g = a - b
    f = 2 * z * z % P + g
    return e * f % P, g * h % P, f * g % P, e * h % P
