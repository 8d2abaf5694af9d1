"""The state folder: one gateway at a time, and what to do with a log that SQLite cannot read."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tallystick_edge.errors import StateError

LOG_NAME = "log.db"
_LOCK_NAME = "lock"
_SQLITE_SUFFIXES = ("", "-wal", "-shm")


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold the folder for this process; StateError when another gateway has it. Yields the log's path."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{folder}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"{folder}: another gateway runs on this folder") from None
        yield folder / LOG_NAME
    finally:
        os.close(descriptor)  # gives the lock back


def set_aside(log: Path) -> Path:
    """Rename a damaged log so that a new one can begin; returns its new path. Nothing is deleted."""
    number = 1
    while (aside := log.with_name(f"{log.name}.bad-{number}")).exists():
        number += 1
    for suffix in _SQLITE_SUFFIXES:
        part = log.with_name(log.name + suffix)
        if part.exists():
            part.replace(aside.with_name(aside.name + suffix))
    return aside
