"""A sealed job: the keys of one job's tags, and no others, for a laptop that may be stolen.

The office makes it from a list of UIDs: each tag's diversified keys, sealed one by one under a passphrase that travels
apart from the file; an installer authority signs which job, how many, until when. After each finished tag the file is
written anew without that tag's keys. The master key is never in it, and no key in it leads to another.

CBOR [head, statement, [salt, cost], [[SHA-256 of the sealed entry, sealed entry | null], ...]].
Entry 0 holds the key that reads links, which all tags of the job share; each other one a UID and its keys.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick_chips.tag_order import KEY_NUMBERS, META_KEY, PASSWORD_KEY, TagKeys
from tallystick_proof import keys, statement
from tallystick_proof.errors import ProofError
from tallystick_provisioning.errors import FileError
from tallystick_provisioning.secret_file import sync_folder
from tallystick_tags.errors import KeysError
from tallystick_tags.passphrase import Lock
from tallystick_tags.tag_job import JobHead
from tallystick_wire import cbor
from tallystick_wire.errors import WireError

HEAD = "tallystick-job-v1"
_NUMBERS = tuple(number for number in (*KEY_NUMBERS, PASSWORD_KEY) if number != META_KEY)  # of a tag's own keys
MAX_BUNDLE_BYTES = 8 * 1024 * 1024  # 10,000 tags of some 150 bytes are 2 MiB


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in the file. An entry without its bytes is one that was erased."""

    statement: bytes
    salt: bytes
    cost_log2: int
    entries: tuple[tuple[bytes, bytes | None], ...]

    def to_bytes(self) -> bytes:
        entries = [list(entry) for entry in self.entries]
        return cbor.encode([HEAD, self.statement, [self.salt, self.cost_log2], entries])


def seal(
    path: Path, head: JobHead, uids: Sequence[bytes], source: TagKeys, lock: Lock, authority: keys.Signer,
    fields: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write the sealed job of these UIDs, mode 0600. `fields`: aud, jti, exp and installer of the delegation."""
    if len(set(uids)) != len(uids) or not uids:
        raise KeysError("the UIDs of a sealed job must be one or more, and none of them twice")
    context = _context(head.id)
    plain = [source.key(uids[0], META_KEY)]
    plain += [cbor.encode([uid, [source.key(uid, number) for number in _NUMBERS]]) for uid in uids]
    sealed = [lock.seal(entry, context) for entry in plain]
    hashes = [hashlib.sha256(entry).digest() for entry in sealed]
    body = {
        **fields,
        "job": bytes.fromhex(head.id),
        "key_set": head.key_set,
        "key_version": head.key_version,
        "count": len(uids),
        "sealed": hashlib.sha256(cbor.encode(hashes)).digest(),
    }
    signed = statement.build(authority, keys.TAG_JOB, body)
    contents = Contents(signed, lock.salt, lock.cost_log2, tuple(zip(hashes, sealed, strict=True)))
    _write(path, contents.to_bytes(), new=True)


class SealedJob:
    """A sealed job that is open: TagKeys for its own UIDs, KeysError for all others."""

    def __init__(self, path: Path, passphrase: str, head: JobHead) -> None:
        self.path = path
        self.contents = read(path)
        self._head = head
        self.delegation = statement.parse(self.contents.statement)
        if self.delegation.body["job"].hex() != head.id:
            raise KeysError(f"{path}: holds the keys of another job")
        self.version: int = self.delegation.body["key_version"]
        lock = Lock(passphrase, self.contents.salt, self.contents.cost_log2)
        self._keys: dict[bytes, tuple[int, dict[int, bytes]]] = {}  # UID -> (place in the file, number -> key)
        self._shared: bytes | None = None
        try:
            self._open(lock)
        except (KeysError, WireError, ValueError, TypeError) as error:
            raise KeysError(f"{path}: {error}") from None

    @property
    def uids(self) -> tuple[bytes, ...]:
        """The tags whose keys are still here."""
        return tuple(self._keys)

    def knows(self, uid: bytes) -> bool:
        return uid in self._keys

    def key(self, uid: bytes, number: int) -> bytes:
        if number == META_KEY and self._shared is not None:
            return self._shared
        entry = self._keys.get(uid)
        if entry is None or number not in entry[1]:
            raise KeysError(f"tag {uid.hex()} is not in {self.path.name}, or is finished and its keys are erased")
        return entry[1][number]

    def finished(self, uid: bytes) -> None:
        """Write the file anew without this tag's keys, and overwrite what was there: gone when this returns.

        Flash media may keep the old blocks until they need them: then only the passphrase protects what was there.
        """
        entry = self._keys.pop(uid, None)
        if entry is None:
            return
        with _alone(self.path):
            # Read again: another program may have finished tags of this file since.
            contents = read(self.path)
            left = {place for place, (_, data) in enumerate(contents.entries) if data is not None} - {entry[0]}
            kept = left if left - {0} else set()  # with the last tag goes the key that all share
            rest = ((digest, data if at in kept else None) for at, (digest, data) in enumerate(contents.entries))
            self.contents = Contents(contents.statement, contents.salt, contents.cost_log2, tuple(rest))
            _write(self.path, self.contents.to_bytes(), new=False)

    def close(self) -> None:
        self._keys, self._shared = {}, None

    def _open(self, lock: Lock) -> None:
        context = _context(self._head.id)
        for place, (_, sealed) in enumerate(self.contents.entries):
            if sealed is None:
                continue
            data = lock.open(sealed, context)
            if place == 0:
                self._shared = data
            else:
                uid, values = cbor.decode(data)
                self._keys[uid] = place, dict(zip(_NUMBERS, values, strict=True))


def check_new(path: Path) -> None:
    """KeysError where a sealed job is to be made and something is there."""
    if path.exists():
        raise KeysError(f"{path}: exists already; a secret is never overwritten")


def is_bundle(path: Path) -> bool:
    """Whether `path` begins as a sealed job does."""
    head = cbor.encode([HEAD, b"", [], []])[: 2 + len(HEAD)]
    try:
        with path.open("rb") as file:
            return file.read(len(head)) == head
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None


def read(path: Path) -> Contents:
    """The contents of a sealed job, every entry held against its hash; KeysError otherwise."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE_BYTES + 1)
        if len(data) > MAX_BUNDLE_BYTES:
            raise ValueError("too long")
        head, signed, (salt, cost_log2), entries = cbor.decode(data)
        contents = Contents(signed, salt, cost_log2, tuple((digest, sealed) for digest, sealed in entries))
        parsed = statement.parse(signed)
        whole = all(sealed is None or hashlib.sha256(sealed).digest() == digest for digest, sealed in contents.entries)
        if head != HEAD or parsed.kind != keys.TAG_JOB or not whole:
            raise ValueError("altered")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    except (WireError, ProofError, ValueError, TypeError):
        raise KeysError(f"{path}: no sealed job of this program, or one that was altered") from None
    return contents


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One program at a time rewrites the file; the others wait the moment that it takes."""
    with path.with_name(f".{path.name}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _context(job: str) -> bytes:
    return b"tallystick/tag-job/v1\0" + bytes.fromhex(job)


def _write(path: Path, data: bytes, *, new: bool) -> None:
    """Put `data` in place of the file: the new one is durable first, then the old one's blocks are overwritten."""
    if new:
        check_new(path)
    old = None if new else path.open("r+b")
    try:
        temporary = path.with_name(f".{path.name}.part")
        temporary.unlink(missing_ok=True)  # of a run that was cut off: the file itself is still whole
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A crash before this leaves the old file whole: the tag is finished once more. After it, the old has no name.
        temporary.replace(path)
        sync_folder(path.parent)
        if old is not None:
            old.write(bytes(os.fstat(old.fileno()).st_size))
            old.flush()
            os.fsync(old.fileno())
    finally:
        if old is not None:
            old.close()
