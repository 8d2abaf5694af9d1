"""Which firmware runs: a hash over the node's own source files."""

import hashlib
import os
import sys

from tallystick_wire.reading import BOOT_HASH_BYTES

_SUFFIXES = (".py", ".mpy")


def firmware_hash(folders: "list[str]") -> bytes:
    """8 bytes over name, length and content of every module; where all are frozen, over the interpreter's build."""
    total = hashlib.sha256(sys.version.encode())
    for folder in folders:
        for name in _modules(folder):
            with open(folder + "/" + name, "rb") as file:
                content = file.read()
            total.update(b"%s %d\n" % (name.encode(), len(content)))
            total.update(content)
    return total.digest()[:BOOT_HASH_BYTES]


def _modules(folder: str) -> "list[str]":
    try:
        names = os.listdir(folder)
    except OSError:  # frozen into the interpreter
        return []
    return sorted(name for name in names if name.endswith(_SUFFIXES))
