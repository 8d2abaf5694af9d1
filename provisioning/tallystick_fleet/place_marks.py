"""What stands for a node or a place when it is scanned or tapped: a mark. Pure.

A scanner's mark is the line that it types; a tag's marks are the text on it and its UID. A node's label says its
thumbprint; for everything else there is a table, CSV with the columns mark, node, place:

    mark,node,place
    04A1B2C3D4E5F6,,Rotterdam / 1 / A12
    04FFEEDDCCBBAA,Cold room 1 door,
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tallystick_fleet.errors import NotPlaced, PlanError
from tallystick_fleet.node_plan import DELIMITERS, MAX_NAME_CHARACTERS
from tallystick_fleet.node_table import KnownNode
from tallystick_provisioning import text_file

MAX_MARKS_BYTES = 4 * 1024 * 1024  # as a plan
UNDO = ("undo", "撤销")  # typed, or as a code or tag of its own
COLUMNS = {"mark", "node", "place"}


@dataclass(frozen=True, slots=True)
class Mark:
    """`texts`: what it may be called by, the best first. `is_number`: only the number of a tag is known."""

    texts: tuple[str, ...]
    is_number: bool = False

    @property
    def is_undo(self) -> bool:
        return any(text.lower() in UNDO for text in self.texts)


@dataclass(frozen=True, slots=True)
class Marks:
    """The table: a mark's node or place. `places` are those that it names: with a table, no other place is taken."""

    nodes: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    def node(self, mark: Mark, known: Sequence[KnownNode]) -> KnownNode | None:
        """The node that the mark stands for. NotPlaced when several have that name."""
        words = {self.nodes.get(_key(text), text) for text in mark.texts if text}
        found = [node for node in known if any(word in node.called for word in words)]
        if len(found) > 1:
            raise NotPlaced("many-nodes", mark.texts[0], str(len(found)))
        return found[0] if found else None

    def place(self, mark: Mark) -> str:
        """The place that the mark stands for; NotPlaced when it is none."""
        for text in mark.texts:
            if _key(text) in self.places:
                return self.places[_key(text)]
        text = mark.texts[0]
        named = text in self.places.values()
        if self.places and not named:
            raise NotPlaced("no-place", text)
        if mark.is_number:
            raise NotPlaced("bare-tag", text)
        if not 0 < len(text) <= MAX_NAME_CHARACTERS or not text.isprintable():
            raise NotPlaced("long-place", str(MAX_NAME_CHARACTERS))
        return text


def read(path: Path) -> Marks:
    """The table; PlanError holds every complaint."""
    rows = _rows(path)
    complaints, seen = [], set[str]()
    nodes: dict[str, str] = {}
    places: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        mark, node, place = ((row.get(name) or "").strip() for name in ("mark", "node", "place"))
        if not mark or bool(node) == bool(place):
            complaints.append(f"row {number}: needs a mark, and a node or a place")
        if _key(mark) in seen:
            complaints.append(f"row {number}, column mark: {mark} occurs twice")
        seen.add(_key(mark))
        (nodes if node else places)[_key(mark)] = node or place
    if complaints:
        raise PlanError("\n".join(f"{path}: {complaint}" for complaint in complaints))
    return Marks(nodes, places)


def _rows(path: Path) -> list[dict[str, str | None]]:
    text = text_file.read(path, MAX_MARKS_BYTES).removeprefix("\ufeff")
    for delimiter in DELIMITERS:
        try:
            reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
            if set(reader.fieldnames or ()) == COLUMNS:
                return list(reader)
        except csv.Error as error:
            raise PlanError(f"{path}: {error}") from None
    raise PlanError(f"{path}: the first line must name the columns mark, node, place")


def _key(mark: str) -> str:
    """UIDs are written with colons and in small letters too."""
    bare = mark.replace(":", "").upper()
    return bare if bare and all(character in "0123456789ABCDEF" for character in bare) else mark
