"""From a gateway's sync to a posted decision, on a real ledger database; and back, through the verifier."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from decided import body, effects, verify
from finance_support import MINUTE_MS, Bank

from tallystick_finance import project, readings, records
from tallystick_finance.decide import state_hash
from tallystick_finance.errors import ConflictError, SignerError
from tallystick_finance.opening import open_loan


@pytest.fixture
def bank(bank_of_two: Bank) -> Bank:
    return bank_of_two


def test_a_cold_room_changes_nothing(bank: Bank) -> None:
    loan = bank.lend()
    bank.anchor()
    for _ in range(3):
        bank.minute(450, 460)
        bank.sync()
    assert bank.decisions(loan.id) == []
    after = bank.loan(loan.id)
    assert [node.last.seq for node in after.state.nodes if node.last] == [6, 6]
    assert after.decided == loan.decided
    assert [event.type for event in bank.events()] == ["tallystick.loan.opened"]


def test_a_warm_room_is_decided_once_and_anyone_computes_it_again(bank: Bank) -> None:
    loan = bank.lend()
    bank.anchor()
    bank.minute(450, 460)
    bank.sync()
    bank.anchor()
    bank.minute(*[900] * 6)
    bank.sync()
    assert bank.decisions(loan.id) == []
    bank.minute(*[900] * 6)
    bank.sync()
    (decision,) = bank.decisions(loan.id)
    assert effects(decision) == ["too-warm", "too-warm", "haircut", "margin-call"]
    assert body(decision)["effects"][-1][1:3] == [10_000_000, "CNY"]
    assert [window[1:] for window in body(decision)["event"]["windows"]] == [[1, 14], [1, 14]]
    after = bank.loan(loan.id)
    assert (after.state.status, after.decisions, after.last_decision) == ("margin_call", 1, decision.identity)
    assert state_hash(after.decided) == body(decision)["state_after"]
    bank.minute(*[900] * 12)
    bank.sync()
    assert len(bank.decisions(loan.id)) == 1
    verdict = verify(bank, decision)
    assert verdict.decisions[-1].effects == body(decision)["effects"]


def test_a_silent_node_is_decided_from_a_refreshed_checkpoint(bank: Bank) -> None:
    loan = bank.lend()
    bank.anchor()
    bank.minute(450)
    bank.sync()
    bank.wait(55)
    bank.sync()
    assert bank.decisions(loan.id) == []
    bank.wait(5)
    bank.sync()
    (decision,) = bank.decisions(loan.id)
    assert effects(decision) == ["silence", "silence", "haircut", "margin-call"]
    assert body(decision)["event"]["windows"][0][1:] == [1, 1]
    verify(bank, decision)


def test_the_second_covenant_goes_on_from_the_first_decision(bank: Bank) -> None:
    loan = bank.lend()
    bank.anchor()
    bank.minute(*[900] * 12)
    bank.sync()
    bank.wait(70)
    bank.sync()
    first, second = bank.decisions(loan.id)
    assert effects(second) == ["silence", "silence", "haircut", "margin-call"]
    assert body(second)["previous"] == first.identity
    assert body(second)["state_before"] == body(first)["state_after"]
    assert body(second)["event"]["windows"] == []
    verdict = verify(bank, second)
    assert len(verdict.decisions) == 2


def test_readings_that_came_before_their_node_was_enrolled(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    """The ledger gives them again behind the enrolment, and they are folded from the genesis on."""
    bank = Bank(tmp_path, make_world, strangers=["node-c"])
    for _ in range(3):
        bank.measure(450, "node-c")
    bank.sync()
    with bank.live.ledger.db.read() as tx:
        assert readings.count(tx, bank.thumbprint("node-c"), 0) == 0
    bank.live.enrol("node-c")
    bank.sync()
    with bank.live.ledger.db.read() as tx:
        assert readings.count(tx, bank.thumbprint("node-c"), 0) == 3
    bank.close()


def test_a_node_that_worked_before_is_folded_from_the_association_on(bank: Bank) -> None:
    bank.anchor()
    bank.minute(*[1200] * 30)
    bank.sync()
    loan = bank.lend()
    bank.anchor()
    bank.minute(450, 450)
    bank.sync()
    assert bank.decisions(loan.id) == []
    with bank.live.ledger.db.read() as tx:
        found = records.windows(tx, loan.id)[bank.thumbprint("node-a")]
    assert (found.first, found.last, found.readings) == (30, 32, 3)


def test_two_loans_on_one_node(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "LOANS_PAGE", 1)
    first = bank.lend()
    facility = bank.facility()
    pledge = bank.pledge(facility, bank.association(lot="L8"), lot="L8")
    bank.live.settle()
    second = open_loan(bank.finance, facility, pledge, "second").id
    bank.anchor()
    bank.minute(*[900] * 12)
    bank.sync()
    for loan_id in (first.id, second):
        (decision,) = bank.decisions(loan_id)
        verify(bank, decision)


def test_a_decision_without_effects_keeps_windows_short(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "MAX_WINDOW_READINGS", 10)
    loan = bank.lend()
    bank.anchor()
    for _ in range(4):
        bank.minute(450, 450)
        bank.sync()
    (interim,) = bank.decisions(loan.id)
    assert (effects(interim), body(interim)["n"]) == ([], 0)
    assert len(bank.events()) == 1, "nobody is told about it"
    bank.minute(*[900] * 12)
    bank.sync()
    decision = bank.decisions(loan.id)[-1]
    assert [window[1:] for window in body(decision)["event"]["windows"]] == [[7, 20], [7, 20]]
    assert len(verify(bank, decision).decisions) == 2


def test_what_is_decided_does_not_depend_on_when_it_runs(
    tmp_path: Path, make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step by step, all at once in the end, or in small pages: the same decisions at the same times.

    Only tree sizes differ: decisions stand in the log themselves.
    """
    outcomes = []
    for number, often in enumerate((True, False, False)):
        monkeypatch.setattr(project, "FACTS_PAGE", 3 if number == 2 else 5000)
        monkeypatch.setattr(project, "LOANS_PAGE", 1 if number == 2 else 64)
        bank = Bank(tmp_path / str(number), make_world)
        loan = bank.lend()
        for minutes in (2, 5, 75, 12):
            bank.anchor()
            bank.minute(*[900 if minutes == 12 else 450] * min(minutes, 12))
            bank.wait(max(0, minutes - 12))
            bank.publish()
            if often:
                project.run(bank.finance)
        project.run(bank.finance)
        assert project.run(bank.finance) == 0
        told = [body(decision) for decision in bank.decisions(loan.id)]
        outcomes.append([(one["event"], one["as_of"][1], one["effects"]) for one in told])
        bank.close()
    assert len(outcomes[0]) == 2
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_nothing_is_decided_before_the_loans_statements_are_in_the_tree(bank: Bank) -> None:
    """An old association, a new pledge, a projector that lags: no decision as of a tree without the pledge."""
    association = bank.association()
    bank.live.settle()
    bank.anchor()
    bank.minute(*[900] * 12)
    bank.publish()
    facility = bank.facility()
    pledge = bank.pledge(facility, association)
    bank.live.settle()
    loan = open_loan(bank.finance, facility, pledge, "late")
    project.run(bank.finance)
    (decision,) = bank.decisions(loan.id)
    with bank.live.ledger.db.read() as tx:
        rows = tx.execute("SELECT idx FROM statement s JOIN entry e ON e.id = s.entry WHERE identity = ?", [loan.id])
    assert body(decision)["as_of"][0] > rows[0][0]
    verify(bank, decision)


def test_what_the_ledger_does_not_call_valid_is_no_evidence(bank: Bank) -> None:
    """A forged hot reading comes first, under the number of the next one: it neither counts nor blocks."""
    loan = bank.lend()
    bank.anchor()
    bank.minute(450)
    genuine = bank.measure(460, deliver=False)
    bank.gateway.take(genuine[:-1] + bytes([genuine[-1] ^ 1]), genuine, genuine)
    bank.minute(450)
    bank.sync()
    node = next(node for node in bank.loan(loan.id).state.nodes if node.thumbprint == bank.thumbprint("node-a"))
    assert node.last is not None
    assert (node.last.seq, node.warm_ms) == (3, 0)


def test_a_revoked_decision_key_decides_nothing(bank: Bank) -> None:
    loan = bank.lend()
    bank.anchor()
    revocation = bank.world.revoke("decider")
    bank.live.admit(bank.world.statements[revocation][0])
    bank.minute(*[900] * 12)
    with pytest.raises(SignerError, match="revoked"):
        bank.sync()
    assert bank.decisions(loan.id) == []
    assert (bank.loan(loan.id).decisions, bank.loan(loan.id).state.status) == (0, "active")


def test_a_loan_that_changed_meanwhile_is_not_overwritten(bank: Bank) -> None:
    stale = bank.lend()
    bank.minute(450)
    bank.sync()
    with pytest.raises(ConflictError, match="version"), bank.live.ledger.db.transaction() as tx:
        records.fold(tx, stale, stale.state, {}, None)
    with pytest.raises(ConflictError, match="projector"), bank.live.ledger.db.transaction() as tx:
        records.move_cursor(tx, records.Cursor(0, 0, 0), records.Cursor(1, 1, 1))


def test_times_are_those_of_the_witnesses(bank: Bank) -> None:
    """The gateway's clock and the association's own word about its start play no part."""
    loan = bank.lend()
    assert loan.state.since_ms % 1000 == 0
    assert abs(loan.state.since_ms - bank.now_ms) < 5000
    bank.anchor()
    bank.minute(450)
    bank.sync()
    node = bank.loan(loan.id).state.nodes[0]
    assert node.last is not None
    assert node.last.latest_ms % 1000 == 0
    assert loan.state.since_ms < node.last.latest_ms <= bank.now_ms + MINUTE_MS
