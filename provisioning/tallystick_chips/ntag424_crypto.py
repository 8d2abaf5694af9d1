"""The cryptography of an NTAG 424 DNA's secure messaging, AES mode (NT4H2421Gx chapter 9, AN12196). Pure."""

import hmac
import zlib
from dataclasses import dataclass

from tallystick_chips import aes
from tallystick_provisioning.errors import TagAnswerError

RANDOM_BYTES = 16
TRANSACTION_BYTES = 4
MAC_BYTES = 8
MAX_COMMAND_COUNTER = 0xFFFF
_SESSION_ENC = bytes.fromhex("A55A00010080")
_SESSION_MAC = bytes.fromhex("5AA500010080")
_IV_COMMAND = bytes.fromhex("A55A")
_IV_ANSWER = bytes.fromhex("5AA5")


def truncated(mac: bytes) -> bytes:
    """MACt: the odd bytes of a CMAC."""
    return mac[1::2]


def rotate(random: bytes) -> bytes:
    """RndA' or RndB': one byte to the left."""
    return random[1:] + random[:1]


def session_keys(key: bytes, rnd_a: bytes, rnd_b: bytes) -> tuple[bytes, bytes]:
    """(KSesAuthENC, KSesAuthMAC) of AuthenticateEV2First."""
    shared = rnd_a[:2] + aes.xor(rnd_a[2:8], rnd_b[:6]) + rnd_b[6:] + rnd_a[8:]
    return aes.cmac(key, _SESSION_ENC + shared), aes.cmac(key, _SESSION_MAC + shared)


def change_key_data(number: int, new: bytes, version: int, old: bytes) -> bytes:
    """The plain data of ChangeKey, authenticated with key 0: key 0 itself goes as it is, the others XOR the old."""
    if number == 0:
        return new + bytes([version])
    checksum = (zlib.crc32(new) ^ 0xFFFFFFFF).to_bytes(4, "little")  # CRC-32 without the final complement
    return aes.xor(new, old) + bytes([version]) + checksum


@dataclass(slots=True)
class Session:
    """One authenticated session. The counter moves with every command that the tag took."""

    enc_key: bytes
    mac_key: bytes
    transaction: bytes
    counter: int = 0

    def mac_command(self, command: int, header: bytes, data: bytes = b"") -> bytes:
        """MACt over a command, its header and its data as they are sent."""
        parts = bytes([command]) + self._counter() + self.transaction + header + data
        return truncated(aes.cmac(self.mac_key, parts))

    def encrypt_command(self, data: bytes) -> bytes:
        """The data of a command in CommMode.Full, padded."""
        return aes.encrypt(self.enc_key, aes.pad(data), self._iv(_IV_COMMAND))

    def open_answer(self, status: int, answer: bytes, encrypted: bool) -> bytes:
        """The data of an answer of CommMode.MAC or Full; TagAnswerError when its MAC is wrong. Moves the counter."""
        if len(answer) < MAC_BYTES:
            raise TagAnswerError(f"the tag's answer has {len(answer)} bytes, too few for a MAC")
        self.step()
        data, mac = answer[:-MAC_BYTES], answer[-MAC_BYTES:]
        parts = bytes([status & 0xFF]) + self._counter() + self.transaction + data
        if not hmac.compare_digest(truncated(aes.cmac(self.mac_key, parts)), mac):
            raise TagAnswerError("the MAC of the tag's answer is wrong: what answers is not the tag, or not alone")
        return self._decrypt(data) if encrypted and data else data

    def step(self) -> None:
        """One more command was taken. TagAnswerError at the end of the counter: authenticate again."""
        if self.counter >= MAX_COMMAND_COUNTER:
            raise TagAnswerError("the session's command counter is used up")
        self.counter += 1

    def _decrypt(self, data: bytes) -> bytes:
        if len(data) % aes.BLOCK_BYTES:
            raise TagAnswerError(f"encrypted data of {len(data)} bytes is no whole number of blocks")
        text, mark, zeros = aes.decrypt(self.enc_key, data, self._iv(_IV_ANSWER)).rpartition(b"\x80")
        if not mark or any(zeros):
            raise TagAnswerError("the padding of the tag's answer is wrong")
        return text

    def _iv(self, label: bytes) -> bytes:
        block = label + self.transaction + self._counter()
        return aes.encrypt_block(self.enc_key, block.ljust(aes.BLOCK_BYTES, b"\0"))

    def _counter(self) -> bytes:
        return self.counter.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What we answer to a tag's encrypted RndB, and what we need to read its answer."""

    key: bytes
    rnd_a: bytes
    rnd_b: bytes

    @classmethod
    def of(cls, key: bytes, rnd_a: bytes, encrypted_rnd_b: bytes) -> "Challenge":
        """From the tag's first answer, 16 bytes."""
        if len(encrypted_rnd_b) != RANDOM_BYTES:
            raise TagAnswerError(f"the tag's challenge has {len(encrypted_rnd_b)} bytes, not {RANDOM_BYTES}")
        return cls(key, rnd_a, aes.decrypt(key, encrypted_rnd_b))

    @property
    def response(self) -> bytes:
        """E(K, RndA || RndB'): it proves to the tag that we have the key."""
        return aes.encrypt(self.key, self.rnd_a + rotate(self.rnd_b))

    def session(self, answer: bytes) -> Session:
        """The session after AuthenticateEV2First; TagAnswerError unless the tag proved the key by RndA'."""
        if len(answer) != 2 * RANDOM_BYTES:
            raise TagAnswerError(f"the tag's proof has {len(answer)} bytes, not {2 * RANDOM_BYTES}")
        plain = aes.decrypt(self.key, answer)
        proof = plain[TRANSACTION_BYTES : TRANSACTION_BYTES + RANDOM_BYTES]
        if not hmac.compare_digest(proof, rotate(self.rnd_a)):
            raise TagAnswerError("the tag did not prove that it has the key")
        enc_key, mac_key = session_keys(self.key, self.rnd_a, self.rnd_b)
        return Session(enc_key, mac_key, plain[:TRANSACTION_BYTES])
