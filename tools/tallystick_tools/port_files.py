"""Runs in MicroPython on the counting port: `os` and `open` over memory that is not in the heap, as on a board's flash.

A directory of fixed entries, then a place for each file. Names and contents take no heap. MicroPython subset.
"""

import errno

import port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENTRY_BYTES = 64  # length of the name (0: free), the name, size of the file
NAME_BYTES = ENTRY_BYTES - 5
ENTRIES = 112
FILE_BYTES = 8 * 1024  # no module of the node is larger
IMAGE_BYTES = 128 * 1024
IMAGE = 0  # the entry of the one large file
BLOCK_BYTES = 4096


class Disk:
    """What the node takes of `os`."""

    def __init__(self) -> None:
        self.memory = memoryview(port.flash())  # type: ignore[attr-defined]

    def open(self, path: str, mode: str = "r") -> "File":
        entry = self.find(path)
        if entry is None:
            if "w" not in mode:
                raise OSError(errno.ENOENT)
            entry = self._make(path)
        if "w" in mode:
            self.set_size(entry, 0)
        return File(self, entry)

    def mkdir(self, path: str) -> None:
        if self.find(path + "/") is not None:
            raise OSError(errno.EEXIST)
        self._make(path + "/")

    def listdir(self, path: str) -> "list[str]":
        start, found = path + "/", []
        for entry in range(ENTRIES):
            name = self.name(entry)
            rest = name[len(start) :] if name.startswith(start) else ""
            if rest and "/" not in rest[:-1]:
                found.append(rest.rstrip("/"))
        return found

    def stat(self, path: str) -> "tuple[int, ...]":
        entry = self.find(path)
        if entry is None:
            entry = self.find(path + "/")
        if entry is None:
            raise OSError(errno.ENOENT)
        return 0, 0, 0, 0, 0, 0, self.size(entry), 0, 0, 0

    def statvfs(self, path: str) -> "tuple[int, ...]":
        return 0, BLOCK_BYTES, 0, 0, ENTRIES * FILE_BYTES // BLOCK_BYTES

    def rename(self, old: str, new: str) -> None:
        entry, target = self.find(old), self.find(new)
        if entry is None:
            raise OSError(errno.ENOENT)
        if target is not None:
            self._free(target)
        self._call(entry, new)

    def remove(self, path: str) -> None:
        entry = self.find(path)
        if entry is None:
            raise OSError(errno.ENOENT)
        self._free(entry)

    def find(self, path: str) -> "int | None":
        wanted = path.encode()
        for entry in range(ENTRIES):
            at = entry * ENTRY_BYTES
            if self.memory[at] == len(wanted) and self.memory[at + 1 : at + 1 + len(wanted)] == wanted:
                return entry
        return None

    def name(self, entry: int) -> str:
        at = entry * ENTRY_BYTES
        return bytes(self.memory[at + 1 : at + 1 + self.memory[at]]).decode()

    def size(self, entry: int) -> int:
        end = (entry + 1) * ENTRY_BYTES
        return int.from_bytes(self.memory[end - 4 : end], "big")

    def set_size(self, entry: int, size: int) -> None:
        end = (entry + 1) * ENTRY_BYTES
        self.memory[end - 4 : end] = size.to_bytes(4, "big")

    def place(self, entry: int) -> "tuple[int, int]":
        """(where its content begins, how much it can hold)"""
        start = ENTRIES * ENTRY_BYTES
        if entry == IMAGE:
            return start, IMAGE_BYTES
        return start + IMAGE_BYTES + (entry - 1) * FILE_BYTES, FILE_BYTES

    def _make(self, path: str) -> int:
        is_image = path.endswith("/image")
        for entry in (IMAGE,) if is_image else range(IMAGE + 1, ENTRIES):
            if not self.memory[entry * ENTRY_BYTES]:
                self._call(entry, path)
                self.set_size(entry, 0)
                return entry
        raise OSError(28)  # ENOSPC

    def _call(self, entry: int, path: str) -> None:
        name, at = path.encode(), entry * ENTRY_BYTES
        if len(name) > NAME_BYTES:
            raise ValueError(path)
        self.memory[at] = len(name)
        self.memory[at + 1 : at + 1 + len(name)] = name

    def _free(self, entry: int) -> None:
        self.memory[entry * ENTRY_BYTES] = 0


class File:
    """An open file."""

    def __init__(self, disk: Disk, entry: int) -> None:
        self._disk, self._entry, self._at = disk, entry, 0

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def close(self) -> None:
        return None

    def seek(self, offset: int) -> None:
        self._at = offset

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._disk.size(self._entry) - self._at)
        count = left if count < 0 else min(count, left)
        start = self._disk.place(self._entry)[0] + self._at
        self._at += count
        return bytes(self._disk.memory[start : start + count])

    def write(self, data: "Any") -> int:
        start, room = self._disk.place(self._entry)
        if self._at + len(data) > room:
            raise OSError(28)  # ENOSPC
        self._disk.memory[start + self._at : start + self._at + len(data)] = data
        self._at += len(data)
        if self._at > self._disk.size(self._entry):
            self._disk.set_size(self._entry, self._at)
        return len(data)
