"""A day's work: every board that is plugged in becomes a node, and the site's list says how far each came."""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from tallystick_fleet import flash_board
from tallystick_fleet.boards import TWINS, Board, Boards, find_again, twins
from tallystick_fleet.drive_watch import DriveReport, DriveWatch
from tallystick_fleet.enrol_node import NodeJob
from tallystick_fleet.node_plan import SALT_BYTES, PlannedNode
from tallystick_fleet.node_table import NodeTable
from tallystick_fleet.node_view import NodeView
from tallystick_fleet.node_watch import Watch
from tallystick_fleet.provision_node import INTERPRETER, LIST, NodePlan, NodeReport, provision_board
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_provisioning import enrolments, key_file, site, update_keys
from tallystick_provisioning.enrolments import NodeExtra
from tallystick_provisioning.errors import ProvisioningError
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
    unlisted: dict[str, NodeReport] = field(default_factory=dict)  # what the list could not take
    renamed: dict[str, str] = field(default_factory=dict)  # a board's serial number now -> the one that it showed first

    def run(self, parallel: int, count: int | None) -> set[str]:
        """The serial numbers of all boards that were worked on.

        `count`: end after so many; 0: when those that are connected are through; None: at KeyboardInterrupt.
        """
        watch = Watch(self.find, self.work, parallel, renamed=self.renamed)

        def enough(watch: Watch) -> bool:
            if self.drives is not None and not self.drives.is_idle:
                return False
            if count == 0:
                return {board.serial for board in self.find()} <= watch.handled | set(self.renamed)
            return count is not None and len(watch.handled) >= count

        with nullcontext() if self.drives is None else closing(self.drives):
            self._look(self.find())
            watch.run(enough, self._look, self._ending)
        return watch.handled | set(self.renamed)

    def _ending(self) -> None:
        self.view.ending()
        self.ending()

    def _look(self, connected: list[Board]) -> None:
        self.view.twins(twins(connected))
        if self.drives is not None:
            self.drives.look(connected)

    def work(self, board: Board) -> bool:
        """One board; called by several threads. A list that cannot be written fails this board, and no other."""
        try:
            report = self._worked(board, self._expected(board.serial, self.renamed.get(board.serial, board.serial)))
        except ProvisioningError as error:
            report = NodeReport(board.serial, board.port, reason=str(error))
        try:
            self.nodes.came(report, now_ms())
        except ProvisioningError as error:
            report = replace(report, step=LIST, reason=report.reason or str(error))
            self.unlisted[report.serial] = report
        else:
            self.unlisted.pop(report.serial, None)
        self.view.came(report)
        return report.done

    def _worked(self, board: Board, extra: NodeExtra) -> NodeReport:
        if board.serial in twins(self.find()):
            return NodeReport(board.serial, board.port, reason=TWINS)
        shared = replace(
            self.shared,
            job=replace(self.shared.job, known=self.nodes.enrolment_of),
            port_of=lambda serial: self._port(board),
            moved=lambda: self._moved(board),
        )
        return provision_board(board, shared, extra, self.view.tell)

    def _expected(self, serial: str, planned_as: str) -> NodeExtra:
        """What the enrolment says beside the key; the board has a row from now on. A plan may know another number."""
        row = self.planned.get(serial) or replace(
            self.planned.get(planned_as, PlannedNode(planned_as)), serial=serial
        )
        known = self.nodes.expect(row, self.shared.model, self.random_bytes(SALT_BYTES), now_ms())
        self.view.named(serial, known.name)
        return row.told(bytes.fromhex(known.salt))

    def _port(self, board: Board) -> str | None:
        now = find_again(board, self.find())
        return None if now is None else now.port

    def _moved(self, board: Board) -> tuple[str, NodeExtra] | None:
        """The number that a board shows now, when it is another one: from here on it is called so."""
        now = find_again(board, self.find())
        if now is None or now.serial == board.serial:
            return None
        self.renamed[now.serial] = board.serial
        self.nodes.rename(board.serial, now.serial)
        self.view.moved(board.serial, now.serial)
        return now.serial, self._expected(now.serial, board.serial)


def drives(folders: list[Path], image: Uf2Image, view: NodeView, parallel: int) -> DriveWatch:
    """What fills Picos with `image`, and shows it in `view`."""

    def came(report: DriveReport) -> None:
        if report.reason:
            view.came(NodeReport(report.drive, report.drive, INTERPRETER, report.reason))
        else:
            view.filled(report.drive)

    def tell(drive: str, percent: int) -> None:
        view.tell(drive, INTERPRETER, percent)

    return DriveWatch(folders, image, tell, came, parallel, note=view.note)


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
