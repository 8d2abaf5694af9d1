"""LRP, the leakage resilient primitive of NXP's AN12304: what a 424 in LRP mode makes its links with. Pure.

The names are those of the application note. A nibble of the input chooses the next plaintext of 16, so that a tag
never encrypts two texts that an attacker chose under one key.
"""

from collections.abc import Iterable

from tallystick_chips import aes

_PLAINTEXTS = 16
_SPREAD = bytes([0x55]) * aes.BLOCK_BYTES
_TAKE = bytes([0xAA]) * aes.BLOCK_BYTES
_ZERO = bytes(aes.BLOCK_BYTES)


class Lrp:
    """The plaintexts and updated keys of one key (AN12304 algorithms 1 and 2)."""

    def __init__(self, key: bytes) -> None:
        self.plaintexts = tuple(_chain(aes.encrypt_block(key, _SPREAD), _PLAINTEXTS))
        self._updated = aes.encrypt_block(key, _TAKE)

    def updated_key(self, index: int) -> bytes:
        """The updated key of one purpose: 0 makes MACs, 1 encrypts."""
        return tuple(_chain(self._updated, index + 1))[index]

    def evaluate(self, updated_key: bytes, nibbles: Iterable[int], final: bool = True) -> bytes:
        """evalLRP (algorithm 3)."""
        value = updated_key
        for nibble in nibbles:
            value = aes.encrypt_block(value, self.plaintexts[nibble])
        return aes.encrypt_block(value, _ZERO) if final else value

    def decrypt(self, updated_key: bytes, data: bytes, counter: bytes) -> bytes:
        """LRICB decryption (algorithm 5); `data` is whole blocks, `counter` is counted up from block to block."""
        text, width, count = b"", len(counter), int.from_bytes(counter, "big")
        for start in range(0, len(data), aes.BLOCK_BYTES):
            key = self.evaluate(updated_key, nibbles_of((count % (1 << (8 * width))).to_bytes(width, "big")))
            text += aes.decrypt_block(key, data[start : start + aes.BLOCK_BYTES])
            count += 1
        return text

    def cmac(self, updated_key: bytes, message: bytes) -> bytes:
        """CMAC with evalLRP in the place of the block cipher (algorithm 6)."""
        subkey = aes.double(self.evaluate(updated_key, nibbles_of(_ZERO)))
        last_start = max(0, len(message) - 1) // aes.BLOCK_BYTES * aes.BLOCK_BYTES
        last = message[last_start:]
        if len(last) < aes.BLOCK_BYTES:
            last, subkey = aes.pad(last), aes.double(subkey)
        value = _ZERO
        for start in range(0, last_start, aes.BLOCK_BYTES):
            block = message[start : start + aes.BLOCK_BYTES]
            value = self.evaluate(updated_key, nibbles_of(aes.xor(block, value)))
        return self.evaluate(updated_key, nibbles_of(aes.xor(aes.xor(last, value), subkey)))


def nibbles_of(data: bytes) -> list[int]:
    """The half bytes, the upper one first."""
    return [half for byte in data for half in (byte >> 4, byte & 15)]


def _chain(value: bytes, count: int) -> Iterable[bytes]:
    for _ in range(count):
        yield aes.encrypt_block(value, _TAKE)
        value = aes.encrypt_block(value, _SPREAD)
