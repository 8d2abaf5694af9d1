"""One board, from blank to a working node, step by step: interpreter -> files -> hello -> enrol -> first reading.

Each step is a line of the report. MicroPython itself is put only onto a board on which nothing answers, and only when a
file of it is given. What holds another program is erased only where that is allowed (erasing).
Repeating it does no harm: what is done already is found done. Whatever a board does ends in a NodeReport.
"""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace

from tallystick_fleet import esp_loader, flash_board, node_self_test
from tallystick_fleet.boards import Board
from tallystick_fleet.enrol_node import NodeJob, enrol_node, say_hello
from tallystick_fleet.erasing import Erasing
from tallystick_fleet.errors import BoardLost, FlashNotBlank, LoaderSilent, NotErased, SelfTestFailed
from tallystick_fleet.esp_erase import Eraser
from tallystick_fleet.esp_image import EspImage
from tallystick_fleet.esp_tool import Line, Speeds
from tallystick_fleet.first_reading import listen, open_port
from tallystick_proof import keys
from tallystick_provisioning.enrolments import NodeExtra
from tallystick_provisioning.errors import NodeRefused, PortError, ProvisioningError
from tallystick_provisioning.serial_port import SerialPort
from tallystick_wire import reading
from tallystick_wire.errors import WireError

CONNECT, INTERPRETER, FLASH = "connect", "interpreter", "flash"
ERASE = "erase"  # a part of INTERPRETER, told of while it lasts
ENROL, TEST, DONE = "enrol", "self-test", "done"
LIST = "list"  # the work is done, but the site's list could not be written
HELLO_TIMEOUT_S = 3.0  # a node answers in milliseconds; what is silent so long is asked whether it is blank
NEW_HELLO_TIMEOUT_S = 1.0  # after MicroPython was written: a node there would be a surprise, the prompt is what counts
WOKEN_TIMEOUT_S = 10.0  # a node that slept, or was starting, when the chip's loader was asked and the board reset
CONNECT_TIMEOUT_S = 30.0  # a board that was just plugged in boots for a few seconds
PAUSE_S = 0.2  # a port that is gone fails at once

# What a person does next, by the step at which it stopped.
NEXT_ACTION = {
    CONNECT: "check the cable; hold BOOT while plugging in to erase a board of another owner",
    INTERPRETER: "plug it in again: the writing begins anew (no automatic reset: hold BOOT); put other kinds aside",
    ERASE: "put it aside; or start again with --erase, and say yes when you are asked",
    FLASH: "plug it in again: the copying goes on where it stopped",
    ENROL: "plug it in again; a node of another ledger must be erased first",
    LIST: "make room on this computer, then plug it in again: nothing is done twice",
    TEST: "check sensor and battery, then plug it in again; else put it aside",
}


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What holds for every node of a day's work. `files`: flash_board.tree_files; `interpreter`: for blank ESP32s.

    `erasing`: which others become blank; None: none.
    """

    job: NodeJob
    files: list[tuple[str, bytes]]
    model: str
    port_of: Callable[[str], str | None] = lambda serial: None  # where a board is now, when that may change
    interpreter: EspImage | None = None
    erasing: Erasing | None = None
    speeds: Speeds = field(default_factory=Speeds)
    moved: Callable[[], tuple[str, NodeExtra] | None] = lambda: None  # its serial number now, when that is another

    def erases(self, serial: str) -> bool:
        """Whether this board was named to be erased although it is a node."""
        return self.erasing is not None and self.erasing.wants(serial)


@dataclass(frozen=True, slots=True)
class NodeReport:
    """How far a board came. `step` is DONE, or where it stopped; `reason` is empty when it is done."""

    serial: str
    port: str
    step: str = CONNECT
    reason: str = ""
    public_key: bytes = b""
    enrolment: bytes = b""  # identity of the statement
    firmware: bytes = b""
    first_seq: int = 0
    temperature: str = ""
    was_enrolled: bool = False  # in an earlier run: it got no other enrolment
    is_silent: bool = False  # neither a node nor MicroPython answered so far

    @property
    def done(self) -> bool:
        return self.step == DONE

    @property
    def next_action(self) -> str:
        return NEXT_ACTION.get(self.step, "")

    @property
    def thumbprint(self) -> bytes:
        return keys.thumbprint(self.public_key) if self.public_key else b""


Tell = Callable[[str, str, int], None]  # serial, step, percent of the step


def provision_board(board: Board, plan: NodePlan, extra: NodeExtra, tell: Tell) -> NodeReport:
    """Bring `board` to work; never raises for what a board, a cable or a node does."""
    report = NodeReport(board.serial, board.port)
    steps = ((CONNECT, _connect), (INTERPRETER, _interpret), (FLASH, _flash), (ENROL, _enrol), (TEST, _test))
    for step, act in steps:
        if (step == INTERPRETER and not (report.is_silent or plan.erases(board.serial))) or (
            step == FLASH and report.public_key
        ):
            continue
        report = replace(report, step=step)
        tell(report.serial, step, 0)
        try:
            report = act(report, plan, extra, tell)
        except (FlashNotBlank, NotErased) as error:
            return replace(report, step=ERASE, reason=str(error))
        except (ProvisioningError, WireError) as error:
            return replace(report, reason=str(error))
        except OSError as error:  # this computer's: the outbox cannot be written
            return replace(report, reason=f"{error.filename or 'this computer'}: {error.strerror}")
        if step == INTERPRETER and (moved := plan.moved()) is not None:
            report, extra = replace(report, serial=moved[0]), moved[1]
    tell(report.serial, DONE, 100)
    return replace(report, step=DONE)


def _connect(report: NodeReport, plan: NodePlan, extra: NodeExtra, tell: Tell) -> NodeReport:
    """Wait until a node or MicroPython answers. A node shows its key: then there is nothing to flash.

    With an interpreter at hand one silence is enough: the chip's loader is asked next.
    """
    deadline = plan.job.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            return _asked(report, plan, HELLO_TIMEOUT_S)
        except (NodeRefused, PortError, BoardLost) as error:
            if plan.interpreter is not None:
                return replace(report, is_silent=True)
            if plan.job.monotonic() >= deadline:
                raise NodeRefused(f"neither a node nor a blank board with MicroPython answers: {error}") from None
            time.sleep(PAUSE_S)


def _interpret(report: NodeReport, plan: NodePlan, extra: NodeExtra, tell: Tell) -> NodeReport:
    """Put MicroPython onto a board on which nothing answers, unless it does answer after all: it may have been booting.

    After that whatever answers is met as ever, also a node that slept: the loader touches no flash that is not blank.
    What stays silent is erased first, where that is allowed.
    """
    report = replace(report, public_key=b"", firmware=b"")  # of a node that was named to be erased
    deadline = plan.job.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            _install(report, plan, tell)
            break
        except LoaderSilent as error:
            with suppress(NodeRefused, PortError, BoardLost):
                return _asked(report, plan, HELLO_TIMEOUT_S)
            if plan.job.monotonic() >= deadline:
                raise NodeRefused(f"neither a node, nor MicroPython, nor a blank board answers: {error}") from None
        except (FlashNotBlank, NotErased) as error:
            with suppress(NodeRefused, PortError, BoardLost):
                return _restarted(report, plan, WOKEN_TIMEOUT_S)
            raise error
    try:
        return _restarted(report, plan, CONNECT_TIMEOUT_S)
    except (NodeRefused, PortError, BoardLost) as error:
        raise NodeRefused(f"MicroPython is in its flash, but does not start: press RESET: {error}") from None


def _restarted(report: NodeReport, plan: NodePlan, within_s: float) -> NodeReport:
    """Wait for whatever answers after a reset; raises what kept it from that."""
    deadline = plan.job.monotonic() + within_s
    while True:
        try:
            return _asked(report, plan, NEW_HELLO_TIMEOUT_S)
        except (NodeRefused, PortError, BoardLost):
            if plan.job.monotonic() >= deadline:
                raise
            time.sleep(PAUSE_S)


def _install(report: NodeReport, plan: NodePlan, tell: Tell) -> None:
    if plan.interpreter is not None:
        port = plan.port_of(report.serial) or report.port
        line = Line(port, report.serial, plan.speeds, _percent(report, INTERPRETER, tell))
        esp_loader.install(line, plan.interpreter, _eraser(report, plan, tell))


def _eraser(report: NodeReport, plan: NodePlan, tell: Tell) -> Eraser | None:
    """NotErased comes of it when the board is a node that nobody named, or when a person says no."""
    allowed, serial = plan.erasing, report.serial
    if allowed is None:
        return None

    def erased() -> None:
        allowed.erased(serial)
        tell(serial, INTERPRETER, 0)

    progress = _percent(report, ERASE, tell)
    return Eraser(lambda found: allowed.allow(serial, found), erased, progress, allowed.wants(serial))


def _percent(report: NodeReport, step: str, tell: Tell) -> Callable[[int, int], None]:
    return lambda done, total: tell(report.serial, step, 100 * done // max(1, total))


def _asked(report: NodeReport, plan: NodePlan, hello_timeout_s: float) -> NodeReport:
    """The report when MicroPython or a node answers; the latter's with its key. Raises what kept it from answering."""
    if flash_board.is_blank(plan.port_of(report.serial) or report.port):
        return replace(report, is_silent=False)
    return replace(_met(report, plan, hello_timeout_s), is_silent=False)


def _flash(report: NodeReport, plan: NodePlan, extra: NodeExtra, tell: Tell) -> NodeReport:
    port = plan.port_of(report.serial) or report.port
    flash_board.flash(port, plan.files, lambda done, total: tell(report.serial, FLASH, 100 * done // total))
    # A crash here: the board has all its files; it starts as a node and is found as one.
    try:
        return _met(report, plan, CONNECT_TIMEOUT_S)
    except NodeRefused as error:
        raise NodeRefused(f"the board has all its files and was restarted, but {error}") from None


def _enrol(report: NodeReport, plan: NodePlan, extra: NodeExtra, tell: Tell) -> NodeReport:
    with closing(_open(report, plan)) as cable:
        node = enrol_node(cable, plan.job, plan.model, report.serial, extra)
    if node.public_key != report.public_key:
        raise NodeRefused("another node answered than before: connect one node to a port")
    return replace(report, enrolment=node.identity, was_enrolled=node.was_enrolled)


def _test(report: NodeReport, plan: NodePlan, extra: NodeExtra, tell: Tell) -> NodeReport:
    """The first readings, checked to the signature."""
    with closing(_open(report, plan)) as cable:
        taken = listen(cable, keys.kid(report.public_key), plan.job.monotonic)
    trust = plan.job.trust
    wrong = node_self_test.complaints(taken, report.public_key, trust.origin, trust.pen, report.firmware)
    if wrong:
        raise SelfTestFailed(*wrong)
    return replace(report, first_seq=taken[0].chain.seq, temperature=_shown(taken[0]))


def _met(report: NodeReport, plan: NodePlan, timeout_s: float) -> NodeReport:
    """The report with the key and the firmware of the node that answers."""
    with closing(_open(report, plan)) as cable:
        node = say_hello(cable, plan.job.monotonic, timeout_s)
    if report.public_key and node.public_key != report.public_key:
        raise NodeRefused("another node answered than before: connect one node to a port")
    return replace(report, public_key=node.public_key, firmware=node.firmware_hash)


def _open(report: NodeReport, plan: NodePlan) -> SerialPort:
    return open_port(report.port, lambda: plan.port_of(report.serial))


def _shown(one: reading.Reading) -> str:
    temperature = node_self_test.number(one.pack.get("t"))
    return "" if temperature is None else f"{temperature:.2f}"
