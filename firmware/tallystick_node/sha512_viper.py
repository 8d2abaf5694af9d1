"""SHA-512 (FIPS 180-4) in MicroPython's viper dialect: no stock port has it, and Ed25519 needs it. In constant time.

A word is two unsigned halves of 32 bits, high and low, because viper has 32 bits on a microcontroller. On a computer it
has 64: there `m` keeps what must not grow beyond 32. A carry is computed, not compared: small cores branch to compare.
A viper function keeps its first two parameters in registers: what adds up in `s` is short and fast.
"""
# ruff: noqa: E702, F821  (the steps of a sum stand in one line; ptr8 and its like are viper's own)
# mypy: ignore-errors

from micropython import const

from tallystick_node.tables import SHA512_ROUNDS, SHA512_START

_DIGEST_BYTES = const(64)
_BLOCK_BYTES = const(128)
_WORDS_BYTES = const(640)  # the 80 words of a block's schedule


@micropython.viper
def misaligned(data: ptr8) -> int:
    """Not 0 where words cannot be read: the constants of a frozen module may lie anywhere in flash."""
    return int(data) & 3


_ROUNDS = bytearray(SHA512_ROUNDS) if misaligned(SHA512_ROUNDS) else SHA512_ROUNDS


def digest(message):
    """SHA-512 of `message`, 64 bytes."""
    length = len(message)
    padded = message + b"\x80" + bytes((111 - length) % _BLOCK_BYTES + 8) + (8 * length).to_bytes(8, "big")
    state = bytearray(SHA512_START)
    words = bytearray(_WORDS_BYTES)
    for start in range(0, len(padded), _BLOCK_BYTES):
        _schedule(0, 0, padded, start, words)
        _compress(0, 0, state, words, _ROUNDS)
    return words[_DIGEST_BYTES : 2 * _DIGEST_BYTES]


@micropython.viper
def _schedule(m: uint, s: uint, data: ptr8, start: int, p: ptr32):
    """The 80 words of the block that begins at `start`."""
    s = uint(1); m = (s << 31 << 1) - s
    data = ptr8(int(data) + start)
    n = 32
    while n:
        p[0] = data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3]
        p = ptr32(int(p) + 4); data = ptr8(int(data) + 4)
        n -= 1
    p = ptr32(int(p) - 128)
    n = 64
    while n:
        # The small sigmas of the words 15 and 2 before. Pieces of a rotation share no bit: ^ puts them together.
        xh = uint(p[2]); xl = uint(p[3])
        s = xh >> 1; s = xl << 31 ^ s; s = xh >> 8 ^ s; s = xl << 24 ^ s; s = xh >> 7 ^ s
        h = s
        s = xl >> 1; s = xh << 31 ^ s; s = xl >> 8 ^ s; s = xh << 24 ^ s; s = xl >> 7 ^ s; s = xh << 25 ^ s
        xh = s & m
        yh = uint(p[28]); yl = uint(p[29])
        s = yh >> 19; s = yl << 13 ^ s; s = yl >> 29 ^ s; s = yh << 3 ^ s; s = yh >> 6 ^ s
        h = h + s + uint(p[0]) + uint(p[18])
        s = yl >> 19; s = yh << 13 ^ s; s = yh >> 29 ^ s; s = yl << 3 ^ s; s = yl >> 6 ^ s; s = yh << 26 ^ s
        yl = s & m
        # Low halves are summed in halves of their own, so that the carry is there to be taken.
        s = xh & 65535; s = (yl & 65535) + s; s = uint(p[1] & 65535) + s; s = uint(p[19] & 65535) + s
        xl = s & 65535
        s = s >> 16; s = (xh >> 16) + s; s = (yl >> 16) + s; s = (uint(p[1]) >> 16) + s; s = (uint(p[19]) >> 16) + s
        p[32] = (s >> 16) + h; p[33] = s << 16 | xl
        p = ptr32(int(p) + 8)
        n -= 1


@micropython.viper
def _compress(m: uint, s: uint, state: ptr32, w: ptr32, k: ptr32):
    """One block into the state. The second 64 bytes of `w` are then the state, high bytes first."""
    s = uint(1); m = (s << 31 << 1) - s
    ah = uint(state[0]); al = uint(state[1]); bh = uint(state[2]); bl = uint(state[3])
    ch = uint(state[4]); cl = uint(state[5]); dh = uint(state[6]); dl = uint(state[7])
    eh = uint(state[8]); el = uint(state[9]); fh = uint(state[10]); fl = uint(state[11])
    gh = uint(state[12]); gl = uint(state[13]); hh = uint(state[14]); hl = uint(state[15])
    p = w
    n = 80
    while n:
        # First sum: h, the big sigma of e, the choice of e between f and g, word and constant of the round.
        s = eh >> 14; s = el << 18 ^ s; s = eh >> 18 ^ s; s = el << 14 ^ s; s = el >> 9 ^ s; s = eh << 23 ^ s
        s = hh + s; s = uint(p[0]) + s; s = uint(k[0]) + s
        h = (gh ^ eh & (fh ^ gh)) + s
        s = el >> 14; s = eh << 18 ^ s; s = el >> 18 ^ s; s = eh << 14 ^ s; s = eh >> 9 ^ s; s = el << 23 ^ s
        xl = s & m
        yl = gl ^ el & (fl ^ gl)
        s = xl & 65535; s = (yl & 65535) + s; s = (hl & 65535) + s
        s = uint(p[1] & 65535) + s; s = uint(k[1] & 65535) + s
        xh = s & 65535
        s = s >> 16; s = (xl >> 16) + s; s = (yl >> 16) + s; s = (hl >> 16) + s
        s = (uint(p[1]) >> 16) + s; s = (uint(k[1]) >> 16) + s
        h = (s >> 16) + h
        yl = s << 16 & m | xh
        hh = gh; hl = gl; gh = fh; gl = fl; fh = eh; fl = el
        # e = d + first sum
        s = dl + yl & m
        eh = ((dl & yl | (dl | yl) & (s ^ m)) >> 31) + dh + h & m
        el = s
        dh = ch; dl = cl
        # a = first sum + the big sigma of a + the majority of a, b, c
        s = ah >> 28; s = al << 4 ^ s; s = al >> 2 ^ s; s = ah << 30 ^ s; s = al >> 7 ^ s; s = ah << 25 ^ s
        h = (ah & bh | ch & (ah | bh)) + h + s
        s = al >> 28; s = ah << 4 ^ s; s = ah >> 2 ^ s; s = al << 30 ^ s; s = ah >> 7 ^ s; s = al << 25 ^ s
        xl = s & m
        cl = al & bl | cl & (al | bl)
        s = xl & 65535; s = (yl & 65535) + s; s = (cl & 65535) + s
        xh = s & 65535
        s = s >> 16; s = (xl >> 16) + s; s = (yl >> 16) + s; s = (cl >> 16) + s
        ch = bh; cl = bl; bh = ah; bl = al
        ah = (s >> 16) + h & m; al = s << 16 & m | xh
        p = ptr32(int(p) + 8); k = ptr32(int(k) + 8)
        n -= 1
    w[0] = ah; w[1] = al; w[2] = bh; w[3] = bl; w[4] = ch; w[5] = cl; w[6] = dh; w[7] = dl
    w[8] = eh; w[9] = el; w[10] = fh; w[11] = fl; w[12] = gh; w[13] = gl; w[14] = hh; w[15] = hl
    out = ptr8(int(w) + 64)
    n = 8
    while n:
        xl = uint(w[1]); yl = uint(state[1])
        s = xl + yl & m
        h = ((xl & yl | (xl | yl) & (s ^ m)) >> 31) + uint(w[0]) + uint(state[0])
        state[0] = h; state[1] = s
        out[0] = h >> 24; out[1] = h >> 16; out[2] = h >> 8; out[3] = h
        out[4] = s >> 24; out[5] = s >> 16; out[6] = s >> 8; out[7] = s
        w = ptr32(int(w) + 8); state = ptr32(int(state) + 8); out = ptr8(int(out) + 8)
        n -= 1
