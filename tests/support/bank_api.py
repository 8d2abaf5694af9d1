"""The bank's API as its developer has it, and what its tests ask of an answer."""

import hashlib
from typing import Any

import httpx
from finance_support import Bank
from litestar.testing import TestClient

from tallystick_finance.errors import PROBLEMS
from tallystick_ledger.context import Context
from tallystick_web import app

TOKEN = "the-token-of-this-test"


class Api:
    """The bank's developer: the app behind a client that carries the token."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        context = Context(bank.live.ledger, hashlib.sha256(TOKEN.encode()).digest())
        self.client: TestClient[Any] = TestClient(app.build(context, bank.finance))
        self.client.headers["authorization"] = f"Bearer {TOKEN}"

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def open(self, facility: bytes, pledge: bytes, key: str = "key-1") -> httpx.Response:
        return self.client.post(
            "/v1/loans", json={"facility": facility.hex(), "pledge": pledge.hex()}, headers={"Idempotency-Key": key}
        )


def problem(answer: httpx.Response, name: str) -> dict[str, Any]:
    """The answer's problem, which must be this one, whole and with a next action."""
    status, title, _ = PROBLEMS[name]
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["title"]) == (status, status, title), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:tallystick:problem:{name}"
    assert body["detail"]
    assert body["next"]
    return body


def offer(bank: Bank, **changes: Any) -> tuple[bytes, bytes]:
    """A published facility and pledge that open a loan, but for the changes to the pledge."""
    facility = bank.facility()
    pledge = bank.pledge(facility, bank.association(), **changes)
    bank.live.settle()
    return facility, pledge


def warm(bank: Bank, api: Api) -> Any:
    """A loan whose lot was too warm; its one decision."""
    facility, pledge = offer(bank)
    assert api.open(facility, pledge).status_code == 201
    bank.anchor()
    bank.minute(450, *[900] * 12)
    bank.sync()
    page = api.get(f"/v1/loans/{pledge.hex()}/decisions")
    assert page["next"] is None
    return page["items"][0]
