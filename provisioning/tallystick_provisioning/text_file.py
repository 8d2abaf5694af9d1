"""Files that people hand to a command: bounded, text as UTF-8, with one wording for what can be wrong."""

from pathlib import Path

from tallystick_provisioning.errors import FileError


def read(path: Path, most_bytes: int) -> str:
    """The text of a file of at most `most_bytes`; FileError names the file and what is wrong."""
    try:
        return read_bytes(path, most_bytes).decode("utf-8")
    except UnicodeDecodeError:
        raise FileError(f"{path}: not UTF-8 text: some other file") from None


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The same, of any file."""
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)  # not the size: a device has none
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > most_bytes:
        raise FileError(f"{path}: more than {most_bytes} bytes: some other file")
    return data
