"""Scan the node, scan the place, the next one. Each mark is answered by what became of it; pure but for the list."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tallystick_fleet.errors import NotPlaced, PlanError
from tallystick_fleet.node_table import KnownNode, NodeTable
from tallystick_fleet.place_marks import Mark, Marks
from tallystick_provisioning.errors import FileError

Kind = Literal["node", "placed", "undone", "again", "wrong"]


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a mark. `also`: other nodes at that place. What is wrong has a `code` (place_words.REASONS) and
    what it is about, or a `reason` in words.
    """

    kind: Kind
    node: str = ""
    serial: str = ""
    place: str = ""
    before: str = ""
    also: tuple[str, ...] = ()
    reason: str = ""
    code: str = ""
    about: tuple[str, ...] = ()


@dataclass(slots=True)
class PlaceLoop:
    """`steps` are all that were placed and stand, the last one last. With `dry_run` the list stays as it is."""

    nodes: NodeTable
    marks: Marks
    now_ms: Callable[[], int]
    dry_run: bool = False
    waiting: KnownNode | None = None  # its place comes next
    steps: list[Step] = field(default_factory=list)

    def take(self, mark: Mark) -> Step:
        """The list is durable when this returns. What is wrong changes nothing."""
        try:
            if mark.is_undo:
                return self._undo()
            node = self.marks.node(mark, self.nodes.nodes())
            if node is not None:
                return self._node(node)
            if self.waiting is None:
                return self._none_waits(mark)
            return self._place(self.waiting, self.marks.place(mark))
        except NotPlaced as error:
            return Step("wrong", code=error.code, about=error.about)
        except (PlanError, FileError) as error:  # the list: a row was taken out, or it cannot be written now
            return Step("wrong", reason=str(error))

    def _node(self, node: KnownNode) -> Step:
        """The next node, also instead of one whose place did not come yet."""
        kind: Kind = "again" if self.waiting is not None and self.waiting.serial == node.serial else "node"
        if self.waiting is not None and kind == "node":
            raise NotPlaced("not-a-place", node.name, self.waiting.name)
        self.waiting = node
        return Step(kind, node.name, node.serial, before=node.place)

    def _none_waits(self, mark: Mark) -> Step:
        """A scanner that reads a place twice does no harm."""
        last = self.steps[-1] if self.steps else None
        if last is not None and last.place in (*mark.texts, *(self.marks.places.get(text) for text in mark.texts)):
            return Step("again", last.node, last.serial, last.place)
        raise NotPlaced("no-node", mark.texts[0])

    def _place(self, node: KnownNode, place: str) -> Step:
        also = tuple(one.name for one in self.nodes.nodes() if one.place == place and one.serial != node.serial)
        self._write(node.serial, place)
        self.waiting = None
        self.steps.append(Step("placed", node.name, node.serial, place, node.place, also))
        return self.steps[-1]

    def _undo(self) -> Step:
        """The node that waits, or else the last place that was written."""
        if self.waiting is not None:
            node, self.waiting = self.waiting, None
            return Step("undone", node.name, node.serial, before=node.place)
        if not self.steps:
            raise NotPlaced("nothing")
        last = self.steps[-1]
        now = self.nodes.find(last.serial).place
        if now != last.place and not self.dry_run:
            raise NotPlaced("changed", last.node, now or "-")
        self._write(last.serial, last.before)
        self.steps.pop()
        return Step("undone", last.node, last.serial, last.before, last.place)

    def _write(self, serial: str, place: str) -> None:
        if self.dry_run:
            return
        if place:
            self.nodes.place(serial, place, self.now_ms())
        else:
            self.nodes.change(serial, {"place": "", "changed_ms": self.now_ms()})
