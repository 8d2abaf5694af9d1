"""Deep sleep: when the node may, what it remembers, and how it finds out what time it is when it wakes."""

from tallystick_node import segment as segments
from tallystick_node import sleep_state, state
from tallystick_node.clock import SleepClock
from tallystick_node.sleep_state import LONGEST_SLEEP_MS, SleepState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.board import Board
    from tallystick_node.ed25519 import SigningKey
    from tallystick_node.files import Files
    from tallystick_node.node import Node

DEEP_SLEEP = "deep-sleep"  # the reset cause of a wake


def recall(board: "Board", files: "Files", key: "SigningKey") -> "SleepState | None":
    """What the node knew when it fell asleep; None when this is a boot. The uptime goes on from there.

    The memory is cleared before it is used: should the node fail now, the next start is a boot, not the same wake again
    with numbers that were used meanwhile.
    """
    memory = board.rtc_memory
    if memory is None:
        return None
    data = memory.get()
    memory.set(b"")
    slept = sleep_state.decode(data)
    if slept is None or board.reset_cause != DEEP_SLEEP:
        return None
    counted_ms, boot = board.sleep_clock_ms(), state.this_boot(files)
    newest_seq = segments.newest_seq(files.names())
    if boot is None or not slept.belongs_to(state.kid(key.public_key), boot, newest_seq, counted_ms):
        return None
    slept_ms = SleepClock(*slept.clock).slept_ms(counted_ms - slept.counted_ms)
    board.go_on_from(slept.uptime_ms + slept_ms)
    return slept


class Sleep:
    """Between two wakes. `next_reading_ms`: when the node measures next."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        board, slept = node.board, node.slept
        self.next_reading_ms = 0
        self._quiet_from_ms = board.listen_ms  # of uptime: nobody who just switched it on is left standing
        self._clock = SleepClock()
        if slept is not None:
            self.next_reading_ms = slept.next_reading_ms
            self._quiet_from_ms = 0
            self._clock = SleepClock(*slept.clock)
        self._woke_ms, self._woke_counted_ms = board.uptime_ms(), board.sleep_clock_ms()

    def heard(self, now_ms: int) -> None:
        """Somebody talks to the node."""
        self._quiet_from_ms = now_ms + self._node.board.listen_ms
        self._node.delivery.heard(now_ms)

    def begins(self, now_ms: int) -> bool:
        """Sleep now, if there is nothing better to do: True when the board returned, and this life is over."""
        board = self._node.board
        if board.rtc_memory is None or now_ms < self._quiet_from_ms:
            return False
        sleep_ms = self._sleep_ms(now_ms)
        if sleep_ms < board.shortest_sleep_ms:
            return False
        data = self._remember(now_ms)
        if data is None:
            return False
        board.rtc_memory.set(data)
        board.deep_sleep(sleep_ms)
        return True

    def _sleep_ms(self, now_ms: int) -> int:
        """Until the next thing to do."""
        node = self._node
        radio_ms, batch_ms = node.delivery.rest_ms(now_ms), node.batch.due_in_ms(now_ms)
        if radio_ms is None:
            return 0
        until = [LONGEST_SLEEP_MS, radio_ms, self.next_reading_ms - now_ms]
        if batch_ms is not None:
            until.append(batch_ms)
        return min(until)

    def _remember(self, now_ms: int) -> "bytes | None":
        """None when the node should not sleep now, or when the batch must go to flash first; then it is on its way."""
        node, board = self._node, self._node.board
        parts = node.sleep()
        if parts is None:
            return None
        counted_ms = board.sleep_clock_ms()
        self._clock.watch(now_ms - self._woke_ms, counted_ms - self._woke_counted_ms)
        self._woke_ms, self._woke_counted_ms = now_ms, counted_ms
        clock = [self._clock.crystal_ms, self._clock.counted_ms]
        newest_seq = node.store.last
        slept = SleepState(node.kid, node.boot, newest_seq, now_ms, counted_ms, clock, self.next_reading_ms, parts)
        data = sleep_state.encode(slept)
        if data is None:
            node.store_batch(now_ms)
        return data
