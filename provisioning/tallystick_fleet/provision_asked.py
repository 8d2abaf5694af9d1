"""What the command line of `node provision` asks for, read and checked before a board is touched."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tallystick_fleet import bootsel_drives, node_day
from tallystick_fleet import interpreter as interpreters
from tallystick_fleet.boards import Boards
from tallystick_fleet.erasing import Erasing, Person, all_agreed
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.esp_tool import Speeds
from tallystick_fleet.interpreter import Interpreter
from tallystick_fleet.node_day import Day
from tallystick_fleet.node_plan import PlannedNode
from tallystick_fleet.node_table import NodeTable
from tallystick_fleet.node_view import NodeView
from tallystick_fleet.provision_node import NodePlan
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_provisioning.errors import FileError, UsageError
from tallystick_provisioning.ledger_client import LedgerClient


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class NewBoards:
    """The options for boards that are no MicroPython yet."""

    interpreter: Annotated[
        Path | None,
        Parameter(help="MicroPython of its download page: .bin for an ESP32, .uf2 for a Pico with BOOTSEL held."),
    ] = None
    drives: Annotated[
        Path | None,
        Parameter(help="With a .uf2 file: the folder where Picos appear as drives; default: where desktops do."),
    ] = None
    erase: Annotated[
        bool, Parameter(help="Erase an ESP32 that holds another program, its maker's demo say; asks once per board.")
    ] = False
    erase_node: Annotated[
        tuple[str, ...], Parameter(help="Serial number of a node to erase as well: its key is lost. Several times.")
    ] = ()
    yes: Annotated[bool, Parameter(help="With --erase: do not ask.")] = False


NO_PYTHON = NewBoards()


@dataclass(frozen=True, slots=True)
class Python:
    """MicroPython that was given for blank boards, and where drives of Picos appear."""

    file: Interpreter | None
    folders: list[Path]

    @classmethod
    def given(cls, path: Path | None, drives: Path | None) -> "Python":
        file = None if path is None else interpreters.load(path)
        if drives is not None and not isinstance(file, Uf2Image):
            raise UsageError("drives: only with --interpreter FILE.uf2: no other board appears as a drive")
        if drives is not None and not drives.is_dir():
            raise FileError(f"{drives}: no such folder")
        if not isinstance(file, Uf2Image):
            return cls(file, [])
        return cls(file, bootsel_drives.default_folders() if drives is None else [drives])

    @property
    def esp(self) -> EspImage | None:
        return self.file if isinstance(self.file, EspImage) else None

    @property
    def uf2(self) -> Uf2Image | None:
        return self.file if isinstance(self.file, Uf2Image) else None


@dataclass(frozen=True, slots=True)
class Erase:
    """Boards with other programs become blank. `nodes` were named; `is_agreed`: nobody is asked."""

    nodes: frozenset[str]
    is_agreed: bool

    @classmethod
    def given(cls, new: NewBoards, python: Python) -> "Erase | None":
        if not new.erase and (new.erase_node or new.yes):
            raise UsageError("erase-node, yes: only with --erase")
        if new.erase and python.esp is None:
            raise UsageError("erase: give an ESP32's --interpreter FILE.bin too; a Pico is written over by its BOOTSEL")
        return cls(frozenset(new.erase_node), new.yes) if new.erase else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, read and checked."""

    find: Boards
    planned: Mapping[str, PlannedNode]
    shared: NodePlan
    python: Python
    parallel: int
    client: LedgerClient | None
    json: bool
    erase: Erase | None = None

    def day(self, nodes: NodeTable, view: NodeView) -> Day:
        uf2 = self.python.uf2
        drives = None if uf2 is None else node_day.drives(self.python.folders, uf2, view, self.parallel)
        shared = replace(self.shared, speeds=Speeds(view.note))
        if self.erase is None:
            return Day(self.find, self.planned, shared, nodes, view, drives)
        person = Person(view.question)
        ask = all_agreed if self.erase.is_agreed else person.ask
        shared = replace(shared, erasing=Erasing(ask, self.erase.nodes))
        return Day(self.find, self.planned, shared, nodes, view, drives, person.end)


