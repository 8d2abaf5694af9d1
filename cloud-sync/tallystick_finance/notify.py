"""Telling people: one line on the server's log for every event, and a webhook (Standard Webhooks, CloudEvents body).

Events wait in their table, written in the transaction of what they tell. Delivery is at least once: a crash between
the answer and its row sends the same `webhook-id` again, by which the receiver knows it.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import httpx
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from tallystick_finance import records
from tallystick_finance.errors import FinanceError
from tallystick_finance.finance import Finance
from tallystick_finance.records import Event

TIMEOUT_S = 10.0  # a receiver should answer at once and work later
# Pauses between attempts, as Standard Webhooks proposes: three days in all, then the event is only at /v1/events.
BACKOFF_MS = tuple(seconds * 1000 for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
CLOUD_EVENTS = "application/cloudevents+json"


class Say(Protocol):
    """Writes one line to the server's log."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Hook:
    """Where events are posted, and the secret that signs them. HTTP client and pauses are the test's to choose."""

    def __init__(
        self, url: str, secret: str, client: httpx.Client, backoff_ms: Sequence[int] = BACKOFF_MS
    ) -> None:
        self.url = url
        self.backoff_ms = backoff_ms
        self._client = client
        try:
            self._signer = Webhook(secret)
        except (ValueError, EmptyWebhookSecretError) as error:
            raise FinanceError(f"webhook secret: {error}; it is whsec_ and base64") from None

    def post(self, event_id: str, body: str, now_ms: int) -> str | None:
        """Deliver one message; None when it was accepted, else why not."""
        # The package takes a naive datetime for UTC.
        now = datetime.fromtimestamp(now_ms // 1000, UTC).replace(tzinfo=None)
        headers = {
            "content-type": CLOUD_EVENTS,
            "webhook-id": event_id,
            "webhook-timestamp": str(now_ms // 1000),
            "webhook-signature": self._signer.sign(event_id, now, body),
        }
        try:
            # Streamed, so that a receiver cannot fill our memory with its answer.
            with self._client.stream("POST", self.url, content=body, headers=headers, timeout=TIMEOUT_S) as answer:
                return None if answer.is_success else f"HTTP {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{type(error).__name__}: {error}"


class Notifier:
    """Delivers events from one thread. Without a hook it only writes the line."""

    def __init__(self, finance: Finance, say: Say, hook: Hook | None, now_ms: Callable[[], int]) -> None:
        self._finance = finance
        self._say = say
        self._hook = hook
        self._now_ms = now_ms

    def deliver(self) -> int:
        """Try every event that is due, once; how many were tried."""
        tried = 0
        db = self._finance.ledger.db
        while True:
            with db.read() as tx:
                event = records.undelivered(tx, self._now_ms())
            if event is None:
                return tried
            next_ms = self._try(event)
            with db.transaction() as tx:
                records.delivered(tx, event, next_ms)
            tried += 1

    def _try(self, event: Event) -> int | None:
        """One attempt; when to make the next one."""
        data = json.loads(event.data)
        if event.attempts == 0:
            self._say("loan", id=event.id, type=event.type, loan=event.loan.hex(), text=data["text"])
        if self._hook is None:
            return None
        trouble = self._hook.post(f"event-{event.id}", self._body(event, data), self._now_ms())
        if trouble is None:
            return None
        pauses = self._hook.backoff_ms
        pause_ms = pauses[event.attempts] if event.attempts < len(pauses) else None
        self._say("webhook-failed", id=event.id, why=trouble, attempt=event.attempts + 1, again_in_ms=pause_ms)
        return None if pause_ms is None else self._now_ms() + pause_ms

    def _body(self, event: Event, data: object) -> str:
        time = datetime.fromtimestamp(event.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return json.dumps(
            {
                "specversion": "1.0",
                "id": str(event.id),
                "source": self._finance.ledger.origin,
                "type": event.type,
                "subject": event.loan.hex(),
                "time": time,
                "datacontenttype": "application/json",
                "data": data,
            }
        )
