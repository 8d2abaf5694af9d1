"""Readings that are missing on the way from a gateway's sync to a decision: lost, late, given up and declared."""

import pytest
from decided import body, verify
from finance_support import Bank

from tallystick_finance import records


@pytest.fixture
def bank(bank_of_two: Bank) -> Bank:
    return bank_of_two


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
