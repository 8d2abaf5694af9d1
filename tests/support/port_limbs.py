"""Runs in MicroPython: the field machine of the fast signer on the largest limbs that it promises to bear.

Only 32-bit words show whether a sum of products overflows. MicroPython subset.
"""

from tallystick_node import ed25519_viper

P = (1 << 255) - 19
BIAS = 1 << 15
LIMBS = 20
CARRIED = 4100  # the largest limb after a multiplication
MULTIPLY = b"\x01\x02\x00\x01\x00"  # slot 2 = slot 0 * slot 1
SQUARE_3 = b"\x03\x02\x00\x00\x00"  # slot 2 = slot 0 to the power of 8
ADD = b"\xfe\x02\x00\x01\x00"
SUBTRACT = b"\xff\x02\x00\x01\x00"
# Signs of the 20 limbs: all alike, changing, changing in pairs, one against all...
SIGNS = [0, 0xFFFFF, 0x55555, 0xAAAAA, 0x33333, 0xCCCCC, 1, 0x80000, 0x7FFFF, 0xFFFFE, 0x0F0F0, 0x3C5A6, 0x00400]
FACTORS = [(1, 1), (1, 6), (6, 1), (2, 3), (3, 2), (2, 2), (1, 3)]


def limbs(signs: int, size: int) -> "list[int]":
    return [-size if signs >> k & 1 else size for k in range(LIMBS)]


def element(values: "list[int]") -> bytes:
    return b"".join([(value + BIAS).to_bytes(2, "little") for value in values])


def values(data: bytearray) -> "list[int]":
    return [int.from_bytes(data[2 * k : 2 * k + 2], "little") - BIAS for k in range(LIMBS)]


def number(some: "list[int]") -> int:
    return sum([value << 13 * k for k, value in enumerate(some)]) % P


def run(program: bytes, left: "list[int]", right: "list[int]") -> "list[int]":
    slots = bytearray(element(left) + element(right) + bytes(2 * LIMBS))
    ed25519_viper._run(0, 0, program, slots)
    return values(slots[4 * LIMBS :])


def check(program: bytes, left: "list[int]", right: "list[int]", expected: int) -> int:
    found = run(program, left, right)
    if number(found) != expected % P:
        raise ValueError(f"wrong: {program[0]} {left} {right}")
    return max([abs(value) for value in found])


def main() -> None:
    count = 0
    largest = 0
    for m, n in FACTORS:
        for signs in SIGNS:
            for other in SIGNS:
                left, right = limbs(signs, m * CARRIED), limbs(other, n * CARRIED)
                largest = max(largest, check(MULTIPLY, left, right, number(left) * number(right)))
                count += 1
    for signs in SIGNS:
        left = limbs(signs, 2 * CARRIED)
        largest = max(largest, check(SQUARE_3, left, left, pow(number(left), 8, P)))
        for other in SIGNS:
            right = limbs(other, CARRIED)
            check(ADD, left, right, number(left) + number(right))
            check(SUBTRACT, left, right, number(left) - number(right))
            count += 3
    print(count, largest)


main()
