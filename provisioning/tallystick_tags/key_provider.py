"""Where a job's tag keys come from: a master key that never shows itself, diversified by tag as in AN10922.

A master is one operation: AES-CMAC. On a PKCS#11 token the key is not extractable, and the token computes; in a file it
lies under a passphrase. What leaves this module is one tag's key, never the master.
"""

import hashlib
import secrets
from pathlib import Path
from typing import Protocol

from tallystick_chips import aes, an10922
from tallystick_chips.tag_order import KEY_BYTES, META_KEY, TagKeys
from tallystick_provisioning import secret_file
from tallystick_provisioning.errors import FileError
from tallystick_tags import passphrase
from tallystick_tags.errors import KeysError
from tallystick_wire import cbor
from tallystick_wire.errors import WireError

MASTER_HEAD = "tallystick-master-v1"
_SYSTEM_ID = b"tallystick/key-set/v1\0"
_CONTEXT = b"tallystick/master/v1\0"
_NO_UID = bytes(an10922.UID_BYTES)  # the meta key is one for a whole job; no tag has this UID


class Master(Protocol):
    """A master key that computes and does not show itself."""

    def cmac(self, message: bytes) -> bytes:
        """AES-CMAC of `message` under the master key: 16 bytes."""
        ...

    def close(self) -> None:
        """Give back what it holds; may be called again."""
        ...


class JobKeys(TagKeys, Protocol):
    """The keys of one job, and what becomes of those that are no longer needed."""

    def knows(self, uid: bytes) -> bool:
        """Whether `key` has keys for this tag."""
        ...

    def finished(self, uid: bytes) -> None:
        """This tag needs its keys no more: where they lie on this computer's disk they are erased."""
        ...

    def close(self) -> None: ...


class DerivedKeys:
    """A job's keys straight from a master: for the office and the small shop. Nothing lies on the disk."""

    def __init__(self, master: Master, key_set: str, version: int) -> None:
        self.version = version
        self._master = master
        self._system_id = system_id(key_set, version)

    def key(self, uid: bytes, number: int) -> bytes:
        own = _NO_UID if number == META_KEY else uid
        return self._master.cmac(an10922.cmac_input(an10922.tag_input(own, self._system_id, number)))

    def knows(self, uid: bytes) -> bool:
        return len(uid) == an10922.UID_BYTES

    def finished(self, uid: bytes) -> None:
        """Nothing to erase: they were computed when they were needed."""

    def close(self) -> None:
        self._master.close()


class FileMaster:
    """A master key from an encrypted file, in memory while a command runs."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def cmac(self, message: bytes) -> bytes:
        return aes.cmac(self._key, message)

    def close(self) -> None:
        self._key = b""


def system_id(key_set: str, version: int) -> bytes:
    """The 16 bytes that make the keys of one key set and version differ from those of every other."""
    digest = hashlib.sha256(_SYSTEM_ID + bytes([version]) + key_set.encode("utf-8")).digest()
    return digest[: an10922.MAX_SYSTEM_ID_BYTES]


def create_file(path: Path, words: str, dry_run: bool = False) -> None:
    """Make a master key and keep it in a new file, mode 0600, under the passphrase `words`. `dry_run`: only look."""
    if not path.parent.is_dir():
        raise FileError(f"{path.parent}: no such folder")
    lock = passphrase.new_lock(words)
    if dry_run:
        return
    sealed = lock.seal(secrets.token_bytes(KEY_BYTES), _CONTEXT)
    body = cbor.encode([lock.salt, lock.cost_log2, sealed])
    secret_file.write_new(path, f"{MASTER_HEAD} {body.hex()}\n")


def open_file(path: Path, words: str) -> FileMaster:
    """The master key in `path`; KeysError for a wrong passphrase or another file."""
    head, _, digits = secret_file.read(path).strip().partition(" ")
    try:
        salt, cost_log2, sealed = cbor.decode(bytes.fromhex(digits))
        known = isinstance(salt, bytes) and isinstance(cost_log2, int) and isinstance(sealed, bytes)
        if head != MASTER_HEAD or not known:
            raise ValueError(head)
    except (ValueError, TypeError, WireError):
        raise KeysError(f"{path}: no master key file of this program") from None
    try:
        return FileMaster(passphrase.Lock(words, salt, cost_log2).open(sealed, _CONTEXT))
    except KeysError as error:
        raise KeysError(f"{path}: {error}") from None


def is_file(path: Path) -> bool:
    """Whether `path` begins as a master key file does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MASTER_HEAD)) == MASTER_HEAD.encode("ascii")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
