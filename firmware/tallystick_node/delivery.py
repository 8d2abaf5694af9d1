"""What goes to the gateway and when: the oldest first, again until it is acked, and the radio on no longer than needed.

The radio is up while readings wait, and for a while after the last word. When nothing is acked it goes down, and the
pauses between two tries grow; a reading that is urgent is tried at once. A cable ignores all this and is always up.
"""

from tallystick_node.outbox import WINDOW_READINGS, Outbox
from tallystick_node.sleep_state import LONGEST_SLEEP_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick_node.board import Link
    from tallystick_node.store import Store
    from tallystick_wire.message import Ack

GIVE_UP_MS = 60_000  # a join, a TLS handshake and several sendings again without an ack: nobody is there
FIRST_PAUSE_MS = 60_000
LONGEST_PAUSE_MS = 1_800_000  # a gateway that comes back is found within half an hour


class Delivery:
    """`linger_ms`: how long the radio stays up after the last word, for what the gateway has to say."""

    def __init__(self, link: "Link", store: "Store", linger_ms: int, count: "Callable[[str], None]") -> None:
        self._link = link
        self._store = store
        self._linger_ms = linger_ms
        self._count = count
        self._outbox = Outbox(link.resend_after_ms)
        self._link_refuses = False
        self._losses = 0
        self._is_on = True
        self._word_ms = 0  # the last payload from the gateway, or when the radio went up
        self._ack_ms = 0  # the last ack, or when the radio went up
        self._pause_ms = 0
        self._next_try_ms = 0

    def heard(self, now_ms: int) -> None:
        """Somebody is at the other end."""
        self._word_ms = now_ms

    def acked(self, ack: "Ack", forgotten: int, now_ms: int) -> None:
        """And has something of what we sent, of which `forgotten` readings were new to us."""
        self._outbox.missing(ack.gaps, now_ms)
        if forgotten:
            self._ack_ms = now_ms
            self._pause_ms = 0

    def hurry(self) -> None:
        """Something urgent waits: no pause holds it back."""
        self._next_try_ms = 0

    def turn(self, now_ms: int) -> bool:
        """Switch the radio and send what is due; True when the link took something that is not sent again."""
        pending = self._store.pending(WINDOW_READINGS)
        self._switch(bool(pending), now_ms)
        self._link_refuses = bool(pending) and not self._link.is_up()
        if self._link_refuses:
            return False
        if self._link.losses != self._losses:
            self._losses = self._link.losses
            self._outbox.forget_sent()
        took_something = False
        for seq in self._outbox.due(pending, now_ms):
            if not self._link.send(self._store.get(seq)):
                self._link_refuses = True
                break
            took_something = took_something or self._outbox.is_first(seq)
            self._outbox.sent(seq, now_ms)
            self._count("sent")
        return took_something

    def wait_ms(self, now_ms: int, limit_ms: int) -> int:
        """How long nothing is due here, at most `limit_ms`."""
        if self._link_refuses:
            return limit_ms  # what makes it take more ends the wait
        return self._outbox.wait_ms(self._store.pending(WINDOW_READINGS), now_ms, limit_ms)

    def rest_ms(self, now_ms: int) -> "int | None":
        """How long the radio stays down, a day when nothing waits; None while it is up."""
        if self._is_on:
            return None
        return max(0, self._next_try_ms - now_ms) if self._store.pending(1) else LONGEST_SLEEP_MS

    def sleep(self) -> "list[int]":
        """What a deep sleep must not forget."""
        return [self._pause_ms, self._next_try_ms]

    def resume(self, saved: "list[int]") -> None:
        """Wake from a deep sleep: the radio is down."""
        self._pause_ms, self._next_try_ms = saved
        self._is_on = False
        self._link.power(False)

    def _switch(self, waiting: bool, now_ms: int) -> None:
        if not self._is_on:
            if waiting and now_ms >= self._next_try_ms:
                self._turn_on(now_ms)
        elif not waiting:
            self._ack_ms = now_ms
            if now_ms - self._word_ms >= self._linger_ms:
                self._turn_off()
        elif now_ms - self._ack_ms >= GIVE_UP_MS:
            self._pause_ms = min(max(2 * self._pause_ms, FIRST_PAUSE_MS), LONGEST_PAUSE_MS)
            self._next_try_ms = now_ms + self._pause_ms
            self._turn_off()

    def _turn_on(self, now_ms: int) -> None:
        self._is_on = True
        self._word_ms = self._ack_ms = now_ms
        self._link.power(True)

    def _turn_off(self) -> None:
        self._is_on = False
        self._link.power(False)
