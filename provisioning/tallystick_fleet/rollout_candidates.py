"""Which connected nodes an offer may be for, and what they say of it themselves: the list knows what was seen last."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tallystick_fleet import boards as board_sources
from tallystick_fleet.boards import Board
from tallystick_fleet.errors import PlanError
from tallystick_fleet.first_reading import open_port
from tallystick_fleet.node_rollout import HAS_IT, Candidate
from tallystick_fleet.node_table import KnownNode, NodeTable
from tallystick_fleet.update_node import Asked, ask_about
from tallystick_provisioning.errors import ProvisioningError
from tallystick_provisioning.offers import Offer
from tallystick_wire import transfer
from tallystick_wire.errors import WireError

UNKNOWN_VERSION = 0  # it went back to what it ran before, whatever that is
ASK_TIMEOUT_S = 10.0  # a node answers in milliseconds; one that signs a batch, in seconds

Ask = Callable[[Board], Asked | None]  # None: it does not answer


def connected_nodes(connected: list[Board], nodes: NodeTable) -> list[tuple[Board, KnownNode]]:
    """The connected boards that are working nodes of the list."""
    known = {node.serial: node for node in nodes.nodes() if node.thumbprint}
    for serial in board_sources.twins(connected) & set(known):
        raise PlanError(f"{serial}: {board_sources.TWINS}")
    return [(board, known[board.serial]) for board in connected if board.serial in known]


def unasked(found: list[tuple[Board, KnownNode]]) -> list[Candidate]:
    return [Candidate(board, node.name, node.thumbprint) for board, node in found]


def asked(
    found: list[tuple[Board, KnownNode]], one: Offer, ask: Ask, nodes: NodeTable, parallel: int, now_ms: int
) -> list[Candidate]:
    """Each with its own word for the offer; the list learns what it says."""
    with ThreadPoolExecutor(parallel) as pool:
        answers = list(pool.map(ask, [board for board, _ in found]))
    candidates = []
    for (board, node), answer in zip(found, answers, strict=True):
        if answer is not None:
            nodes.seen(node.serial, answer.firmware.hex(), now_ms)
            _correct(nodes, node, one, answer.word, now_ms)
        candidates.append(Candidate(board, node.name, node.thumbprint, "" if answer is None else answer.word))
    return candidates


def _correct(nodes: NodeTable, node: KnownNode, one: Offer, word: str, now_ms: int) -> None:
    """Let the list say what the node says."""
    told = one.manifest
    if word in (transfer.CURRENT, transfer.ON_TRIAL):
        nodes.took(node.serial, told.kind, told.version, now_ms)
    elif word not in HAS_IT and getattr(node, f"{told.kind}_version") >= told.version:
        nodes.took(node.serial, told.kind, UNKNOWN_VERSION, now_ms)


def asker(one: Offer, site_key: bytes) -> Ask:
    """Asks over the board's cable. A node that does not answer is no reason to stop: its turn in the roll-out is."""

    def ask(board: Board) -> Asked | None:
        try:
            with closing(open_port(board.port)) as port:
                return ask_about(port, one, site_key, ASK_TIMEOUT_S)
        except (ProvisioningError, WireError):
            return None

    return ask
