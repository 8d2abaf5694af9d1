"""Files that hold a secret: mode 0600, never overwritten, durable before anyone relies on them."""

import os
import stat
from pathlib import Path

from tallystick_provisioning.errors import FileError, KeyFileError

MAX_SECRET_FILE_BYTES = 4096  # one line of text; more is some other file
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def write_new(path: Path, text: str) -> None:
    """Create `path` with mode 0600 and make file and folder entry durable; KeyFileError when it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path}: exists already; a secret is never overwritten") from None
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def read(path: Path) -> str:
    """The text of a secret file; FileError when it cannot be read, KeyFileError when it is too long or not private."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    if status.st_mode & _OPEN_TO_OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise KeyFileError(f"{path}: mode {mode:04o} lets others read a secret; run chmod 600 {path}")
    if len(data) > MAX_SECRET_FILE_BYTES or not data.isascii():
        raise KeyFileError(f"{path}: not a secret of this project")
    return data.decode("ascii")


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it that are missing, so that a power cut loses none of their names."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: without it a power cut can lose a new file's name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
