"""A loan is opened on the real app over a real database: every answer, every refusal."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bank_api import Api, offer, problem
from finance_support import Bank

from tallystick_finance import opening, routes


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


def test_no_loan_without_witnessed_time(
    tmp_path: Path, make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PUBLISH_WAIT_S", 0.0)
    bank = Bank(tmp_path, lambda name, **options: make_world(name, quorum="none", **options))
    with Api(bank).client as client:
        facility, pledge = offer(bank)
        body = {"facility": facility.hex(), "pledge": pledge.hex()}
        problem(client.post("/v1/loans", json=body, headers={"Idempotency-Key": "k"}), "no-witness")
    bank.minute(450)
    assert bank.sync() > 0, "facts are passed over, nothing is decided"
    bank.close()
