"""Files that a command writes for a person: whole or not at all, whatever interrupts it."""

import os
from collections.abc import Iterable
from pathlib import Path

from tallystick_provisioning.errors import FileError

_DATABASE = b"SQLite format 3\0"


def write(path: Path, chunks: Iterable[bytes]) -> None:
    """Write `chunks` to `path`, in place of what was there. Until all of it is on the disk, `path` stays as it was.

    A pipe or a device cannot be replaced: it gets the chunks as they come. FileError for a database: a job or a list of
    nodes that is named by mistake stays.
    """
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder; a file is needed", str(path))
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            file.writelines(chunks)
        return
    _refuse_database(path)
    target = path.resolve()  # a link stays a link
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with temporary.open("xb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_database(path: Path) -> None:
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(_DATABASE)) == _DATABASE:
                raise FileError(f"{path}: is a database, a job or a list of nodes; it is never overwritten")
