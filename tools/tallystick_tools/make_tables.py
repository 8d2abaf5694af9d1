"""Makes firmware/tallystick_node/tables.py: what drives the fast Ed25519 of a node, and the constants of SHA-512.

    python -m tallystick_tools.make_tables        writes the file
"""

import math
from itertools import count
from pathlib import Path

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

# A field element: 20 limbs of 13 bits, each kept as an unsigned 16-bit number 2^15 above its value.
LIMBS = 20
LIMB_BITS = 13
BIAS = 1 << 15

# The comb: a scalar is 4 teeth of 64 bits, and each tooth two blocks of 32 columns, with a table for each block.
TEETH = 4
BLOCKS = 2
COLUMNS = 32

# Where the field machine finds its elements: the point, the two table entries of a column, four to work with.
SLOTS = ("X", "Y", "Z", "T", "S0", "D0", "P0", "S1", "D1", "P1", "A", "B", "C", "G")
# A multiplication is coded as how often it is done: then both factors are the result before.
ADD, SUBTRACT = 254, 255

# Twisted Edwards curve, a = -1, extended coordinates (RFC 8032 section 5.1.4). A doubling takes -X in the place of X:
# the second addition leaves it so, and no T, which a doubling does not read. A table entry is S = (y + x) / 2,
# D = (y - x) / 2, P = d * x * y: with the halves Z is not doubled, and sums are small enough to multiply as they are.
DOUBLE = """
T = X + X
T = T * Y
A = X * X
B = Y * Y
C = Z + Z
C = C * Z
G = A - B
A = A + B
C = C + G
X = T * C
Y = G * A
T = T * A
Z = C * G
"""
ADD_0 = """
A = Y - X
A = A * D0
B = Y + X
B = B * S0
C = T * P0
T = B - A
B = B + A
A = Z - C
G = Z + C
X = T * A
Y = G * B
Z = A * G
T = T * B
"""
ADD_1 = """
A = Y - X
A = A * D1
B = Y + X
B = B * S1
C = T * P1
T = A - B
B = B + A
A = Z - C
G = Z + C
X = T * A
Y = G * B
Z = A * G
"""
# Z^(P - 2) = Z^(2^255 - 21): a square n times over is written ^ n. Then x = -(-X) / Z and y = Y / Z.
FINISH = """
A = Z ^ 1
B = A ^ 2
B = B * Z
A = A * B
C = A ^ 1
B = B * C
C = B ^ 5
B = C * B
C = B ^ 10
C = C * B
G = C ^ 20
C = G * C
C = C ^ 10
B = C * B
C = B ^ 50
C = C * B
G = C ^ 100
C = G * C
C = C ^ 50
B = C * B
B = B ^ 5
Z = A * B
A = Y - Y
X = A - X
X = X * Z
Y = Y * Z
"""

Point = tuple[int, int]


def program(text: str) -> bytes:
    """4 bytes a line: operation, target, two sources; the end is a 0."""
    code = []
    for target, _, left, operator, right in map(str.split, text.strip().splitlines()):
        if operator == "^":
            code += [int(right), SLOTS.index(target), SLOTS.index(left), SLOTS.index(left)]
        else:
            operation = {"*": 1, "+": ADD, "-": SUBTRACT}[operator]
            code += [operation, *map(SLOTS.index, (target, left, right))]
    return bytes([*code, 0])


def add(left: Point, right: Point) -> Point:
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2
    x3 = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x3, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def times_base(scalar: int) -> Point:
    y = 4 * pow(5, -1, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    power, found = (min(x, P - x, key=lambda root: root % 2), y), (0, 1)
    for bit in bin(scalar % ORDER)[:1:-1]:
        found = add(found, power) if bit == "1" else found
        power = add(power, power)
    return found


def element(value: int) -> bytes:
    """With limbs from -2^12 to 2^12 - 1."""
    value = (value + P // 2) % P - P // 2
    half, size = 1 << LIMB_BITS - 1, 1 << LIMB_BITS
    data = b""
    for _ in range(LIMBS):
        limb = (value + half) % size - half
        data += (limb + BIAS).to_bytes(2, "little")
        value = (value - limb) // size
    return data


def entry(block: int, teeth: int) -> bytes:
    """Bit n of `teeth` adds or subtracts tooth n; the last tooth is always added."""
    scalar = sum((1 if teeth >> tooth & 1 else -1) << BLOCKS * COLUMNS * tooth for tooth in range(TEETH - 1))
    scalar += 1 << BLOCKS * COLUMNS * (TEETH - 1)
    x, y = times_base(scalar << COLUMNS * block)
    half = (P + 1) // 2
    return element((y + x) * half) + element((y - x) * half) + element(D * x * y)


def comb() -> bytes:
    """The tables of all blocks. In each: the first 32-bit words of its entries, then the second words..."""
    data = b""
    for block in range(BLOCKS):
        entries = [entry(block, teeth) for teeth in range(1 << TEETH - 1)]
        data += b"".join(one[at : at + 4] for at in range(0, len(entries[0]), 4) for one in entries)
    return data


def primes(number: int) -> list[int]:
    found: list[int] = []
    for candidate in count(2):
        if len(found) == number:
            break
        if all(candidate % prime for prime in found):
            found.append(candidate)
    return found


def words(values: list[int]) -> bytes:
    """64-bit numbers as two 32-bit words, high and low, each little-endian."""
    return b"".join((value >> 32).to_bytes(4, "little") + (value % 2**32).to_bytes(4, "little") for value in values)


def cube_root(number: int) -> int:
    root = 1 << -(-number.bit_length() // 3)
    while (better := (2 * root + number // root**2) // 3) < root:
        root = better
    return root


def tables() -> str:
    """The module's text."""
    start = [math.isqrt(prime << 128) % 2**64 for prime in primes(8)]
    rounds = [cube_root(prime << 192) % 2**64 for prime in primes(80)]
    parts = {
        "STEP": program(DOUBLE)[:-1] + program(ADD_0)[:-1] + program(ADD_1),
        "FINISH": program(FINISH),
        "ORDER": ORDER.to_bytes(32, "little"),
        "COMB": comb(),
        "SHA512_START": words(start),
        "SHA512_ROUNDS": words(rounds),
    }
    text = '"""Made by tallystick_tools/make_tables.py, which says what it all means."""\n'
    for name, data in parts.items():
        lines = "".join(f"    {data[at : at + 24]!r}\n" for at in range(0, len(data), 24))
        text += f"\n{name} = (\n{lines})\n"
    return text


if __name__ == "__main__":
    Path(__file__).parents[2].joinpath("firmware/tallystick_node/tables.py").write_text(tables(), "ascii")
