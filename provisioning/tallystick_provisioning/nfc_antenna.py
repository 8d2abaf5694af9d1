"""Tags that come and go on a reader which may be unplugged: what every hands-free loop waits for."""

import time
from collections.abc import Callable

from tallystick_provisioning.errors import NfcError, TwoTags
from tallystick_provisioning.nfc import Reader
from tallystick_provisioning.nfc_steady import SteadyReader

GONE_LOOKS = 3  # in a row without the tag: at the edge of the field one look misses it now and then
SENSE_S = 1.0  # how long one look for a tag may take; in between a person can stop the run


class Antenna:
    """A reader that is opened again when it vanishes. `lost` and `two` are told once each time it happens.

    `back` is told when the reader is back, `cleared` when there are no two tags any more: a screen says so no longer.
    `idle` is called between two looks for the next tag.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        lost: Callable[[str], None],
        two: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        idle: Callable[[], None] = lambda: None,
        back: Callable[[str], None] = lambda name: None,
        cleared: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_reader, self._lost, self._two = open_reader, lost, two
        self._monotonic, self._idle, self._cleared = monotonic, idle, cleared
        self._first: Reader | None = None
        self._sees_two = False
        self._steady = SteadyReader(self._open, lost, back=back, monotonic=monotonic)
        self.reader: Reader = self._steady

    def open(self) -> None:
        """Open the reader now, so that a wrong name is an error (ReaderLost) and not a wait."""
        self._first = self._open_reader()

    def wait_for_tag(self, patience_s: float | None) -> bytes | None:
        """The UID of the next tag; None when none came in `patience_s` (None: wait for ever)."""
        until = None if patience_s is None else self._monotonic() + patience_s
        while True:
            self._idle()
            left_s = SENSE_S if until is None else max(0.0, until - self._monotonic())
            found = self.look(min(SENSE_S, left_s))
            if found is not None or (until is not None and self._monotonic() >= until):
                return found

    def wait_for_removal(self, uid: bytes, patience_s: float | None = None) -> bytes | None:
        """Until this tag is gone: the UID of the one that lies in its place, if one does.

        `uid` itself when nobody took it away in `patience_s` (None: wait for ever). A tag that another one hides, or a
        reader that is away, has not taken it away.
        """
        until = None if patience_s is None else self._monotonic() + patience_s
        missed = 0
        while True:
            found = self.look(0.0)
            if found not in (None, uid):
                return found
            is_seen = found is not None or self._sees_two or self._steady.is_lost
            missed = 0 if is_seen else missed + 1
            if missed == GONE_LOOKS:
                return None
            if until is not None and self._monotonic() >= until:
                return uid if is_seen else None

    def look(self, timeout_s: float) -> bytes | None:
        """The UID of the tag that is there."""
        try:
            tag = self.reader.sense(timeout_s)
        except TwoTags:
            if not self._sees_two:
                self._sees_two = True
                self._two()
            return None
        except NfcError:
            return None  # it came and went: look again
        if self._sees_two:
            self._sees_two = False
            self._cleared()
        return None if tag is None else tag.uid

    def close(self) -> None:
        """Field off; may be called again."""
        self.reader.close()

    def _open(self) -> Reader:
        first, self._first = self._first, None
        return first or self._open_reader()
