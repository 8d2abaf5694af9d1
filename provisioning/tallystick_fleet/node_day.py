"""A day's work: every board that is plugged in becomes a node, and the site's list says how far each came."""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from tallystick_fleet import flash_board
from tallystick_fleet.boards import TWINS, Board, Boards, port_of, twins
from tallystick_fleet.bootsel_drives import DriveReport, DriveWatch
from tallystick_fleet.enrol_node import NodeJob
from tallystick_fleet.node_plan import SALT_BYTES, PlannedNode
from tallystick_fleet.node_table import NodeTable
from tallystick_fleet.node_view import NodeView
from tallystick_fleet.node_watch import Watch
from tallystick_fleet.provision_node import INTERPRETER, NodePlan, NodeReport, provision_board
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_provisioning import enrolments, key_file, site, update_keys
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.trust_setup import AUTHORITIES, SITE_KEY, TRUST, read_trust


@dataclass(frozen=True, slots=True)
class Day:
    """What is given: which boards are connected, the plan by serial number, what all nodes share, the site's list.

    `drives`: what fills Picos that have no MicroPython yet. `ending` hears when nothing more begins.
    """

    find: Boards
    planned: Mapping[str, PlannedNode]
    shared: NodePlan
    nodes: NodeTable
    view: NodeView
    drives: DriveWatch | None = None
    ending: Callable[[], None] = lambda: None
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def run(self, parallel: int, count: int | None) -> set[str]:
        """The serial numbers of all boards that were worked on.

        `count`: end after so many; 0: when those that are connected are through; None: at KeyboardInterrupt.
        """
        watch = Watch(self.find, self.work, parallel)

        def enough(watch: Watch) -> bool:
            if self.drives is not None and not self.drives.is_idle:
                return False
            if count == 0:
                return {board.serial for board in self.find()} <= watch.handled
            return count is not None and len(watch.handled) >= count

        with nullcontext() if self.drives is None else closing(self.drives):
            self._look(self.find())
            watch.run(enough, self._look, self._ending)
        return watch.handled

    def _ending(self) -> None:
        self.view.ending()
        self.ending()

    def _look(self, connected: list[Board]) -> None:
        self.view.twins(twins(connected))
        if self.drives is not None:
            self.drives.look({board.serial for board in connected})

    def work(self, board: Board) -> bool:
        """One board; called by several threads."""
        row = self.planned.get(board.serial, PlannedNode(board.serial))
        known = self.nodes.expect(row, self.shared.model, self.random_bytes(SALT_BYTES), now_ms())
        self.view.named(board.serial, known.name)
        if board.serial in twins(self.find()):
            report = NodeReport(board.serial, board.port, reason=TWINS)
        else:
            job = replace(self.shared.job, known=self.nodes.enrolment_of)
            shared = replace(self.shared, job=job, port_of=lambda serial: port_of(serial, self.find()))
            report = provision_board(board, shared, row.told(bytes.fromhex(known.salt)), self.view.tell)
        self.nodes.came(report, now_ms())
        self.view.came(report)
        return report.done


def drives(folders: list[Path], image: Uf2Image, view: NodeView, parallel: int) -> DriveWatch:
    """What fills Picos with `image`, and shows it in `view`."""

    def came(report: DriveReport) -> None:
        if report.reason:
            view.came(NodeReport(report.drive, report.drive, INTERPRETER, report.reason))
        else:
            view.filled(report.drive)

    return DriveWatch(folders, image, lambda drive, percent: view.tell(drive, INTERPRETER, percent), came, parallel)


def shared(folder: Path, firmware: Path, model: str) -> NodePlan:
    """What all nodes of a site share; keys and files are checked before the first board is touched."""
    trust = read_trust(folder / TRUST)
    authority = key_file.load(folder / AUTHORITIES / "node.key", "authority-node")
    enrolments.check_authority(authority, trust, "node")
    outbox = Outbox(folder / AUTHORITIES / "outbox")
    site_key = folder / SITE_KEY
    job = NodeJob(
        trust, authority, site.load(site_key), outbox, secrets.token_bytes, update_keys=update_keys.beside(site_key)
    )
    return NodePlan(job, flash_board.tree_files(firmware), model)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
