"""Which readings to send now: the oldest that are not acked, few at a time, again after a while without an ack."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_wire.sequence import Span

IN_FLIGHT_PART = 8  # of the time after which it is sent again anyway: so long it may still be on its way
WINDOW_READINGS = 16  # 3.4 KB: a third of a second at 115200 baud, and more than a segment's half


class Outbox:
    """`resend_after_ms` is the link's: how long an ack may take on it."""

    def __init__(self, resend_after_ms: int) -> None:
        self._resend_after_ms = resend_after_ms
        self._sent_ms: "dict[int, int]" = {}

    def due(self, pending: "list[int]", now_ms: int) -> "list[int]":
        """Those of `pending` (oldest first, at most WINDOW_READINGS) that should be sent now."""
        self._sent_ms = {seq: self._sent_ms[seq] for seq in pending if seq in self._sent_ms}
        return [seq for seq in pending if self._wait_ms(seq, now_ms) == 0]

    def missing(self, gaps: "list[Span]", now_ms: int) -> None:
        """An ack names what did not come, though later ones did: that is due, unless it was just sent again."""
        for seq in self._sent_ms:
            just_sent = now_ms - self._sent_ms[seq] < self._resend_after_ms // IN_FLIGHT_PART
            if not just_sent and any(first <= seq <= last for first, last in gaps):
                self._sent_ms[seq] = now_ms - self._resend_after_ms

    def forget_sent(self) -> None:
        """What was sent is lost: all of it is due."""
        self._sent_ms = {}

    def is_first(self, seq: int) -> bool:
        """Whether sending it now is no repetition, as far as we remember."""
        return seq not in self._sent_ms

    def sent(self, seq: int, now_ms: int) -> None:
        self._sent_ms[seq] = now_ms

    def wait_ms(self, pending: "list[int]", now_ms: int, limit_ms: int) -> int:
        """How long nothing is due, at most `limit_ms`."""
        return min([limit_ms] + [self._wait_ms(seq, now_ms) for seq in pending])

    def _wait_ms(self, seq: int, now_ms: int) -> int:
        if seq not in self._sent_ms:
            return 0
        return max(0, self._sent_ms[seq] + self._resend_after_ms - now_ms)
