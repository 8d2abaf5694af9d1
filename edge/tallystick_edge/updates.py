"""The gateway's side of configuration and firmware: what lies in the folder of offers goes to the nodes that it is for.

What is signed is for the nodes to judge. The gateway refuses only what could never be right here: an offer for another
log, and one that has expired. A Talk (offers) per node; it is forgotten when the node boots or the folder changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tallystick_edge.journal import Journal
from tallystick_edge.metrics import Metrics
from tallystick_provisioning import offer_files
from tallystick_provisioning.offers import Offer, Talk, for_node
from tallystick_wire import transfer

FOLDER = "offers"
LOOK_S = 5.0  # how soon a new offer is seen
EXPIRED, FOREIGN, UNREADABLE = "expired", "foreign", "unreadable"

_Files = frozenset[tuple[str, int, int]]


@dataclass(slots=True)
class _NodeTalk:
    boot: int
    talk: Talk


class Updates:
    """Owned by the writer thread. `origin` is that of our log; `link_key(kid)` the key shared with an enrolled node."""

    def __init__(
        self, folder: Path, origin: str, link_key: Callable[[bytes], bytes], metrics: Metrics, journal: Journal
    ) -> None:
        self._folder, self._origin, self._link_key = folder, origin, link_key
        self._metrics, self._journal = metrics, journal
        self._looked_s: float | None = None
        self._files: _Files = frozenset()
        self._offers: list[Offer] = []
        self._told: set[tuple[bytes, str]] = set()
        self._talks: dict[bytes, _NodeTalk] = {}

    def look(self, now_ms: int | None, monotonic_s: float) -> None:
        """See what lies in the folder, now and then. Without a clock nothing is offered: a node must know the time."""
        if self._looked_s is not None and monotonic_s - self._looked_s < LOOK_S:
            return
        self._looked_s = monotonic_s
        files = self._listing()
        if files != self._files:
            self._files = files
            self._offers, wrong = offer_files.read_folder(self._folder)
            self._talks.clear()
            for text in wrong:
                self._refuse(text.encode(), UNREADABLE, text)
        self._keep_good(now_ms)

    def due(self, kid: bytes, boot: int, now_ms: int | None, monotonic_s: float) -> bytes | None:
        """What to say to this node now, if anything."""
        if not self._offers or now_ms is None:
            return None
        talk = self._talk(kid, boot)
        message = talk.due(now_ms, monotonic_s)
        if message is not None:
            self._metrics.offers.inc()
        return message

    def hear(self, kid: bytes, boot: int, payload: bytes, monotonic_s: float) -> bytes | None:
        """A message that is no reading came from this node; what to answer."""
        if not self._offers:
            return None
        talk = self._talk(kid, boot)
        before = dict(talk.outcomes)
        answer = talk.hear(payload, monotonic_s)
        if answer is not None:
            self._metrics.chunks.inc()
        for identity, word in talk.outcomes.items():
            if before.get(identity) != word:
                good = word in transfer.GOOD_OUTCOMES
                self._metrics.outcomes.labels(word if good else "refused").inc()
                self._journal.info("update", node=kid, offer=identity, outcome=word)
        return answer

    def _talk(self, kid: bytes, boot: int) -> Talk:
        known = self._talks.get(kid)
        if known is None or known.boot != boot:
            known = _NodeTalk(boot, Talk(self._link_key(kid), for_node(self._offers, self._origin, kid)))
            self._talks[kid] = known
        return known.talk

    def _listing(self) -> _Files:
        """Name, size and time of every file there; nothing when there is no folder."""
        try:
            found = [(path.name, path.stat()) for path in self._folder.iterdir()]
        except OSError:
            return frozenset()  # no folder, or a file went while we looked: next time
        return frozenset((name, status.st_size, status.st_mtime_ns) for name, status in found)

    def _keep_good(self, now_ms: int | None) -> None:
        good = []
        for one in self._offers:
            if one.manifest.origin != self._origin:
                self._refuse(one.manifest.identity, FOREIGN, f"for the log {one.manifest.origin}")
            elif now_ms is not None and one.manifest.expires_ms <= now_ms:
                self._refuse(one.manifest.identity, EXPIRED, "its time is over")
            else:
                good.append(one)
        if len(good) != len(self._offers):
            self._offers = good
            self._talks.clear()

    def _refuse(self, which: bytes, reason: str, text: str) -> None:
        """Count and say it, once for each offer."""
        if (which, reason) in self._told:
            return
        self._told.add((which, reason))
        self._metrics.offers_refused.labels(reason).inc()
        self._journal.warning("offer-refused", reason=reason, offer=which if reason != UNREADABLE else "", why=text)
