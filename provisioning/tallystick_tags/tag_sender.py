"""Statements on their way to the ledger while tags are written: one thread that posts what waits, and nothing else.

The outbox is the truth: a statement leaves it only when the ledger has it, and goes again when nobody heard the answer.
The thread touches no database; whoever owns the job collects what was delivered and notes it there.
"""

import contextlib
import queue
import threading

from tallystick_provisioning.ledger_client import Delivery, LedgerClient
from tallystick_provisioning.outbox import Outbox

FIRST_PAUSE_S = 1.0  # after the ledger was away; twice as long each time
MAX_PAUSE_S = 60.0  # a network that is back is noticed within a minute
LAST_ATTEMPT_S = 15.0  # at the end of the day somebody waits for it: one answer that does not come, and some that do


class Sender:
    """Posts what an outbox holds, in the background, from `with` on; its end makes one last attempt.

    `deliveries` are those that were collected: posted, or refused for good.
    """

    def __init__(self, client: LedgerClient, outbox: Outbox) -> None:
        self._client, self._outbox = client, outbox
        self.deliveries: list[Delivery] = []
        self._ended: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._why = "nobody tried yet"
        self._something_new, self._closing, self._over = threading.Event(), threading.Event(), threading.Event()
        # A daemon: a post that hangs when time is up must not keep the command alive. What it carries stays waiting.
        self._thread = threading.Thread(target=self._work, name="sender", daemon=True)

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wake(self) -> None:
        """Something new waits. It is sent at once, unless the ledger is away."""
        self._something_new.set()

    def collect(self) -> list[Delivery]:
        """What was posted or refused since the last call."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._ended.get_nowait())
        self.deliveries += found
        return found

    @property
    def refused(self) -> int:
        """How many statements the ledger will not take, of those collected."""
        return len({delivery.path for delivery in self.deliveries if delivery.refused})

    def waiting(self) -> list[Delivery]:
        """What the outbox holds, with the reason."""
        return [Delivery(path, None, waits=self._why) for path in self._outbox.waiting()]

    def close(self, within_s: float = LAST_ATTEMPT_S) -> None:
        """One last attempt at what waits, in at most this time; Ctrl-C ends it. May be called again."""
        self._closing.set()
        self._something_new.set()
        with contextlib.suppress(KeyboardInterrupt):
            self._thread.join(within_s)
        self._over.set()

    def _work(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            self._something_new.clear()
            is_last = self._closing.is_set()
            is_away = self._is_away()
            if is_last or self._over.is_set():
                return
            if is_away:
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            else:
                pause_s = FIRST_PAUSE_S
                self._something_new.wait()

    def _is_away(self) -> bool:
        """Post what waits, until the ledger does not answer, or anything else is in the way; whether that happened."""
        try:
            for delivery in self._client.deliver_each(self._outbox):
                if delivery.waits is not None:
                    self._why = delivery.waits
                    return True
                self._ended.put(delivery)
                if self._over.is_set():
                    return False
        except OSError as error:
            self._why = f"{error.filename or self._outbox.folder}: {error.strerror}"
            return True
        except Exception as error:  # noqa: BLE001 (a thread that died would send nothing more and say nothing)
            self._why = f"{type(error).__name__}: {error}"
            return True
        return False
