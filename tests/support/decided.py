"""What was decided, read again from its bytes."""

from typing import Any

from finance_support import Bank

from tallystick_finance.evidence import decision_bundle
from tallystick_finance.records import Decision
from tallystick_proof import statement
from tallystick_proof.evidence import Evidence
from tallystick_tools import verify_decision


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
