"""From a gateway's sync to a posted decision, on a real ledger database; and back, through the verifier."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from finance_support import MINUTE_MS, Bank

from tallystick_finance import project, readings, records
from tallystick_finance.decide import state_hash
from tallystick_finance.errors import ConflictError, SignerError
from tallystick_finance.evidence import decision_bundle
from tallystick_finance.opening import open_loan
from tallystick_finance.records import Decision
from tallystick_proof import statement
from tallystick_proof.evidence import Evidence
from tallystick_tools import verify_decision


@pytest.fixture
def bank(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[Bank]:
    made = Bank(tmp_path, make_world, ("node-a", "node-b"))
    yield made
    made.close()


def body(decision: Decision) -> dict[str, Any]:
    return statement.parse(decision.data).body


def effects(decision: Decision) -> list[Any]:
    return [effect[1] if effect[0] == "alert" else effect[0] for effect in body(decision)["effects"]]


def verify(bank: Bank, decision: Decision) -> Any:
    """What `tallystick verify` says about the bundle of this decision."""
    bank.publish()
    data = decision_bundle(bank.finance, decision.identity)
    assert data == decision_bundle(bank.finance, decision.identity), "the same fact has the same bytes"
    return verify_decision.verify_decision(Evidence(data, bank.world.trust), bank.now_ms)


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


def test_a_lost_reading_holds_what_follows_until_it_arrives(bank: Bank) -> None:
    loan = bank.lend()
    bank.anchor()
    bank.minute(450)
    late = bank.measure(deliver=False)
    bank.minute(450, 450)
    bank.sync()
    folded = {node.thumbprint: node.last.seq for node in bank.loan(loan.id).state.nodes if node.last}
    assert folded == {bank.thumbprint("node-a"): 1, bank.thumbprint("node-b"): 3}
    bank.gateway.take(late)
    bank.sync()
    folded = {node.thumbprint: node.last.seq for node in bank.loan(loan.id).state.nodes if node.last}
    assert folded == {bank.thumbprint("node-a"): 4, bank.thumbprint("node-b"): 3}


def test_a_reboot_goes_on_over_what_it_lost_and_what_came_without_it(bank: Bank) -> None:
    """Reading 3 is lost in the air, 4 arrives, then the node loses power with 3 and 4 in memory only."""
    loan = bank.lend()
    bank.anchor()
    bank.minute(450, 450)
    lost = bank.measure(deliver=False)
    bank.measure()
    bank.world.nodes["node-a"].restart(lost=2)
    bank.minute(450)
    bank.sync()
    folded = {node.thumbprint: node.last.seq for node in bank.loan(loan.id).state.nodes if node.last}
    assert folded[bank.thumbprint("node-a")] == 257
    with bank.live.ledger.db.read() as tx:
        assert records.gaps(tx, loan.id, bank.thumbprint("node-a")) == [(2, 257)]
    bank.gateway.take(lost)
    bank.minute(*[900] * 12)
    bank.sync()
    (decision,) = bank.decisions(loan.id)
    window = next(item for item in body(decision)["event"]["windows"] if item[0] == bank.thumbprint("node-a"))
    assert window[1:] == [1, 269]
    verdict = verify(bank, decision)
    shown = [one.reading.chain.seq for one in verdict.verified.readings if one.node.thumbprint == window[0]]
    assert shown == [1, 2, *range(257, 270)]


def folded(bank: Bank, loan_id: bytes, name: str = "node-a") -> int:
    """The last folded reading of a node."""
    found = {node.thumbprint: node.last.seq for node in bank.loan(loan_id).state.nodes if node.last}
    return found[bank.thumbprint(name)]


def give_up(bank: Bank, count: int, name: str = "node-a") -> list[bytes]:
    """The node measures so often in vain, and declares from then on that it gave these readings up."""
    node = bank.world.nodes[name]
    lost = [bank.measure(deliver=False, name=name) for _ in range(count)]
    bank.wait(count)
    node.gap = (node.seq + 1 - count, node.seq)
    return lost


def test_what_was_given_up_is_held_until_it_is_declared_and_verified(bank: Bank) -> None:
    """Readings 3 to 6 are given up, 7 and 8 were made before the flash was full, 9 declares the gap."""
    loan = bank.lend()
    bank.anchor()
    bank.minute(450, 450)
    late = give_up(bank, 4)[1]
    declared, bank.world.nodes["node-a"].gap = bank.world.nodes["node-a"].gap, None
    bank.minute(450, 450)
    bank.sync()
    assert folded(bank, loan.id) == 2, "nobody has declared anything yet"
    bank.world.nodes["node-a"].gap = declared
    bank.minute(450)
    bank.sync()
    assert folded(bank, loan.id) == 9
    with bank.live.ledger.db.read() as tx:
        assert records.gaps(tx, loan.id, bank.thumbprint("node-a")) == [(2, 7)]
    bank.gateway.take(late)
    bank.minute(*[900] * 12)
    bank.sync()
    (decision,) = bank.decisions(loan.id)
    verdict = verify(bank, decision)
    mine = [one for one in verdict.verified.readings if one.node.thumbprint == bank.thumbprint("node-a")]
    assert [one.reading.chain.seq for one in mine] == [1, 2, *range(7, 22)]
    assert mine[2].missing == (4, (9,), 0)
    told = next(remark.text for remark in verdict.verified.remarks if remark.code == "given-up")
    assert told.startswith("4 readings, 3 to 6, were given up by the node between reading 2 and reading 7 of")


def test_a_long_gap_breaks_the_loan_as_silence(bank: Bank) -> None:
    loan = bank.lend()
    bank.anchor()
    bank.minute(450)
    give_up(bank, 65)
    bank.minute(450)
    bank.sync()
    (decision,) = bank.decisions(loan.id)
    node = bank.thumbprint("node-a")
    assert next(effect[1:3] for effect in body(decision)["effects"] if effect[0] == "alert") == ["silence", node]
    verify(bank, decision)


def test_a_declaration_that_is_itself_held_declares_nothing(bank: Bank) -> None:
    """The reading that declares waits for one that was only delayed; what it declares waits with it."""
    loan = bank.lend()
    bank.anchor()
    bank.minute(450)
    give_up(bank, 2)
    gap, bank.world.nodes["node-a"].gap = bank.world.nodes["node-a"].gap, None
    bank.minute(450)
    delayed = bank.measure(deliver=False)
    bank.world.nodes["node-a"].gap = gap
    bank.minute(450)
    bank.sync()
    assert folded(bank, loan.id) == 1
    bank.gateway.take(delayed)
    bank.sync()
    assert folded(bank, loan.id) == 6


def test_a_wide_declaration_takes_no_reading_away(bank: Bank) -> None:
    """A stolen node declares everything: what arrived is folded, warm as it is; what did not is silence."""
    loan = bank.lend()
    bank.anchor()
    bank.minute(450, *[900] * 6)
    give_up(bank, 1)
    bank.world.nodes["node-a"].gap = (1, bank.world.nodes["node-a"].seq)
    bank.minute(*[900] * 5)
    bank.sync()
    assert folded(bank, loan.id) == 13
    (decision,) = bank.decisions(loan.id)
    alerts = {effect[2]: effect[3] for effect in body(decision)["effects"] if effect[0] == "alert"}
    assert alerts[bank.thumbprint("node-a")] >= alerts[bank.thumbprint("node-b")] > 0
    with bank.live.ledger.db.read() as tx:
        assert records.gaps(tx, loan.id, bank.thumbprint("node-a")) == [(7, 9)]
    verify(bank, decision)


def test_a_declaration_of_another_node_is_none(bank: Bank) -> None:
    loan = bank.lend()
    bank.anchor()
    bank.minute(450)
    give_up(bank, 2)
    gap, bank.world.nodes["node-a"].gap = bank.world.nodes["node-a"].gap, None
    bank.minute(450, 450)
    bank.world.nodes["node-b"].gap = gap
    bank.minute(450, 450)
    bank.sync()
    assert (folded(bank, loan.id), folded(bank, loan.id, "node-b")) == (1, 5)


def test_a_boot_that_remembers_nothing_of_a_gap_goes_on_without_it(bank: Bank) -> None:
    """4 waits for a declaration; the flash was lost, and the next boot knows of reading 1 only."""
    loan = bank.lend()
    bank.anchor()
    bank.minute(450)
    give_up(bank, 2)
    bank.world.nodes["node-a"].gap = None
    bank.minute(450)
    bank.world.nodes["node-a"].restart(lost=3)
    bank.minute(450)
    bank.sync()
    assert folded(bank, loan.id) == 257


def test_books_from_before_there_were_declarations(bank: Bank) -> None:
    """A database of the first schema gets the table, and goes on."""
    loan = bank.lend()
    bank.anchor()
    bank.minute(450)
    bank.sync()
    with bank.live.ledger.db.transaction() as tx:
        tx.execute("DROP TABLE finance_declared")
        tx.execute("DELETE FROM migration WHERE name = 'finance-2'")
    bank.finance = bank.open_finance()
    give_up(bank, 2)
    bank.minute(450)
    bank.sync()
    assert folded(bank, loan.id) == 4


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
