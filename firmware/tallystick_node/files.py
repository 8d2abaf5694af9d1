"""The node's files: written whole under a temporary name, then renamed; each ends in its CRC-32.

A power cut leaves a file as it was or as it should be. A file that is damaged all the same (bit rot, a foreign hand) is
renamed to *.bad for a human to look at, and counted.
"""

import binascii
import errno
import os

from tallystick_node.errors import DamagedFile, FlashFull, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Storage(Protocol):
        """A folder tree as its owner sees it. Names are relative; every failure is an OSError."""

        def read(self, name: str) -> bytes: ...
        def write(self, name: str, pieces: "list[bytes]") -> None: ...
        def rename(self, old: str, new: str) -> None: ...
        def remove(self, name: str) -> None: ...
        def names(self) -> "list[str]": ...


MAX_BAD_FILES = 16  # for a human to look at; the flash is for readings
ENOSPC = 28  # MicroPython's errno does not name it
BAD = ".bad"
_TEMPORARY = ".new"
_CRC_BYTES = 4


def refusal(error: OSError) -> "type[StorageError]":
    """Which of our errors this one of the flash is."""
    return FlashFull if error.errno == ENOSPC else StorageError


class Directory:
    """Storage in a folder of the board's file system, one level of subfolders."""

    def __init__(self, path: str, subfolders: "list[str]") -> None:
        self._path = path
        self._subfolders = subfolders
        for folder in [path] + [path + "/" + name for name in subfolders]:
            try:
                os.mkdir(folder)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise

    def read(self, name: str) -> bytes:
        with open(self._path + "/" + name, "rb") as file:
            return file.read(os.stat(self._path + "/" + name)[6])  # its size: a read to the end grows, and so copies

    def write(self, name: str, pieces: "list[bytes]") -> None:
        with open(self._path + "/" + name, "wb") as file:
            for piece in pieces:
                file.write(piece)

    def rename(self, old: str, new: str) -> None:
        os.rename(self._path + "/" + old, self._path + "/" + new)

    def remove(self, name: str) -> None:
        os.remove(self._path + "/" + name)

    def names(self) -> "list[str]":
        """Every file, sorted; those of a subfolder as folder/name."""
        names = [name for name in os.listdir(self._path) if name not in self._subfolders]
        for folder in self._subfolders:
            names += [folder + "/" + name for name in os.listdir(self._path + "/" + folder)]
        return sorted(names)


class Files:
    """Whole files with a checksum. OSError becomes StorageError here and nowhere else."""

    def __init__(self, storage: "Storage") -> None:
        self._storage = storage
        for name in self._all_names():
            if name.endswith(_TEMPORARY):  # a write that never became one
                self.remove(name)

    def names(self) -> "list[str]":
        """Every file that was not set aside, sorted."""
        return [name for name in self._all_names() if not name.endswith(BAD)]

    def bad_count(self) -> int:
        return sum(name.endswith(BAD) for name in self._all_names())

    def read(self, name: str) -> "bytes | None":
        """The content as it was written, None when there is no such file; DamagedFile when it is something else."""
        content = self.view(name)
        return None if content is None else bytes(content)

    def view(self, name: str) -> "memoryview | None":
        """The same, in one piece of memory only: a segment fills a good part of what a board has left."""
        try:
            data = self._storage.read(name)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise DamagedFile("%s: %s" % (name, error)) from None
        content = memoryview(data)[:-_CRC_BYTES]
        if len(data) < _CRC_BYTES or _crc_bytes(binascii.crc32(content)) != data[-_CRC_BYTES:]:
            raise DamagedFile("%s: the checksum is wrong" % name)
        return content

    def write(self, name: str, pieces: "list[bytes]") -> None:
        """After a crash in here the file holds the old content or the new one: the pieces, never copied into one."""
        crc = 0
        for piece in pieces:
            crc = binascii.crc32(piece, crc)
        try:
            self._storage.write(name + _TEMPORARY, pieces + [_crc_bytes(crc)])  # noqa: RUF005  (MicroPython has no [*a, b])
            # A crash here: a temporary file, removed at the next boot.
            self._storage.rename(name + _TEMPORARY, name)
        except OSError as error:
            raise refusal(error)("%s: %s" % (name, error)) from None

    def remove(self, name: str) -> None:
        """A file that is gone already is removed: the flash may have said no and done it all the same."""
        try:
            self._storage.remove(name)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise StorageError("%s: %s" % (name, error)) from None

    def set_aside(self, name: str) -> None:
        """Out of the way, but kept: NAME.bad, which replaces an older NAME.bad."""
        if self.bad_count() >= MAX_BAD_FILES:
            self.remove(name)
            return
        try:
            self._storage.rename(name, name + BAD)
        except OSError as error:
            raise StorageError("%s: %s" % (name, error)) from None

    def _all_names(self) -> "list[str]":
        try:
            return self._storage.names()
        except OSError as error:
            raise StorageError("listing: %s" % error) from None


def _crc_bytes(crc: int) -> bytes:
    return (crc & 0xFFFFFFFF).to_bytes(_CRC_BYTES, "big")
