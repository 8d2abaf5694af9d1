"""AES mode of NTAG 424 DNA as the chip computes it (data sheet NT4H2421Gx, 9.1 and 9.3).

Written for the emulator alone: the reader's side lives in provisioning and was written apart from this, so that a
mistake in one of them shows.
"""

import zlib
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC

BLOCK = 16
ZERO_IV = bytes(BLOCK)


def encrypt_block(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 - single blocks only
    return encryptor.update(block)


def decrypt_block(key: bytes, block: bytes) -> bytes:
    decryptor = Cipher(AES(key), ECB()).decryptor()  # noqa: S305 - single blocks only
    return decryptor.update(block)


def encrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(AES(key), CBC(iv)).encryptor().update(data)


def decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(AES(key), CBC(iv)).decryptor().update(data)


def cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def truncated(mac: bytes) -> bytes:
    """Eight of sixteen bytes: those with even numbers, counted from 1 (9.1.3)."""
    return mac[1::2]


def padded(data: bytes) -> bytes:
    """ISO 9797-1 method 2: 80h, then zeros; always at least one byte."""
    return data + b"\x80" + bytes(-(len(data) + 1) % BLOCK)


def unpadded(data: bytes) -> bytes | None:
    """None when this is no padding."""
    stripped = data.rstrip(b"\0")
    if len(data) % BLOCK or not stripped.endswith(b"\x80") or len(data) - len(stripped) >= BLOCK:
        return None
    return stripped[:-1]


def crc32_of_key(key: bytes) -> bytes:
    """The check value in ChangeKey: IEEE 802.3 without its final inversion, least significant byte first."""
    return (zlib.crc32(key) ^ 0xFFFFFFFF).to_bytes(4, "little")


def session_context(random_a: bytes, random_b: bytes) -> bytes:
    """The 26 bytes of 9.1.7 that both modes derive session keys from."""
    mixed = bytes(a ^ b for a, b in zip(random_a[2:8], random_b[:6], strict=True))
    return random_a[:2] + mixed + random_b[6:] + random_a[8:]


class Session(Protocol):
    """Secure messaging after an authentication. `ti` is the transaction identifier."""

    ti: bytes

    def mac(self, data: bytes) -> bytes:
        """Eight bytes."""

    def decrypt_command(self, counter: int, data: bytes) -> bytes | None:
        """Command data without padding; None when its length or padding is wrong."""

    def encrypt_response(self, counter: int, data: bytes) -> bytes:
        """Response data, padded."""


class AesSession:
    """Keys of 9.1.7 and how they are used (9.1.3, 9.1.4)."""

    def __init__(self, key: bytes, random_a: bytes, random_b: bytes, ti: bytes) -> None:
        context = session_context(random_a, random_b)
        self.ti = ti
        self.encryption_key = cmac(key, bytes.fromhex("A55A00010080") + context)
        self.mac_key = cmac(key, bytes.fromhex("5AA500010080") + context)

    def mac(self, data: bytes) -> bytes:
        return truncated(cmac(self.mac_key, data))

    def decrypt_command(self, counter: int, data: bytes) -> bytes | None:
        if not data or len(data) % BLOCK:
            return None
        return unpadded(decrypt(self.encryption_key, self._iv(b"\xa5\x5a", counter), data))

    def encrypt_response(self, counter: int, data: bytes) -> bytes:
        return encrypt(self.encryption_key, self._iv(b"\x5a\xa5", counter), padded(data))

    def _iv(self, label: bytes, counter: int) -> bytes:
        return encrypt_block(self.encryption_key, label + self.ti + counter.to_bytes(2, "little") + bytes(8))


class AesMirror:
    """What Secure Dynamic Messaging puts into the file (9.3.4 to 9.3.9), AES mode."""

    picc_data_bytes = 16
    random_bytes = 0  # in front of the encrypted PICC data

    @staticmethod
    def picc_data(key: bytes, random: bytes, plain: bytes) -> bytes:
        return encrypt(key, ZERO_IV, plain)

    def __init__(self, key: bytes, uid: bytes, counter: bytes) -> None:
        """`uid` and `counter` (least significant byte first) are empty where they are not mirrored."""
        context = uid + counter
        context += bytes(-(6 + len(context)) % BLOCK)
        self._counter = counter
        self._encryption_key = cmac(key, bytes.fromhex("C33C00010080") + context)
        self._mac_key = cmac(key, bytes.fromhex("3CC300010080") + context)

    def encrypted(self, data: bytes) -> bytes:
        iv = encrypt_block(self._encryption_key, self._counter + bytes(BLOCK - len(self._counter)))
        return encrypt(self._encryption_key, iv, data)

    def mac(self, data: bytes) -> bytes:
        return truncated(cmac(self._mac_key, data))
