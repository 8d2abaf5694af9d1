"""Files that a command writes for a person: whole or not at all, whatever interrupts it."""

import os
from collections.abc import Iterable
from pathlib import Path

from tallystick_provisioning.errors import FileError

_DATABASE = b"SQLite format 3\0"
_SECRET = b"tallystick-"  # how key files and sealed jobs begin, behind at most two bytes of CBOR


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


def write_output(path: Path, chunks: Iterable[bytes], *, force: bool, dry_run: bool = False) -> None:
    """Write what a person asked for to the file that they named: nothing is overwritten by mistake.

    FileError where another file is there already, unless `force` is said; the same bytes again are no mistake. A job, a
    list of nodes or a key stays even then. With `dry_run` all of this is found out, and nothing written.
    """
    is_there = path.is_file()
    if is_there:
        _refuse_database(path)
        _refuse_secret(path)
    if is_there and not force:
        if not _is_same(path, chunks):
            raise FileError(f"{path}: is there already; choose another name, or write over it with --force")
    elif not dry_run:
        write(path, chunks)


def _is_same(path: Path, chunks: Iterable[bytes]) -> bool:
    with path.open("rb") as file:
        return all(file.read(len(chunk)) == chunk for chunk in chunks) and not file.read(1)


def _refuse_secret(path: Path) -> None:
    with path.open("rb") as file:
        if _SECRET in file.read(2 + len(_SECRET)):
            raise FileError(f"{path}: holds keys; it is never overwritten")


def _refuse_database(path: Path) -> None:
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(_DATABASE)) == _DATABASE:
                raise FileError(f"{path}: is a database, a job or a list of nodes; it is never overwritten")
