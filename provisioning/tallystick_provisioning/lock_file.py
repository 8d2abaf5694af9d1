"""One process at a time: a lock that ends with the process, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tallystick_provisioning.errors import FileError


@contextmanager
def held(path: Path, taken: str) -> Iterator[int]:
    """Hold `path` (made when it is not there) and yield its descriptor; FileError says `taken` when another has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileError(taken) from None
        yield descriptor
    finally:
        os.close(descriptor)
