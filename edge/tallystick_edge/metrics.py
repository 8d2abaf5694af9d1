"""Counters of one gateway, served as Prometheus text on loopback when gateway.toml names a port."""

import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from tallystick_edge.errors import ConfigError
from tallystick_wire.frame import Decoder

LOOPBACK = "127.0.0.1"
COMMIT_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """What the gateway counts. All names begin with tallystick_gateway_."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = self._counter("received", "Payloads from links.")
        self.verified = self._counter("verified", "Readings whose signature was checked and holds.")
        self.rejected = self._counter("rejected", "Payloads neither stored nor acknowledged.", "reason")
        self.duplicate = self._counter("duplicate", "Readings that were stored already.")
        self.fork = self._counter("fork", "Readings with a used sequence number and another identity.")
        self.unknown = self._counter("unknown", "Readings of kids that are not enrolled.")
        self.other = self._counter("other", "Messages that are no readings.")
        self.stored = self._counter("stored", "Readings appended to the log.")
        self.acked = self._counter("acked", "Acknowledgements handed to links.")
        self.unsent = self._counter("unsent", "Acknowledgements and anchors that a link did not take.")
        self.anchors = self._counter("anchors", "Anchors handed to links.")
        self.notes_refused = self._counter("notes_refused", "Ledger checkpoints that did not meet the witness policy.")
        self.commits = self._counter("commits", "Commits of entries; each is one fsync.")
        self.commit_failures = self._counter("commit_failures", "Commits that the disk refused.", "reason")
        self.commit_seconds = Histogram(
            "tallystick_gateway_commit_seconds",
            "How long a commit took.",
            registry=self.registry,
            buckets=COMMIT_BUCKETS_S,
        )
        self.frames_damaged = self._counter("frames_damaged", "Frames that were left out.", "link", "reason")
        self.link_up = self._gauge("link_up", "1 while a link is there.", "link")
        self.link_received = self._counter("link_received", "Payloads that came by a link.", "link")
        self.link_failures = self._counter("link_failures", "Times that a link could not be made or was lost.", "link")
        self.offers = self._counter("offers", "Configurations and firmware offered to nodes.")
        self.chunks = self._counter("chunks", "Pieces of firmware sent to nodes.")
        self.outcomes = self._counter("outcomes", "What nodes said of offers.", "word")
        self.offers_refused = self._counter("offers_refused", "Offers that no node gets.", "reason")
        self.syncs = self._counter("syncs", "Sync rounds.", "outcome")
        self.epochs = self._counter("epochs", "Trees opened because the ledger knew another history.")
        self.size = self._gauge("log_rows", "Rows in the log.")
        self.backlog = self._gauge("backlog_rows", "Rows that the ledger has not confirmed.")
        self.last_sync_ms = self._gauge("last_sync_ms", "Wall time of the ledger's last answer.")
        self._damaged: dict[tuple[str, str], tuple[int, int]] = {}
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"tallystick_gateway_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"tallystick_gateway_{name}", text, labels, registry=self.registry)

    def damaged(self, link: str, decoder: Decoder) -> None:
        """Take over what a link's decoder counted since the last call; a reopened port starts again at 0."""
        for reason in ("junk", "bad_crc", "oversize"):
            count = int(getattr(decoder, reason))
            seen_by, before = self._damaged.get((link, reason), (0, 0))
            grown = count - (before if seen_by == id(decoder) else 0)
            if grown:
                self.frames_damaged.labels(link, reason.replace("_", "-")).inc(grown)
                self._damaged[link, reason] = (id(decoder), count)

    def serve(self, port: int) -> None:
        """Answer on 127.0.0.1:port until stop(); ConfigError when the port is taken."""
        try:
            self._server, self._thread = start_http_server(port, addr=LOOPBACK, registry=self.registry)
        except OSError as error:
            raise ConfigError(f"metrics_port: {LOOPBACK}:{port}: {error.strerror}") from None

    def stop(self) -> None:
        """Give the port back."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
