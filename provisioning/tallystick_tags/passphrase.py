"""Secrets at rest under a passphrase: scrypt for the key, AES-GCM for each piece. And where a passphrase comes from."""

import getpass
import os
import secrets
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tallystick_provisioning import secret_file
from tallystick_tags.errors import KeysError

SALT_BYTES = 16
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
COST_LOG2 = 17  # 128 MiB and about half a second a guess: what OWASP asks for
MIN_COST_LOG2 = 14  # below this a file of ours was made weak on purpose
MAX_COST_LOG2 = 20  # 1 GiB: a file must not be able to ask for more
MIN_PASSPHRASE_CHARACTERS = 8
_BLOCK_SIZE, _PARALLEL = 8, 1


class Lock:
    """The key that a passphrase and a salt give. Deriving it costs half a second; using it costs nothing."""

    def __init__(self, passphrase: str, salt: bytes, cost_log2: int = COST_LOG2) -> None:
        if len(salt) != SALT_BYTES or not MIN_COST_LOG2 <= cost_log2 <= MAX_COST_LOG2:
            raise KeysError("the salt or the cost of its passphrase is not one that this program writes")
        self.salt, self.cost_log2 = salt, cost_log2
        kdf = Scrypt(salt=salt, length=KEY_BYTES, n=1 << cost_log2, r=_BLOCK_SIZE, p=_PARALLEL)
        self._cipher = AESGCM(kdf.derive(passphrase.encode("utf-8")))

    def seal(self, data: bytes, context: bytes) -> bytes:
        """nonce || ciphertext; `context` must be given again to open it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed; KeysError when the passphrase, the context or one bit is another."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise KeysError("wrong passphrase, or the file was altered") from None


def new_lock(passphrase: str) -> Lock:
    """A lock with a fresh salt; KeysError for a passphrase that is too short."""
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise KeysError(f"a passphrase has at least {MIN_PASSPHRASE_CHARACTERS} characters")
    return Lock(passphrase, secrets.token_bytes(SALT_BYTES))


def ask(what: str, file: Path | None) -> str:
    """The passphrase or PIN in `file` (one line, mode 0600), or what a person types; never an argument or variable."""
    if file is not None:
        return secret_file.read(file).rstrip("\r\n")
    if not sys.stdin.isatty() or not os.isatty(sys.stderr.fileno()):
        raise KeysError(f"{what}: give --secret-file, because nobody can be asked here")
    return getpass.getpass(f"{what}: ")
