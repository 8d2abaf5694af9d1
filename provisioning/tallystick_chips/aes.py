"""AES-128 as tags use it: one block, CBC without padding, CMAC. The one place that imports `cryptography` for it."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

BLOCK_BYTES = 16
ZERO_IV = bytes(BLOCK_BYTES)


def encrypt_block(key: bytes, block: bytes) -> bytes:
    """One block under `key`: what every construction here is made of."""
    # ECB of a single block is the block cipher itself.
    encryptor = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(block) + encryptor.finalize()


def decrypt_block(key: bytes, block: bytes) -> bytes:
    """The inverse of encrypt_block."""
    decryptor = Cipher(algorithms.AES128(key), modes.ECB()).decryptor()  # noqa: S305
    return decryptor.update(block) + decryptor.finalize()


def encrypt(key: bytes, data: bytes, iv: bytes = ZERO_IV) -> bytes:
    """CBC; `data` is whole blocks."""
    encryptor = Cipher(algorithms.AES128(key), modes.CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def decrypt(key: bytes, data: bytes, iv: bytes = ZERO_IV) -> bytes:
    """CBC; `data` is whole blocks."""
    decryptor = Cipher(algorithms.AES128(key), modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def cmac(key: bytes, message: bytes) -> bytes:
    """The 16 bytes of AES-CMAC (NIST SP 800-38B)."""
    mac = CMAC(algorithms.AES128(key))
    mac.update(message)
    return mac.finalize()


def pad(data: bytes) -> bytes:
    """ISO/IEC 9797-1 padding method 2: 80, then zeros to a whole block; always at least one byte."""
    return data + b"\x80" + bytes(-(len(data) + 1) % BLOCK_BYTES)


def double(block: bytes) -> bytes:
    """The block times x in GF(2^128): how CMAC makes its subkeys."""
    value = int.from_bytes(block, "big") << 1
    if value >> 128:
        value = (value & ((1 << 128) - 1)) ^ 0x87
    return value.to_bytes(BLOCK_BYTES, "big")


def xor(left: bytes, right: bytes) -> bytes:
    """Byte by byte; both have one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
