"""Closed batches as files, named by the SHA-256 of their content: written once, never changed.

The database holds the only reference. A blob that no row names is what a crash between the two left: harmless, and
the same batch sent again makes the same name.
"""

import hashlib
import os
from pathlib import Path

from tallystick_ledger.errors import StoreError

NAME_BYTES = 32


class Blobs:
    """A folder of content-addressed files, two levels deep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put_if_absent(self, data: bytes) -> bytes:
        """Store `data` durably and return its name; the same data again is the same name."""
        name = hashlib.sha256(data).digest()
        path = self._path(name)
        if path.exists():
            return name
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A crash before the link leaves a .part file; after it, an unnamed blob. Neither is ever read.
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        _sync_folder(self._folder)
        return name

    def get(self, name: bytes) -> bytes:
        """The content; StoreError when it is missing or not what its name says."""
        try:
            data = self._path(name).read_bytes()
        except OSError as error:
            raise StoreError(f"blob {name.hex()}: {error.strerror}") from error
        if hashlib.sha256(data).digest() != name:
            raise StoreError(f"blob {name.hex()} was altered")
        return data

    def _path(self, name: bytes) -> Path:
        text = name.hex()
        return self._folder / text[:2] / text[2:]


def _sync_folder(folder: Path) -> None:
    """Make new names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
