"""The service is killed between any two system calls of a posting or an opening: in the end there is exactly one."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crash_finance
from finance_support import Bank


def rounds(bank: Bank, work: str, **more: str) -> list[dict[str, Any]]:
    """What crash_finance.py tells, one round a kill."""
    spec = {
        "work": work,
        "trust": bank.world.trust.format(),
        "decider": bank.world.secret("decider").hex(),
        "now_ms": bank.now_ms,
        **more,
    }
    bank.close()
    command = [sys.executable, crash_finance.__file__, str(bank.live.folder)]
    done = subprocess.run(command, input=json.dumps(spec), capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_posting_happens_once(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    bank = Bank(tmp_path / "bank", make_world)
    bank.lend()
    bank.anchor()
    bank.minute(450, *[900] * 12)
    bank.publish()
    found = rounds(bank, "post")
    nothing = {"loans": 1, "decisions": 0, "events": 1, "logged": 0, "answers": 1, "called": 0, "broken": 0}
    everything = nothing | {"decisions": 1, "events": 2, "logged": 1, "called": 1}
    assert [one["again"] for one in found] == [everything] * len(found)
    assert all(one["killed"] in (nothing, everything) for one in found)
    assert [one["lived"] for one in found] == [False] * (len(found) - 1) + [True]
    # The kills reach from before the first write to behind the commit.
    assert found[0]["killed"] == nothing
    assert found[-2]["killed"] == everything
    assert len(found) > 20


def test_an_opening_happens_once(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    bank = Bank(tmp_path / "bank", make_world)
    facility, association = bank.facility(), bank.association()
    pledge = bank.pledge(facility, association)
    bank.live.settle()
    found = rounds(bank, "open", facility=facility.hex(), pledge=pledge.hex())
    nothing = {"loans": 0, "decisions": 0, "events": 0, "logged": 0, "answers": 0, "called": 0, "broken": 0}
    everything = nothing | {"loans": 1, "events": 1, "answers": 1}
    assert [one["again"] for one in found] == [everything] * len(found)
    assert all(one["killed"] in (nothing, everything) for one in found)
    assert found[0]["killed"] == nothing
    assert found[-2]["killed"] == everything
    assert len(found) > 5
