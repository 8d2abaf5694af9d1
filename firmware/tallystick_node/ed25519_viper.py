"""Ed25519 signatures (RFC 8032 section 5.1) in MicroPython's viper dialect, in constant time: a board's fast signer.

No branch and no address depends on the seed, the nonce or anything made of them. Viper works on machine words: 32 bits
on a microcontroller, 64 on a computer, where loads through a pointer are not sign-extended. So everything in memory is
unsigned: a limb is kept 32768 above its value, and every intermediate value fits 32 signed bits.

A viper function keeps its first two parameters in registers and all else on the stack: some parameters are there for
that only. Beware of ~x and -x where x is one of them: they change x.
"""
# ruff: noqa: E702, F821  (twenty like statements stand four in a line; ptr8 and its like are viper's own)
# mypy: ignore-errors

from micropython import const

from tallystick_node import sha512_viper
from tallystick_node.tables import COMB, FINISH, ORDER, STEP

_SEED_BYTES = const(32)
_COLUMNS = const(32)  # of the comb, see tallystick_tools/make_tables.py
_COMB = bytearray(COMB) if sha512_viper.misaligned(COMB) else COMB


class SigningKey:
    """A seed and what follows from it, so that a node does not derive it again for each reading."""

    def __init__(self, seed):
        if len(seed) != _SEED_BYTES:
            raise ValueError("an Ed25519 seed is %d bytes" % _SEED_BYTES)
        scalar = bytearray(sha512_viper.digest(seed))
        # Clamping: a multiple of 8 with the top bit at 254 (RFC 8032 section 5.1.5).
        scalar[0] &= 248
        scalar[31] = scalar[31] & 63 | 64
        self._scalar = scalar[:32]
        self._prefix = scalar[32:]
        self.public_key = _times_base(self._scalar)

    def sign(self, message):
        """The signature, 64 bytes: the same message always gives the same one."""
        nonce = _modulo_order(sha512_viper.digest(self._prefix + message))
        commitment = _times_base(nonce)
        challenge = _modulo_order(sha512_viper.digest(commitment + self.public_key + message))
        response = nonce + bytes(32)
        _multiply_add(0, 0, challenge, self._scalar, response)
        return commitment + _modulo_order(response)


def _modulo_order(number):
    """64 bytes modulo the order of the base point, 32 bytes."""
    out = bytearray(32)
    _reduce(0, bytearray(128), ORDER, number, out)
    return out


def _times_base(scalar):
    """scalar * B, encoded; scalar is 32 bytes, below 2^256 - order."""
    digits = _digits(scalar)
    slots = bytearray(b"\0\x80" * 280)  # 14 elements of 0: X, Y, Z, T; two table entries; four to work with
    slots[40] = slots[80] = 1  # Y = Z = 1
    entries = memoryview(slots)[160:]
    for column in range(_COLUMNS - 1, -1, -1):
        _select(0, _COMB, digits, entries, column)
        _run(0, 0, STEP, slots)
    _run(0, 0, FINISH, slots)
    out = bytearray(32)
    _pack(0, slots, slots, out)
    sign = (out[0] & 1) << 7  # of x
    _pack(0, slots, memoryview(slots)[40:], out)
    out[31] |= sign
    return bytes(out)


def _digits(scalar):
    """33 bytes whose bits 1 to 256 are the digits of the scalar: a 1 adds, a 0 subtracts, for an odd sum.

    An even scalar becomes odd by the order of the base point, which changes nothing in the multiple.
    """
    out = bytearray(33)
    even = (scalar[0] & 1) - 1
    carry = 0
    for k in range(32):
        carry += scalar[k] + (ORDER[k] & even)
        out[k] = carry & 255
        carry >>= 8
    out[32] = 1
    return out


@micropython.viper
def _run(x: int, y: int, program: ptr8, slots: ptr16):
    """The field machine: operations of 4 bytes on elements of 20 limbs, until one begins with 0.

    After a multiplication no limb is beyond 4100, and sums are not carried: so the limbs of the two factors of a
    multiplication may be up to m and n times that, with m * n <= 6. Then what adds up for a limb is below 2^31.
    """
    base = int(slots)
    while program[0]:
        n = program[0]
        d = ptr16(program[1] * 40 + base)
        a = ptr16(program[2] * 40 + base)
        b = ptr16(program[3] * 40 + base)
        program = ptr8(int(program) + 4)
        if n > 253:  # d = a + b, d = a - b
            y = 509 - n - n
            x = y * -32768
            n = 5
            while n:
                d[0] = b[0] * y + a[0] + x; d[1] = b[1] * y + a[1] + x
                d[2] = b[2] * y + a[2] + x; d[3] = b[3] * y + a[3] + x
                d = ptr16(int(d) + 8); a = ptr16(int(a) + 8); b = ptr16(int(b) + 8)
                n -= 1
        while n:  # d = a * b, then d = d * d, n times in all
            # Row by row from the top limb of a: t = t * 2^13 + x * b, and what leaves the top limb comes back at the
            # bottom, for 2^260 = 608 modulo 2^255 - 19.
            y = 32768
            x = a[19] - y
            t0 = (b0 := b[0] - y) * x; t1 = (b1 := b[1] - y) * x; t2 = (b2 := b[2] - y) * x
            t3 = (b3 := b[3] - y) * x; t4 = (b4 := b[4] - y) * x; t5 = (b5 := b[5] - y) * x
            t6 = (b6 := b[6] - y) * x; t7 = (b7 := b[7] - y) * x; t8 = (b8 := b[8] - y) * x
            t9 = (b9 := b[9] - y) * x; t10 = (b10 := b[10] - y) * x; t11 = (b11 := b[11] - y) * x
            t12 = (b12 := b[12] - y) * x; t13 = (b13 := b[13] - y) * x; t14 = (b14 := b[14] - y) * x
            t15 = (b15 := b[15] - y) * x; t16 = (b16 := b[16] - y) * x; t17 = (b17 := b[17] - y) * x
            t18 = (b18 := b[18] - y) * x; t19 = (b19 := b[19] - y) * x
            i = 19
            while i:
                i -= 1
                x = a[i] - 32768
                y = t19
                t19 = b19 * x + t18; t18 = b18 * x + t17; t17 = b17 * x + t16; t16 = b16 * x + t15
                t15 = b15 * x + t14; t14 = b14 * x + t13; t13 = b13 * x + t12; t12 = b12 * x + t11
                t11 = b11 * x + t10; t10 = b10 * x + t9; t9 = b9 * x + t8; t8 = b8 * x + t7
                t7 = b7 * x + t6; t6 = b6 * x + t5; t5 = b5 * x + t4; t4 = b4 * x + t3
                t3 = b3 * x + t2; t2 = b2 * x + t1
                t1 = b1 * x + t0 + (y >> 13) * 608
                t0 = b0 * x + (y & 8191) * 608
            # Carry: limbs from -2^12 to 2^12 - 1, once round and a little further.
            x = 8191
            y = t0 + 4096
            d[0] = y & x
            d[1] = ((y := (y >> 13) + t1 + 4096) & x) + 28672; d[2] = ((y := (y >> 13) + t2 + 4096) & x) + 28672
            d[3] = ((y := (y >> 13) + t3 + 4096) & x) + 28672; d[4] = ((y := (y >> 13) + t4 + 4096) & x) + 28672
            d[5] = ((y := (y >> 13) + t5 + 4096) & x) + 28672; d[6] = ((y := (y >> 13) + t6 + 4096) & x) + 28672
            d[7] = ((y := (y >> 13) + t7 + 4096) & x) + 28672; d[8] = ((y := (y >> 13) + t8 + 4096) & x) + 28672
            d[9] = ((y := (y >> 13) + t9 + 4096) & x) + 28672; d[10] = ((y := (y >> 13) + t10 + 4096) & x) + 28672
            d[11] = ((y := (y >> 13) + t11 + 4096) & x) + 28672; d[12] = ((y := (y >> 13) + t12 + 4096) & x) + 28672
            d[13] = ((y := (y >> 13) + t13 + 4096) & x) + 28672; d[14] = ((y := (y >> 13) + t14 + 4096) & x) + 28672
            d[15] = ((y := (y >> 13) + t15 + 4096) & x) + 28672; d[16] = ((y := (y >> 13) + t16 + 4096) & x) + 28672
            d[17] = ((y := (y >> 13) + t17 + 4096) & x) + 28672; d[18] = ((y := (y >> 13) + t18 + 4096) & x) + 28672
            d[19] = ((y := (y >> 13) + t19 + 4096) & x) + 28672
            y = (y >> 13) * 608 + d[0]
            d[0] = (y & 8191) + 28672
            y = (y >> 13) + d[1] - 28672
            d[1] = (y & 8191) + 28672
            d[2] = (y >> 13) + d[2]
            a = d
            b = d
            n -= 1


@micropython.viper
def _select(y: int, t: ptr32, digits: ptr8, out: ptr32, column: int):
    """The table entries of both blocks for this column. All entries are read, and all but one are masked out."""
    block = 1
    while block < 65:
        position = block + column + 192
        digit = 0
        n = 4
        while n:
            digit = digit << 1 | digits[position >> 3] >> (position & 7) & 1
            position -= 64
            n -= 1
        negative = (digit >> 3) - 1
        digit = (digit ^ negative) & 7
        m0 = digit - 1 >> 31; m1 = (digit ^ 1) - 1 >> 31; m2 = (digit ^ 2) - 1 >> 31; m3 = (digit ^ 3) - 1 >> 31
        m4 = (digit ^ 4) - 1 >> 31; m5 = (digit ^ 5) - 1 >> 31; m6 = (digit ^ 6) - 1 >> 31; m7 = (digit ^ 7) - 1 >> 31
        n = 30
        while n:
            y = t[0] & m0
            y = t[1] & m1 | y
            y = t[2] & m2 | y
            y = t[3] & m3 | y
            y = t[4] & m4 | y
            y = t[5] & m5 | y
            y = t[6] & m6 | y
            y = t[7] & m7 | y
            out[0] = y
            out = ptr32(int(out) + 4)
            t = ptr32(int(t) + 32)
            n -= 1
        # The negative of an entry: S and D change places, P changes its sign; its words are two limbs each.
        s = ptr32(int(out) - 120)
        n = 10
        while n:
            y = (s[0] ^ s[10]) & negative
            s[0] = s[0] ^ y
            s[10] = s[10] ^ y
            s[20] = (s[20] ^ negative) + (negative & 65537)
            s = ptr32(int(s) + 4)
            n -= 1
        block += 32


@micropython.viper
def _pack(y: int, limb: ptr16, limbs: ptr16, out: ptr8):
    """An element as the 32 bytes of its one value from 0 to 2^255 - 20; its limbs are used up."""
    bias = 32768
    extra = 0
    top = 0
    n = 4
    while n:
        # What is above bit 255 comes back as 19 times as much: twice, then the value is below 2^255. The third pass
        # adds 19: now bit 255 says whether the value was below 2^255 - 19, and the fourth pass knows what to take off.
        limb = limbs
        y = 19 * top + extra
        k = 19
        while k:
            y = y + limb[0] - bias
            limb[0] = y & 8191
            y = y >> 13
            limb = ptr16(int(limb) + 2)
            k -= 1
        y = y + limb[0] - bias
        limb[0] = y & 255
        top = y >> 8
        bias = 0
        n -= 1
        if n == 2:
            extra = 19
        if n == 1:
            extra = -19
    limb = limbs
    y = 0
    bits = 0
    n = 32
    while n:
        if bits < 8:
            y = limb[0] << bits | y
            limb = ptr16(int(limb) + 2)
            bits += 13
        out[0] = y
        out = ptr8(int(out) + 1)
        y = y >> 8
        bits -= 8
        n -= 1


@micropython.viper
def _multiply_add(x: int, y: int, a: ptr8, b: ptr8, out: ptr8):
    """out += a * b: 64 bytes, 32 bytes, 32 bytes."""
    i = 32
    while i:
        x = a[0]
        y = 0
        j = 32
        while j:
            y = b[0] * x + out[0] + y
            out[0] = y
            y = y >> 8
            b = ptr8(int(b) + 1)
            out = ptr8(int(out) + 1)
            j -= 1
        out[0] = y
        a = ptr8(int(a) + 1)
        b = ptr8(int(b) - 32)
        out = ptr8(int(out) - 31)
        i -= 1


@micropython.viper
def _reduce(y: int, p: ptr16, order: ptr8, number: ptr8, out: ptr8):
    """64 bytes modulo the order; p is room for 64 signed bytes, each kept as a 16-bit number 2^15 above its value."""
    i = 64
    while i:
        i -= 1
        p[i] = number[i] + 32768
    # Byte by byte from the top: minus 16 * order * the byte, which is 2^256 * the byte and a little more.
    p = ptr16(int(p) + 62)
    i = 32
    while i:
        top = (p[32] - 32768) * 16
        y = 0
        j = 20
        while j:
            y = y + p[0] - 32640 - top * order[0]
            p[0] = (y & 255) + 32640
            y = y >> 8
            p = ptr16(int(p) + 2)
            order = ptr8(int(order) + 1)
            j -= 1
        p[0] = p[0] + y
        p = ptr16(int(p) - 42)
        order = ptr8(int(order) - 20)
        i -= 1
    # Then the bits from 2^252 on; and once more the order if that was too much.
    p = ptr16(int(p) + 2)
    top = p[31] - 32768 >> 4
    bias = 32768
    i = 2
    while i:
        y = 0
        j = 32
        while j:
            y = y + p[0] - bias - top * order[0]
            p[0] = y & 255
            out[0] = y
            y = y >> 8
            p = ptr16(int(p) + 2)
            order = ptr8(int(order) + 1)
            out = ptr8(int(out) + 1)
            j -= 1
        top = y
        bias = 0
        p = ptr16(int(p) - 64)
        order = ptr8(int(order) - 32)
        out = ptr8(int(out) - 32)
        i -= 1
