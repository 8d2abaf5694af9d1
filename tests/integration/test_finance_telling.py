"""What happened to a loan is told once to a webhook and to a line of output, and again while nobody is there."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from bank_api import Api, offer, warm
from finance_support import Bank
from standardwebhooks import Webhook

from tallystick_finance import project
from tallystick_finance.errors import FinanceError
from tallystick_finance.notify import CLOUD_EVENTS, Hook, Notifier

SECRET = "whsec_" + "dGhlIHNlY3JldCBvZiB0aGUgYmFuaydzIHdlYmhvb2s="


class Receiver:
    """The bank's end of the webhook: answers as told, and checks signatures as the standard's own package does."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.client = httpx.Client(transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise httpx.ConnectError("refused")
        headers = dict(request.headers)
        sent = _utc(headers["webhook-timestamp"])
        signed = Webhook(SECRET).sign(headers["webhook-id"], sent, request.content.decode())
        assert signed == headers["webhook-signature"]
        assert headers["content-type"] == CLOUD_EVENTS
        self.heard.append((headers["webhook-id"], json.loads(request.content)))
        return httpx.Response(status)


def _utc(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None)


class Lines:
    """The server's log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


def test_every_event_is_told_once(bank: Bank, api: Api) -> None:
    decision = warm(bank, api)
    receiver, lines = Receiver(), Lines()
    notifier = Notifier(bank.finance, lines, Hook("http://bank.test/hook", SECRET, receiver.client), bank.live.clock)
    assert (notifier.deliver(), notifier.deliver()) == (2, 0)
    (_, opened), (name, decided) = receiver.heard
    assert name == "event-2"
    assert (opened["type"], decided["type"]) == ("tallystick.loan.opened", "tallystick.loan.decided")
    assert decided["specversion"] == "1.0"
    assert (decided["source"], decided["subject"]) == (bank.world.origin, decision["loan"])
    assert decided["time"].startswith("2025-10-09T")
    assert decided["data"]["decision"] == decision
    assert [(event, fields["text"]) for event, fields in lines.lines][-1] == ("loan", decided["data"]["text"])


def test_without_a_webhook_the_line_is_still_written(bank: Bank, api: Api) -> None:
    warm(bank, api)
    lines = Lines()
    assert Notifier(bank.finance, lines, None, bank.live.clock).deliver() == 2
    assert [event for event, _ in lines.lines] == ["loan", "loan"]


def test_a_receiver_that_is_away_is_tried_again_and_not_for_ever(bank: Bank, api: Api) -> None:
    facility, pledge = offer(bank)
    api.open(facility, pledge)
    receiver, lines = Receiver(0, 500, 302, 410), Lines()
    hook = Hook("http://bank.test/hook", SECRET, receiver.client, backoff_ms=(1000, 60_000, 60_000))
    notifier = Notifier(bank.finance, lines, hook, bank.live.clock)
    assert (notifier.deliver(), notifier.deliver()) == (1, 0)
    bank.live.clock.now_ms += 1000
    assert notifier.deliver() == 1
    for _ in range(2):
        bank.wait(1)
        assert notifier.deliver() == 1
    bank.wait(1000)
    assert notifier.deliver() == 0, "given up; it stays at /v1/events"
    assert [name for name, _ in receiver.heard] == ["event-1"] * 3, "the same id each time"
    failures = [fields for event, fields in lines.lines if event == "webhook-failed"]
    assert [fields["again_in_ms"] for fields in failures] == [1000, 60_000, 60_000, None]
    assert [event for event, _ in lines.lines].count("loan") == 1
    assert len(api.get("/v1/events")["items"]) == 1


def test_a_bad_secret_is_said_at_the_start() -> None:
    for secret in ("", "whsec_", "whsec_\u00fc"):
        with pytest.raises(FinanceError, match="webhook secret"):
            Hook("http://bank.test", secret, httpx.Client())


def test_projecting_twice_changes_nothing(bank: Bank, api: Api) -> None:
    decision = warm(bank, api)
    assert project.run(bank.finance) == 0
    assert api.get(f"/v1/loans/{decision['loan']}/decisions")["items"] == [decision]
