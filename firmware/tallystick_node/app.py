"""The node's whole life on one screen. Measure; sign and keep a batch; send; forget what the gateway holds."""

import json

from tallystick_node import ed25519, inbox, sleeping, state
from tallystick_node.errors import StateLost
from tallystick_node.files import Files
from tallystick_node.node import Node
from tallystick_node.sleeping import Sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.board import Board

LONGEST_IDLE_MS = 1000  # so that acks are never late, and the uptime counter never wraps unseen
REPORT_EVERY_MS = 1000
_USUAL = ("readings", "sent", "acked", "anchors")  # counted, but no trouble


def run(board: "Board") -> None:
    """From power-on, or from a deep sleep, until the board says stop or sleeps."""
    node = wake(board)
    sleep = Sleep(node)
    report = Report(node)
    while board.awake():
        answer_messages(node, sleep)
        now_ms = board.uptime_ms()
        if now_ms >= sleep.next_reading_ms:
            node.take_reading(now_ms)
            sleep.next_reading_ms = max(sleep.next_reading_ms + node.settings.interval_ms, now_ms)
        if node.batch.due_in_ms(now_ms) == 0:
            # A crash before this costs the batch, of which nobody has heard; the next boot record says so.
            node.store_batch(now_ms)
        node.send_pending(now_ms)
        node.watchdog.turn(now_ms)
        node.updates.turn(now_ms)
        report.troubles(now_ms)
        if node.updates.reboot_due(now_ms, board.trial_ms):
            node.store_batch(now_ms)  # refused: the batch is lost, as in a power cut
            board.reboot()
            return
        if sleep.begins(now_ms):
            return
        board.idle(node.wait_ms(now_ms, min(LONGEST_IDLE_MS, max(0, sleep.next_reading_ms - now_ms))))


def answer_messages(node: Node, sleep: Sleep) -> None:
    for link in node.links:
        for message in link.receive():
            now_ms = node.board.uptime_ms()
            sleep.heard(now_ms)
            reply = inbox.answer(node, message, now_ms)
            if reply is not None:
                link.send(reply)  # to whoever asked


def wake(board: "Board") -> Node:
    """The node as it comes up, in the order in which it recovers."""
    files = Files(board.storage)
    try:
        return _wake(board, files)
    except StateLost as error:
        board.note("%s is lost: this key cannot go on, the next one must be enrolled" % error)
        state.retire_key(files)
        return _wake(board, files)


def _wake(board: "Board", files: Files) -> Node:
    key = state.load_key(files, board.random_bytes)  # 1. made at the first boot, kept before anybody hears of it
    slept = sleeping.recall(board, files, key)  # 2. a wake goes on with the boot that fell asleep
    boot = state.next_boot(files) if slept is None else slept.boot  # 3. kept before the first reading of this boot
    config = state.load_config(files)  # 4. None: wait to be enrolled
    return Node(board, files, key, boot, config, slept)  # 5. what waits to be sent, then which numbers are free


class Report:
    """One line when the node wakes, and one when there was trouble."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._last: "dict[str, int]" = {}
        self._next_ms = 0
        text = "enrolled in %s" % node.config.origin if node.config is not None else "not enrolled"
        if ed25519.slow_because is not None:
            text += ", signing slowly: %s" % ed25519.slow_because
        node.board.note("boot %d of node %s, %s" % (node.boot, node.kid.hex(), text))

    def troubles(self, now_ms: int) -> None:
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + REPORT_EVERY_MS
        counts = self._node.all_counts()
        troubles = {name: count for name, count in counts.items() if count and name not in _USUAL}
        if troubles != self._last:
            self._last = troubles
            self._node.board.note("counts " + json.dumps(counts))


def main(board: "Board") -> None:
    """What main.py calls: boot after boot, until the board says stop."""
    while board.awake():
        try:
            run(board)
        except Exception as error:  # noqa: BLE001  whatever it is: nobody stands beside a node to press its button
            board.restart(error)
