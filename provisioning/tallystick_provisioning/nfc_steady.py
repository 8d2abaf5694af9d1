"""A reader that stays: opened again when it vanished, stopped answering or became slow, with growing pauses.

Cheap readers do all three within an hour (nfcpy #62, #68, #154), and an installer has gloves on.
"""

import contextlib
import time
from collections.abc import Callable

from tallystick_provisioning import nfc
from tallystick_provisioning.errors import ReaderLost

POLL_PAUSE_S = 0.05
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 10.0
HEARTBEAT_S = 600.0  # so long a reader may see no tag before it is opened anew: a dead one sees none either
SLOW_FACTOR = 4.0  # a look that takes so many times its timeout...
SLOW_S = 3.0  # ...and so much longer comes from a reader that is dying

Open = Callable[[], nfc.Reader]


class SteadyReader:
    """A `nfc.Reader` around any other. ReaderLost leaves it only from a tag in use, never from sense().

    `tell` hears that it is lost, `back` that it is back.
    """

    def __init__(
        self,
        open_reader: Open,
        tell: Callable[[str], None],
        *,
        back: Callable[[str], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._open, self._tell, self._back = open_reader, tell, back or tell
        self._monotonic, self._sleep = monotonic, sleep
        self._reader: nfc.Reader | None = None
        self._alive_at = monotonic()  # when a tag was last seen, or the reader opened
        self._pause_s = FIRST_PAUSE_S
        self._lost = False
        self.name = "reader"

    @property
    def is_lost(self) -> bool:
        """Whether it is away: what it does not see may be there all the same."""
        return self._lost

    def sense(self, timeout_s: float = nfc.SENSE_TIMEOUT_S) -> nfc.Tag | None:
        """See nfc.Reader; None also while the reader is away."""
        deadline = self._monotonic() + timeout_s
        while True:
            tag = self._look(max(0.0, deadline - self._monotonic()))
            if tag is not None or self._monotonic() >= deadline:
                return tag
            self._sleep(POLL_PAUSE_S)

    def close(self) -> None:
        """See nfc.Reader."""
        if self._reader is not None:
            self._drop()

    def _look(self, timeout_s: float) -> nfc.Tag | None:
        """One look of the reader there is; opens one first when there is none."""
        reader = self._reader or self._reopen(timeout_s)
        if reader is None:
            return None
        began = self._monotonic()
        try:
            tag = reader.sense(timeout_s)
        except ReaderLost as error:
            self._lose(str(error))
            return None
        now = self._monotonic()
        if tag is not None:
            self._alive_at = now
        elif now - began > max(timeout_s * SLOW_FACTOR, timeout_s + SLOW_S):
            self._lose(f"{self.name} became slow")
        elif now - self._alive_at > HEARTBEAT_S:
            self._drop()  # quietly: nothing is known to be wrong
        return tag

    def _reopen(self, timeout_s: float) -> nfc.Reader | None:
        try:
            self._reader = self._open()
        except ReaderLost as error:
            self._lose(str(error))
            # The pause may not outlast the caller's patience: it looks again, and so do we.
            self._sleep(min(self._pause_s, max(timeout_s, FIRST_PAUSE_S)))
            self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
            return None
        if self._lost:
            self._back(f"reader is back: {self._reader.name}")
        self._lost = False
        self.name = self._reader.name
        self._alive_at, self._pause_s = self._monotonic(), FIRST_PAUSE_S
        return self._reader

    def _lose(self, why: str) -> None:
        if not self._lost:  # once: a person needs to hear it, and not every second
            self._tell(f"reader lost: {why}; looking for it")
        self._lost = True
        self._drop()

    def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(ReaderLost):  # it is gone already
                reader.close()
