"""LRP mode of NTAG 424 DNA as the chip computes it (AN12304; data sheet NT4H2421Gx, 9.2 and 9.3).

LRP makes a new key of one of 16 precomputed plaintexts for every four bits of input, so that no key is used twice.
"""

from tallystick_emulators.tag_ntag424_crypto import (
    BLOCK,
    decrypt_block,
    encrypt_block,
    padded,
    session_context,
    truncated,
)
from tallystick_emulators.tag_ntag424_crypto import unpadded as without_padding

_LEFT, _RIGHT = b"\x55" * BLOCK, b"\xaa" * BLOCK


class LrpKey:
    """Plaintexts of a key and one of its updated keys (generatePlaintexts, generateUpdatedKeys)."""

    def __init__(self, key: bytes, update: int = 0) -> None:
        self._plaintexts = []
        step = encrypt_block(key, _LEFT)
        for _ in range(16):
            self._plaintexts.append(encrypt_block(step, _RIGHT))
            step = encrypt_block(step, _LEFT)
        step = encrypt_block(key, _RIGHT)
        for _ in range(update):
            step = encrypt_block(step, _LEFT)
        self._updated = encrypt_block(step, _RIGHT)

    def evaluate(self, data: bytes) -> bytes:
        """evalLRP with finalisation, over the half-bytes of `data`, high one first."""
        result = self._updated
        for byte in data:
            for half in (byte >> 4, byte & 15):
                result = encrypt_block(result, self._plaintexts[half])
        return encrypt_block(result, bytes(BLOCK))

    def cmac(self, data: bytes) -> bytes:
        """CMAC_LRP, 16 bytes."""
        first = _doubled(self.evaluate(bytes(BLOCK)))
        blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
        last = blocks.pop()
        whole = len(last) == BLOCK
        last = _xor(last if whole else padded(last), first if whole else _doubled(first))
        state = bytes(BLOCK)
        for block in [*blocks, last]:
            state = self.evaluate(_xor(state, block))
        return state

    def encrypt(self, counter: bytes, data: bytes) -> bytes:
        """LRICB: block n under the key that counter + n gives. `data` is whole blocks."""
        return b"".join(encrypt_block(key, block) for key, block in self._keyed(counter, data))

    def decrypt(self, counter: bytes, data: bytes) -> bytes:
        return b"".join(decrypt_block(key, block) for key, block in self._keyed(counter, data))

    def _keyed(self, counter: bytes, data: bytes) -> list[tuple[bytes, bytes]]:
        start, size = int.from_bytes(counter), len(counter)
        return [
            (self.evaluate(((start + at // BLOCK) % (1 << 8 * size)).to_bytes(size)), data[at : at + BLOCK])
            for at in range(0, len(data), BLOCK)
        ]


class LrpSession:
    """Keys of 9.2.7 and how they are used; the encryption counter rises with every block."""

    def __init__(self, key: bytes, random_a: bytes, random_b: bytes, ti: bytes) -> None:
        vector = bytes.fromhex("00010080") + session_context(random_a, random_b) + bytes.fromhex("9669")
        master = LrpKey(key).cmac(vector)
        self.ti = ti
        self._mac_key, self._encryption_key = LrpKey(master, 0), LrpKey(master, 1)
        self._blocks = 0

    def whole_mac(self, data: bytes) -> bytes:
        """16 bytes, as in the authentication."""
        return self._mac_key.cmac(data)

    def mac(self, data: bytes) -> bytes:
        return truncated(self._mac_key.cmac(data))

    def encrypt_blocks(self, data: bytes) -> bytes:
        result = self._encryption_key.encrypt(self._blocks.to_bytes(4), data)
        self._blocks += len(data) // BLOCK
        return result

    def decrypt_command(self, counter: int, data: bytes) -> bytes | None:
        if not data or len(data) % BLOCK:
            return None
        plain = self._encryption_key.decrypt(self._blocks.to_bytes(4), data)
        self._blocks += len(data) // BLOCK
        return without_padding(plain)

    def encrypt_response(self, counter: int, data: bytes) -> bytes:
        return self.encrypt_blocks(padded(data))


class LrpMirror:
    """What Secure Dynamic Messaging puts into the file (9.3.4 to 9.3.9), LRP mode."""

    picc_data_bytes = 24
    random_bytes = 8

    @staticmethod
    def picc_data(key: bytes, random: bytes, plain: bytes) -> bytes:
        return random + LrpKey(key).encrypt(random, plain)

    def __init__(self, key: bytes, uid: bytes, counter: bytes) -> None:
        """`uid` and `counter` (least significant byte first) are empty where they are not mirrored."""
        context = uid + counter
        context += bytes(-(4 + len(context) + 2) % BLOCK)
        master = LrpKey(key).cmac(bytes.fromhex("00010080") + context + bytes.fromhex("1EE1"))
        self._mac_key, self._encryption_key = LrpKey(master, 0), LrpKey(master, 1)
        self._counter = counter

    def encrypted(self, data: bytes) -> bytes:
        return self._encryption_key.encrypt(self._counter + bytes(3), data)

    def mac(self, data: bytes) -> bytes:
        return truncated(self._mac_key.cmac(data))


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _doubled(block: bytes) -> bytes:
    """Times x in GF(2^128), as CMAC's subkeys."""
    value = int.from_bytes(block) << 1
    if value >> 128:
        value ^= 1 << 128 | 0x87
    return value.to_bytes(BLOCK)
