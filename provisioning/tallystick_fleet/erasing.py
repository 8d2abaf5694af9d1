"""Which boards may be erased: a person agrees to each once, or to all beforehand; a node only when it was named."""

import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tallystick_fleet.errors import NotErased
from tallystick_fleet.esp_erase import Found

LOOK_EVERY_S = 0.2
MAX_ANSWER_BYTES = 256
YES = ("y", "yes", "是", "擦")
Ask = Callable[[str, str], bool]  # serial, what the board holds


def all_agreed(serial: str, holds: str) -> bool:
    """For --yes."""
    return True


@dataclass(slots=True)
class Erasing:
    """`ask` is asked once per board. `nodes`: serial numbers of nodes that were named, each erased once."""

    ask: Ask
    nodes: frozenset[str] = frozenset()
    _answers: dict[tuple[str, str], bool] = field(default_factory=dict)
    _erased: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # one question at a time

    def wants(self, serial: str) -> bool:
        """Whether this board goes although it is a node."""
        return serial in self.nodes and serial not in self._erased

    def allow(self, serial: str, found: Found) -> None:
        """NotErased unless this board, which holds `found`, may be erased."""
        refusal = self.refusal(serial, found)
        if refusal:
            raise NotErased(refusal)
        holds = "a Tallystick node: its key is lost for ever" if found.is_node else found.program
        with self._lock:
            board = (serial, found.mac)
            if board not in self._answers:
                self._answers[board] = self.ask(serial, f"{found.chip}, {holds}")
        if not self._answers[board]:
            raise NotErased(f"not erased, for nobody said yes: it holds {found.program}")

    def refusal(self, serial: str, found: Found) -> str:
        """Why this board must not be erased whatever a person answers; empty when it may."""
        if found.is_node and not self.wants(serial):
            return f"a Tallystick node is in its flash, and --erase takes none; if its key may be lost: {named(serial)}"
        return ""

    def erased(self, serial: str) -> None:
        self._erased.add(serial)


def named(serial: str) -> str:
    """The option that lets a node be erased."""
    return f"--erase-node {serial}"


class Person:
    """Asks on the screen and reads the answer from standard input, without holding up the other boards.

    `show` puts the question where the person looks, and takes it away (""). Nobody there (the end of the input, or
    `end` was called): no.
    """

    def __init__(self, show: Callable[[str, str], None], descriptor: int = 0) -> None:
        self._show, self._descriptor = show, descriptor
        self._ended = threading.Event()

    def ask(self, serial: str, holds: str) -> bool:
        self._show(serial, holds)
        try:
            return self._line().strip().lower() in YES
        finally:
            self._show(serial, "")

    def end(self) -> None:
        """No more answers come."""
        self._ended.set()

    def _line(self) -> str:
        """The next line; it is read byte by byte, for what stands behind it belongs to the next question."""
        line = b""
        while not self._ended.is_set() and len(line) < MAX_ANSWER_BYTES:
            if select.select([self._descriptor], [], [], LOOK_EVERY_S)[0]:
                byte = os.read(self._descriptor, 1)
                if byte in (b"", b"\n"):
                    break
                line += byte
        return "" if self._ended.is_set() else line.decode("utf-8", "replace")
