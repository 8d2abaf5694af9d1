"""A reader's side of NTAG 424 DNA for the tests of the emulated tag alone, on pycryptodome: neither the product's
reader's side nor the emulator's own cryptography has a part in it."""

import binascii
from typing import Any, Protocol

from Crypto.Cipher import AES
from Crypto.Hash import CMAC

APPLICATION = "00A4040C07D276000085010100"
ZERO_KEY = bytes(16)
PLAIN, MAC, FULL = 0, 1, 3


class Tag(Protocol):
    def answer(self, command: bytes) -> bytes | None: ...


def ask(tag: Tag, command: str | bytes) -> str:
    """One APDU and its answer, in hex."""
    answer = tag.answer(bytes.fromhex(command) if isinstance(command, str) else command)
    assert answer is not None, "the tag is silent"
    return answer.hex().upper()


def cbc(key: bytes, iv: bytes = bytes(16)) -> Any:
    return AES.new(key, AES.MODE_CBC, iv)


def cmac(key: bytes, data: bytes) -> bytes:
    return CMAC.new(key, data, ciphermod=AES).digest()


class Ev2:
    """An authentication in AES mode, and commands in it. `counter` is CmdCtr."""

    def __init__(self, tag: Tag, number: int = 0, key: bytes = ZERO_KEY, random_a: bytes = bytes(range(16))) -> None:
        self._tag = tag
        self.ti, self.counter = b"", 0
        self.status = self._authenticate(0x71, number, key, random_a)

    def again(self, number: int, key: bytes = ZERO_KEY) -> str:
        """AuthenticateEV2NonFirst; the status word."""
        self.status = self._authenticate(0x77, number, key, bytes(range(16, 32)))
        return self.status

    def _authenticate(self, code: int, number: int, key: bytes, random_a: bytes) -> str:
        answer = ask(self._tag, bytes([0x90, code, 0, 0, *([2, number, 0] if code == 0x71 else [1, number]), 0]))
        if answer[-4:] != "91AF":
            return answer
        b = cbc(key).decrypt(bytes.fromhex(answer[:-4]))
        sent = cbc(key).encrypt(random_a + b[1:] + b[:1])
        answer = ask(self._tag, bytes([0x90, 0xAF, 0, 0, 32]) + sent + b"\0")
        if answer[-4:] != "9100":
            return answer
        plain = cbc(key).decrypt(bytes.fromhex(answer[:-4]))
        if code == 0x71:
            self.ti, plain, self.counter = plain[:4], plain[4:], 0
        assert plain[:16] == random_a[1:] + random_a[:1], "the tag does not know the key"
        mixed = bytes(one ^ other for one, other in zip(random_a[2:8], b[:6], strict=True))
        context = b"\x00\x01\x00\x80" + random_a[:2] + mixed + b[6:] + random_a[8:]
        self.encryption_key = cmac(key, b"\xa5\x5a" + context)
        self.mac_key = cmac(key, b"\x5a\xa5" + context)
        return "9100"

    def command(self, code: int, header: bytes = b"", data: bytes = b"", mode: int = FULL) -> tuple[bytes, str]:
        """Plain data of the answer, and its status word; the answer's MAC is checked."""
        answer = ask(self._tag, self.apdu(code, header, data, mode))
        body, status = bytes.fromhex(answer[:-4]), answer[-4:]
        self.counter += 1
        if status not in ("9100", "9190") or mode == PLAIN or (code == 0xC4 and header == b"\0"):
            return body, status
        body, mac = body[:-8], body[-8:]
        assert mac == self._mac(int(status[2:], 16), body), "wrong MAC in the answer"
        if mode == FULL and body:
            body = cbc(self.encryption_key, self._iv(b"\x5a\xa5")).decrypt(body).rstrip(b"\0")[:-1]
        return body, status

    def apdu(self, code: int, header: bytes = b"", data: bytes = b"", mode: int = FULL) -> bytes:
        if mode == FULL and data:
            data += b"\x80"
            data += bytes(-len(data) % 16)
            data = cbc(self.encryption_key, self._iv(b"\xa5\x5a")).encrypt(data)
        mac = b"" if mode == PLAIN else self._mac(code, header + data)
        body = header + data + mac
        return bytes([0x90, code, 0, 0]) + (bytes([len(body)]) if body else b"") + body + b"\0"

    def change_key(self, number: int, new: bytes, version: int = 1, old: bytes = ZERO_KEY) -> str:
        if number == 0:
            data = new + bytes([version])
        else:
            check = (binascii.crc32(new) ^ 0xFFFFFFFF).to_bytes(4, "little")
            data = bytes(a ^ b for a, b in zip(new, old, strict=True)) + bytes([version]) + check
        return self.command(0xC4, bytes([number]), data)[1]

    def _iv(self, label: bytes) -> bytes:
        block = label + self.ti + self.counter.to_bytes(2, "little") + bytes(8)
        encrypted: bytes = AES.new(self.encryption_key, AES.MODE_ECB).encrypt(block)
        return encrypted

    def _mac(self, code: int, data: bytes) -> bytes:
        return cmac(self.mac_key, bytes([code]) + self.counter.to_bytes(2, "little") + self.ti + data)[1::2]


def write_ndef(tag: Tag, content: bytes) -> None:
    """Through ISOUpdateBinary, as anybody may on a new tag."""
    assert ask(tag, "00A4000C02E10400") == "9000"
    for at in range(0, len(content), 128):
        piece = content[at : at + 128]
        assert ask(tag, bytes([0, 0xD6, at >> 8, at & 255, len(piece)]) + piece) == "9000"


def read_ndef(tag: Tag) -> bytes:
    """A phone's tap: select, read the length, read the rest in pieces."""
    assert ask(tag, APPLICATION) == "9000"
    assert ask(tag, "00A4000C02E10400") == "9000"
    read = bytes.fromhex(ask(tag, "00B0000002")[:-4])
    length = 2 + int.from_bytes(read)
    while len(read) < length:
        piece = min(length - len(read), 64)
        read += bytes.fromhex(ask(tag, bytes([0, 0xB0, len(read) >> 8, len(read) & 255, piece]))[:-4])
    return read
