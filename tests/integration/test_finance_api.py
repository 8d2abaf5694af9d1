"""The bank's API on the real app over a real database: every answer, every refusal, the webhook."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from finance_support import MINUTE_MS, Bank
from litestar.testing import TestClient
from standardwebhooks import Webhook

from tallystick_finance import opening, project, routes
from tallystick_finance.errors import PROBLEMS, FinanceError
from tallystick_finance.notify import CLOUD_EVENTS, Hook, Notifier
from tallystick_ledger.context import Context
from tallystick_proof import statement
from tallystick_proof.evidence import Evidence
from tallystick_tools.verify_decision import verify_decision
from tallystick_web import app

TOKEN = "the-token-of-this-test"
SECRET = "whsec_" + "dGhlIHNlY3JldCBvZiB0aGUgYmFuaydzIHdlYmhvb2s="
DAY_MS = 1440 * MINUTE_MS


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


@pytest.fixture
def bank(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[Bank]:
    made = Bank(tmp_path, make_world)
    yield made
    made.close()


@pytest.fixture
def api(bank: Bank) -> Iterator[Api]:
    made = Api(bank)
    with made.client:
        yield made


@pytest.fixture(autouse=True)
def do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "PUBLISH_WAIT_S", 0.0)


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


# --- opening


def test_open_a_loan(bank: Bank, api: Api) -> None:
    facility, pledge = offer(bank)
    answer = api.open(facility, pledge)
    assert answer.status_code == 201
    loan = answer.json()
    assert loan["id"] == loan["pledge"] == pledge.hex()
    assert (loan["status"], loan["lot"], loan["decisions"]) == ("active", "L7", 0)
    assert loan["principal"] == {"minor": 90_000_000, "currency": "CNY", "text": "900,000.00 CNY"}
    assert loan["base"]["text"] == "1,000,000.00 CNY"
    assert (loan["margin_call"], loan["evidence"], loan["broken"]) == (None, None, [])
    assert [node["last_seq"] for node in loan["nodes"]] == [None]
    assert api.get(f"/v1/loans/{loan['id']}") == loan
    assert api.get("/v1/loans") == {"items": [loan], "next": None}


def test_the_same_key_again_is_the_same_loan(bank: Bank, api: Api) -> None:
    facility, pledge = offer(bank)
    first, again = api.open(facility, pledge), api.open(facility, pledge)
    assert (again.status_code, again.json()) == (201, first.json())
    other = bank.facility()
    bank.live.settle()
    problem(api.open(other, pledge), "key-reused")
    problem(api.open(facility, pledge, "key-2"), "already-open")
    assert len(api.get("/v1/loans")["items"]) == 1
    assert [event["type"] for event in api.get("/v1/events")["items"]] == ["tallystick.loan.opened"]


def test_a_refusal_is_not_kept(bank: Bank, api: Api) -> None:
    facility = bank.facility()
    pledge = bank.pledge(facility, bank.association())
    problem(api.open(facility, pledge), "not-published")
    bank.live.settle()
    assert api.open(facility, pledge).status_code == 201


def test_it_waits_for_the_next_checkpoint(bank: Bank, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "PUBLISH_WAIT_S", 30.0)
    facility = bank.facility()
    pledge = bank.pledge(facility, bank.association())
    publish = threading.Timer(0.5, bank.live.settle)
    publish.start()
    assert api.open(facility, pledge).status_code == 201
    publish.join()


@pytest.mark.parametrize("key", ["", "x" * 129, "schl\u00fcssel"])
def test_idempotency_keys_refused(bank: Bank, api: Api, key: str) -> None:
    facility, pledge = offer(bank)
    body = {"facility": facility.hex(), "pledge": pledge.hex()}
    headers = {b"Idempotency-Key": key.encode()} if key else {}
    problem(api.client.post("/v1/loans", json=body, headers=headers), "key-missing")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"facility": 1, "pledge": 2}', b'{"facility": "", "pledge": "", "x": 1}']
)
def test_bodies_refused(api: Api, body: bytes) -> None:
    answer = api.client.post("/v1/loans", content=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 400
    assert "facility" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/loans"),
        ("GET", "/v1/loans"),
        ("GET", f"/v1/loans/{'00' * 32}"),
        ("GET", f"/v1/loans/{'00' * 32}/decisions"),
        ("GET", "/v1/events"),
        ("GET", f"/evidence/decisions/{'00' * 32}"),
    ],
)
def test_nothing_without_the_token(api: Api, method: str, path: str) -> None:
    for header in ("", "Bearer wrong", f"Basic {TOKEN}"):
        assert api.client.request(method, path, headers={"authorization": header}).status_code == 401


def test_what_is_not_there(bank: Bank, api: Api) -> None:
    facility, pledge = offer(bank)
    nothing = bytes(32)
    assert "facility" in problem(api.open(nothing, pledge), "no-statement")["detail"]
    problem(api.open(facility, facility), "no-statement")
    problem(api.client.get(f"/v1/loans/{nothing.hex()}"), "no-loan")
    problem(api.client.get(f"/v1/loans/{nothing.hex()}/decisions"), "no-loan")
    problem(api.client.get(f"/evidence/decisions/{nothing.hex()}"), "no-decision")
    for path in ("/v1/loans/xyz", f"/v1/loans/{'AB' * 32}"):
        assert api.client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"lot": "L8"}, "lot", ("L8", "L7")),
        ({"currency": "EUR"}, "currency", ("EUR", "CNY")),
        ({"principal_minor": 0}, "principal", ("0.00 CNY",)),
        (
            {"principal_minor": 200_000_001, "value_minor": 400_000_000},
            "limit",
            ("2,000,000.01 CNY", "2,000,000.00 CNY"),
        ),
        (
            {"principal_minor": 90_000_000, "value_minor": 112_499_999},
            "advance",
            ("900,000.00 CNY", "899,999.99 CNY"),
        ),
    ],
)
def test_pledges_refused(bank: Bank, api: Api, change: dict[str, Any], name: str, words: tuple[str, ...]) -> None:
    detail = problem(api.open(*offer(bank, **change)), name)["detail"]
    assert all(word in detail for word in words), detail


def test_statements_for_something_else(bank: Bank, api: Api) -> None:
    facility, pledge = offer(bank)
    other = bank.facility()
    bank.live.settle()
    assert problem(api.open(other, pledge), "facility")["detail"].count(facility.hex()) == 1
    unknown = bank.pledge(facility, bytes(32))
    bank.live.settle()
    problem(api.open(facility, unknown), "no-statement")


def test_facilities_refused(bank: Bank, api: Api) -> None:
    association = bank.association()
    refused: list[tuple[dict[str, Any], str]] = [
        ({"rules": {"haircut_silence_bps": 100}}, "rules"),
        ({"rules": {"grace_ms": 5}}, "rules"),
        ({"currency": "XAU"}, "rules"),
        ({"decision_key": bytes(32)}, "decision-key"),
        ({"signer": "borrower"}, "signer"),
    ]
    for number, (change, name) in enumerate(refused):
        facility = bank.facility(**change)
        pledge = bank.pledge(facility, association, currency=change.get("currency", "CNY"))
        bank.live.settle()
        problem(api.open(facility, pledge, f"key-{number}"), name)
    facility = bank.facility()
    pledge = bank.pledge(facility, association, signer="lender")
    bank.live.settle()
    assert "borrower" in problem(api.open(facility, pledge), "signer")["detail"]


@pytest.mark.parametrize(
    ("who", "name"), [("lender", "revoked"), ("borrower", "revoked"), ("decider", "revoked"), ("node-a", "node")]
)
def test_revoked_keys_open_nothing(bank: Bank, api: Api, who: str, name: str) -> None:
    facility, pledge = offer(bank)
    bank.live.admit(bank.world.statements[bank.world.revoke(who)][0])
    assert "revoked" in problem(api.open(facility, pledge), name)["detail"]


def test_an_association_with_an_unknown_node(bank: Bank, api: Api) -> None:
    facility = bank.facility()
    association = bank.sign("installer", "association", place="p", lot="L7", nodes=[bytes(32)], since_ms=0)
    pledge = bank.pledge(facility, association)
    bank.live.settle()
    problem(api.open(facility, pledge), "node")


def test_expired_statements(bank: Bank, api: Api) -> None:
    facility = bank.facility()
    pledge = bank.pledge(facility, bank.association(), exp=bank.now_ms + 60_000)
    bank.live.settle()
    bank.wait(2)
    problem(api.open(facility, pledge), "expired")


def test_one_loan_a_lot_and_no_more_than_the_facility_allows(bank: Bank, api: Api) -> None:
    facility, pledge = offer(bank)
    assert api.open(facility, pledge).status_code == 201
    again = bank.pledge(facility, bank.association())
    second, third = (
        bank.pledge(facility, bank.association(lot=lot), lot=lot, principal_minor=minor)
        for lot, minor in (("L8", 100_000_000), ("L9", 10_000_001))
    )
    bank.live.settle()
    assert pledge.hex() in problem(api.open(facility, again, "key-2"), "lot-pledged")["detail"]
    assert api.open(facility, second, "key-3").status_code == 201
    refused = problem(api.open(facility, third, "key-4"), "facility-exhausted")
    assert "2,000,000.01 CNY" in refused["detail"]
    assert "2,000,000.00 CNY" in refused["detail"]
    assert "100,000.00 CNY" in refused["next"]


def test_an_association_with_too_long_a_past(bank: Bank, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    facility, pledge = offer(bank)
    bank.minute(*[450] * 5)
    bank.sync()
    monkeypatch.setattr(opening, "MAX_OPENING_READINGS", 4)
    problem(api.open(facility, pledge), "too-much-evidence")
    monkeypatch.setattr(opening, "MAX_OPENING_READINGS", 5)
    assert api.open(facility, pledge).status_code == 201


def test_no_loan_without_witnessed_time(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    bank = Bank(tmp_path, lambda name, **options: make_world(name, quorum="none", **options))
    with Api(bank).client as client:
        facility, pledge = offer(bank)
        body = {"facility": facility.hex(), "pledge": pledge.hex()}
        problem(client.post("/v1/loans", json=body, headers={"Idempotency-Key": "k"}), "no-witness")
    bank.minute(450)
    assert bank.sync() > 0, "facts are passed over, nothing is decided"
    bank.close()


# --- decisions, events, evidence


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


def test_a_decision_as_the_bank_sees_it(bank: Bank, api: Api) -> None:
    decision = warm(bank, api)
    loan = api.get(f"/v1/loans/{decision['loan']}")
    assert (loan["status"], loan["haircut_bps"], loan["broken"]) == ("margin_call", 2000, ["too-warm"])
    assert loan["base"]["text"] == "800,000.00 CNY"
    assert loan["margin_call"]["amount"]["text"] == "100,000.00 CNY"
    assert loan["margin_call"]["due_ms"] == decision["as_of"]["time_ms"] + DAY_MS
    assert loan["evidence"] == decision["evidence"] == f"/evidence/decisions/{decision['identity']}"
    assert [effect["kind"] for effect in decision["effects"]] == ["alert", "haircut", "margin-call"]
    alert, haircut, call = decision["effects"]
    assert alert["text"].endswith("was too warm for 12 min; the limit is 10 min")
    assert (alert["node"], alert["limit_ms"]) == (bank.thumbprint("node-a").hex(), 600_000)
    assert haircut == {"kind": "haircut", "bps": 2000, "text": "haircut of 20 % on the value of the lot"}
    assert call["amount"] == loan["margin_call"]["amount"]
    assert decision["windows"] == [{"node": alert["node"], "first": 1, "last": 13}]
    assert (decision["n"], decision["previous"]) == (0, None)


def test_the_evidence_is_what_the_verifier_accepts(bank: Bank, api: Api) -> None:
    decision = warm(bank, api)
    assert api.client.get(decision["evidence"]).status_code == 404, "the decision itself is not published yet"
    bank.publish()
    answer = api.client.get(decision["evidence"])
    assert answer.headers["content-type"] == "application/zip"
    verdict = verify_decision(Evidence(answer.content, bank.world.trust), bank.now_ms)
    assert verdict.decisions[0].identity.hex() == decision["identity"]
    assert verdict.decisions[0].state.status == "margin_call"


def test_decisions_are_in_the_log(bank: Bank, api: Api) -> None:
    decision = warm(bank, api)
    bank.live.settle()
    found = api.get(f"/entries/{decision['identity']}")
    assert found["index"] >= decision["as_of"]["size"]
    data = api.client.get(f"/entries/{decision['identity']}", headers={"accept": "application/cose"}).content
    assert statement.parse(data).body["effects"][-1][:2] == ["margin-call", 10_000_000]


def test_events_and_pages(bank: Bank, api: Api) -> None:
    decision = warm(bank, api)
    events = api.get("/v1/events")["items"]
    assert [event["type"] for event in events] == ["tallystick.loan.opened", "tallystick.loan.decided"]
    assert events[0]["data"]["text"] == "loan of 900,000.00 CNY opened against lot L7"
    assert events[1]["data"]["decision"] == decision
    assert events[1]["data"]["text"].endswith("margin call of 100,000.00 CNY")
    first = api.get("/v1/events", limit=1)
    assert (first["items"], first["next"]) == (events[:1], events[0]["id"])
    assert api.get("/v1/events", after=first["next"])["items"] == events[1:]
    assert api.get("/v1/events", after=events[1]["id"]) == {"items": [], "next": None}
    assert api.get(f"/v1/loans/{decision['loan']}/decisions", after=0)["items"] == []
    assert api.get("/v1/loans", limit=1)["next"] == 1
    assert api.get("/v1/loans", after=1)["items"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "after=x", "after=-2", f"after={1 << 63}"])
def test_queries_refused(api: Api, query: str) -> None:
    answer = api.client.get(f"/v1/events?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(f"{query.partition('=')[0]}: Expected")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "truncated"),
        (b"[" * 60_000, "Expected `object`"),
        (b'{"facility": "\xff\xfe", "pledge": "x"}', "the body is"),
        (b'{"facility": 1, "pledge": 2}', "$.facility"),
        (b'{"facility": "zz", "pledge": "zz"}', "facility: 64 lowercase hex digits are expected"),
    ],
)
def test_bodies_refused_by_name(api: Api, body: bytes, detail: str) -> None:
    answer = api.client.post("/v1/loans", content=body, headers={"idempotency-key": "k"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert detail in answer.json()["detail"]


def test_what_the_service_does_not_have_is_named(api: Api) -> None:
    for method, path, status, detail in (
        ("GET", "/nothing", 404, "there is nothing at /nothing"),
        ("PUT", "/v1/loans", 405, "/v1/loans takes "),
        ("POST", "/v1/loans", 413, "a body here has at most 65536 bytes"),
    ):
        content = b"x" * 70_000 if status == 413 else b""
        answer = api.client.request(method, path, content=content, headers={"idempotency-key": "k"})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert detail in answer.json()["detail"]
        assert ("GET" in answer.headers.get("allow", "")) == (status == 405)


# --- telling people


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
