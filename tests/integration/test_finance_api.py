"""The bank's API on the real app over a real database: decisions, events, evidence, and requests refused."""

import pytest
from bank_api import TOKEN, Api, offer, problem, warm
from finance_support import MINUTE_MS, Bank

from tallystick_proof import statement
from tallystick_proof.evidence import Evidence
from tallystick_tools.verify_decision import verify_decision

DAY_MS = 1440 * MINUTE_MS


# --- opening


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


# --- decisions, events, evidence


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
