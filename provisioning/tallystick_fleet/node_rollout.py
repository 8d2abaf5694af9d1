"""One offer for many connected nodes: the canaries first, one after the other; it stops where one fails.

A node is through when it says that it runs what was offered, and its readings hold. New firmware is on trial until a
gateway has acked a reading of it; that comes later, and without it the node goes back by itself.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from tallystick_fleet import node_self_test
from tallystick_fleet.boards import Board, Boards, port_of
from tallystick_fleet.enrol_node import say_hello
from tallystick_fleet.errors import SelfTestFailed
from tallystick_fleet.first_reading import listen, open_port
from tallystick_fleet.update_node import Pushed, push
from tallystick_proof import keys
from tallystick_provisioning.errors import NodeRefused, ProvisioningError
from tallystick_provisioning.offers import Offer
from tallystick_provisioning.serial_port import SerialPort
from tallystick_wire import transfer
from tallystick_wire.errors import WireError

CANARIES = 1
SETTLE_TIMEOUT_S = 120.0  # a small board unpacks, boots and imports for half a minute
ASK_AGAIN_S = 2.0
NEXT_ACTION = {"updates_failed_before": ": it went back to older firmware; sign the image again to try it again"}
LEFT = "left alone: an earlier node failed"
Progress = Callable[[str, int, int], None]  # serial, chunks that it has, chunks in all


@dataclass(frozen=True, slots=True)
class Candidate:
    """A connected node of the list. `word`: its own for the offer, when it was asked; "" when it was not, or is silent.

    What the list says of versions decides nothing: a node may have gone back since.
    """

    board: Board
    name: str
    thumbprint: str
    word: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one node. `word` is the node's own; `reason` is empty where all is well.

    `firmware`: the hash in hex of what it ran when it was last asked.
    """

    serial: str
    name: str
    word: str
    reason: str = ""
    canary: bool = False
    firmware: str = ""

    @property
    def is_good(self) -> bool:
        return not self.reason

    def value(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Plan:
    """Who gets the offer, in order; the first `canaries` one by one. `skipped`: (candidate, why not)."""

    todo: tuple[Candidate, ...]
    skipped: tuple[tuple[Candidate, str], ...]
    canaries: int


# Its own words for an offer that need no second look, and how a person reads them.
HAS_IT = {transfer.CURRENT: "has it", transfer.ON_TRIAL: "runs it on trial", "updates_old": "has a later one"}


def plan(candidates: Sequence[Candidate], one: Offer, outdated: bool, canaries: int) -> Plan:
    """Pure: a node for which the offer is not, or that says itself that it has it (when `outdated`), is skipped."""
    todo, skipped = [], []
    for candidate in candidates:
        target = one.manifest.target
        if target is not None and target.hex() != candidate.thumbprint[: 2 * keys.KID_BYTES]:
            skipped.append((candidate, f"the offer is for node {target.hex()} only"))
        elif outdated and candidate.word in HAS_IT:
            skipped.append((candidate, f"it says that it {HAS_IT[candidate.word]}"))
        else:
            todo.append(candidate)
    return Plan(tuple(todo), tuple(skipped), min(canaries, len(todo)))


@dataclass(slots=True)
class RollOut:
    """Carry out a plan. `done(result)` is told of each node as it is through."""

    one: Offer
    site_key: bytes
    origin: str
    pen: int
    progress: Progress
    find: Boards = list  # who is connected now: a port may have another name after a restart
    done: Callable[[Result], None] = lambda result: None
    results: list[Result] = field(default_factory=list)

    def run(self, planned: Plan, parallel: int) -> list[Result]:
        """The results in the order of the plan; those that were left alone after a failure say so."""
        canaries, rest = planned.todo[: planned.canaries], planned.todo[planned.canaries :]
        results = [self._unless_stopped(candidate, True) for candidate in canaries]
        with ThreadPoolExecutor(parallel) as pool:
            results += pool.map(lambda candidate: self._unless_stopped(candidate, False), rest)
        return results

    def _unless_stopped(self, candidate: Candidate, canary: bool) -> Result:
        """Asked when a node's turn comes: a failure stops all that have not begun."""
        serial = candidate.board.serial
        if any(not result.is_good for result in self.results):
            return Result(serial, candidate.name, "", LEFT, canary)
        try:
            pushed = self._bring(candidate.board)
            result = Result(serial, candidate.name, pushed.word, canary=canary, firmware=pushed.firmware.hex())
        except (ProvisioningError, WireError) as error:
            result = Result(serial, candidate.name, "", str(error), canary)
        self.results.append(result)
        self.done(result)
        return result

    def _bring(self, board: Board) -> Pushed:
        """Push, and wait until the node says from its next boot that it runs what was pushed."""
        pushed = self._push(board)
        if pushed.word == transfer.CURRENT:
            return pushed
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while pushed.word in (transfer.KEPT, transfer.LOADED):
            if time.monotonic() > deadline:
                raise NodeRefused(f"it still says {pushed.word} after {SETTLE_TIMEOUT_S:.0f} s")
            time.sleep(ASK_AGAIN_S)
            pushed = self._push(board)
        self._test(board)
        return pushed

    def _push(self, board: Board) -> Pushed:
        with closing(self._open(board)) as port:
            pushed = push(port, self.one, self.site_key, lambda done, of: self.progress(board.serial, done, of))
        if not pushed.is_good:
            raise NodeRefused(f"the node says {pushed.word}{NEXT_ACTION.get(pushed.word, '')}")
        return pushed

    def _open(self, board: Board) -> SerialPort:
        return open_port(board.port, lambda: port_of(board.serial, self.find()))

    def _test(self, board: Board) -> None:
        with closing(self._open(board)) as port:
            node = say_hello(port)
            taken = listen(port, keys.kid(node.public_key))
        # What waits for its ack comes first, and may be older than the update.
        wrong = node_self_test.complaints(taken, node.public_key, self.origin, self.pen, None)
        if wrong:
            raise SelfTestFailed(*wrong)
