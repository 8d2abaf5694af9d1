"""The antenna: which emulated tags lie on it, and what goes wrong there.

A tag on the field is silent until it was activated; whoever swaps it in mid-session leaves the reader alone with a tag
that does not answer. `cut` makes the power or the reader fail at one chosen command, so that a test can try them all.
"""

import threading
from dataclasses import dataclass
from typing import Literal, Protocol

from tallystick_emulators.errors import FieldCollision, FieldLost, ReaderGone

Family = Literal["type2", "type4"]
Moment = Literal["before", "after", "torn"]
Part = Literal["power", "reader"]


class EmulatedTag(Protocol):
    """A tag without its radio. All state that outlives the field is in `to_bytes()`."""

    @property
    def uid(self) -> bytes:
        """The seven bytes that the factory wrote."""

    @property
    def presented_uid(self) -> bytes:
        """What anticollision tells: `uid`, or four random bytes."""

    @property
    def family(self) -> Family:
        """type2: raw commands; type4: APDUs."""

    def activate(self) -> None:
        """The field came on and the reader selected this tag: volatile state is new."""

    def power_off(self) -> None:
        """The field is gone."""

    def answer(self, command: bytes) -> bytes | None:
        """The answer to one command; None is silence. Never raises, whatever the command."""

    def answer_torn(self, command: bytes) -> None:
        """Power fails while the EEPROM is being written: what the data sheet does not protect is damaged."""

    def to_bytes(self) -> bytes:
        """The EEPROM."""


@dataclass(frozen=True)
class Cut:
    """What fails once so many more commands have passed.

    before: the tag never gets the command. after: it has acted, and its answer is lost. torn: the power goes in the
    middle of its EEPROM write. `part` says whether the tag's power fails (it is activated again at the next sense) or
    the reader (nothing works until `Field.reconnect`).
    """

    after_commands: int
    moment: Moment
    part: Part


class Field:
    """Thread-safe. `commands` counts what reached the antenna, activations apart; `activations` counts those."""

    def __init__(self, *tags: EmulatedTag) -> None:
        self._lock = threading.RLock()
        self._tags = list(tags)
        self._active: EmulatedTag | None = None
        self._cut: Cut | None = None
        self._reader_gone = False
        self.commands = 0
        self.activations = 0

    @property
    def tags(self) -> tuple[EmulatedTag, ...]:
        """What lies on the antenna."""
        with self._lock:
            return tuple(self._tags)

    def put(self, tag: EmulatedTag) -> None:
        """Lay one more tag on the antenna; with two of them nobody can be activated."""
        with self._lock:
            self._tags.append(tag)

    def remove(self, tag: EmulatedTag | None = None) -> None:
        """Take this tag away, or all."""
        with self._lock:
            for gone in [one for one in self._tags if tag is None or one is tag]:
                self._power_off(gone)
                self._tags.remove(gone)

    def swap(self, tag: EmulatedTag) -> None:
        """Everything on the antenna makes room for `tag`, which is not activated."""
        with self._lock:
            self.remove()
            self.put(tag)

    def cut(self, after_commands: int, before_or_after: Moment = "before", part: Part = "power") -> None:
        """Let `after_commands` commands pass; the next one fails. One cut at a time; see `Cut`."""
        with self._lock:
            self._cut = Cut(self.commands + after_commands, before_or_after, part)

    def uncut(self) -> bool:
        """Forget the planned cut; True when it had not happened yet."""
        with self._lock:
            planned, self._cut = self._cut is not None, None
            return planned

    def reconnect(self) -> None:
        """The reader is plugged in again."""
        with self._lock:
            self._reader_gone = False
            self.deactivate()

    def activate(self) -> EmulatedTag | None:
        """Field on, anticollision, select: the tag, or None when nothing is there. FieldCollision when two are."""
        with self._lock:
            self.deactivate()
            if self._reader_gone:
                raise ReaderGone("the reader is gone")
            if len(self._tags) > 1:
                raise FieldCollision(f"{len(self._tags)} tags on the antenna")
            if not self._tags:
                return None
            self._active = self._tags[0]
            self._active.activate()
            self.activations += 1
            return self._active

    def deactivate(self) -> None:
        """Field off."""
        with self._lock:
            if self._active is not None:
                self._power_off(self._active)

    def exchange(self, command: bytes) -> bytes | None:
        """One command to the activated tag; None is its silence. FieldLost when nobody is activated any more."""
        with self._lock:
            if self._reader_gone:
                raise ReaderGone("the reader is gone")
            tag = self._active
            if tag is None:
                raise FieldLost("no activated tag on the antenna")
            cut = self._cut if self._cut is not None and self.commands >= self._cut.after_commands else None
            self.commands += 1
            if cut is None:
                return tag.answer(command)
            self._cut = None
            raise self._failed(tag, cut, command)

    def _failed(self, tag: EmulatedTag, cut: Cut, command: bytes) -> FieldLost | ReaderGone:
        if cut.moment == "after":
            tag.answer(command)
        elif cut.moment == "torn":
            tag.answer_torn(command)
        self._power_off(tag)
        if cut.part == "reader":
            self._reader_gone = True
            return ReaderGone("the reader fell out")
        return FieldLost("the tag lost its power")

    def _power_off(self, tag: EmulatedTag) -> None:
        tag.power_off()
        if self._active is tag:
            self._active = None
