"""A small value that exists twice, in NAME.0 and NAME.1: [generation, value], the higher generation counts.

A write goes to the copy that does not count. So one damaged copy loses at most the last write, and whoever reads the
value is told that it may be one write old.
"""

from tallystick_node.errors import DamagedFile, StateLost
from tallystick_node.files import Files
from tallystick_wire import cbor
from tallystick_wire.errors import CborError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Twin:
    """`doubtful` after load: a copy was missing or damaged, and it may have been the newer one."""

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._name = name
        self._generation = 0
        self.doubtful = False

    def load(self) -> "Any":
        """The value, None when there never was one; StateLost, with nothing touched, when no copy can be read."""
        copies = []
        damaged = []
        for slot in (0, 1):
            name = self._slot(slot)
            try:
                content = self._files.read(name)
                if content is not None:
                    generation, value = cbor.decode(content)
                    copies.append((generation, value))
            except (DamagedFile, CborError):
                damaged.append(name)
        if not copies:
            if damaged:
                raise StateLost(self._name)
            return None
        for name in damaged:
            self._files.set_aside(name)  # still doubtful after a crash here: a copy is missing
        self._generation, newest = max(copies, key=lambda copy: copy[0])
        self.doubtful = len(copies) < 2
        return newest

    def save(self, value: "Any") -> None:
        """The first value is written twice: a missing copy is then always a reason for doubt."""
        writes = 1 if self._generation else 2
        for _ in range(writes):
            generation = self._generation + 1
            self._files.write(self._slot(generation % 2), [cbor.encode([generation, value])])
            self._generation = generation

    def restore(self, value: "Any") -> None:
        """Make the second copy again when it was missing."""
        if self.doubtful:
            self.save(value)
            self.doubtful = False

    def _slot(self, number: int) -> str:
        return "%s.%d" % (self._name, number)
