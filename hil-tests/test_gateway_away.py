"""The gateway is away, the power fails, the gateway comes back: what is missing is little, and it is declared."""

import time
from collections.abc import Callable

from tallystick_emulators.unix_node import UnixNode
from tallystick_tools.rig import Cable
from tallystick_wire import message
from tallystick_wire.reading import Reading

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
MEASURED, AT_LEAST, BATCH = 100, 80, 20
PATIENCE_S = 60.0


def measured(node: UnixNode, count: int) -> None:
    """Wait until the node has measured so many: it stores them in batches of 20."""
    until = time.monotonic() + PATIENCE_S
    stored = 0
    while stored < count:
        assert time.monotonic() < until, f"{stored} stored"
        time.sleep(0.02)
        names = sorted((node.folder / "flash" / "s").glob("*.seg"))
        stored = int(names[-1].stem.partition("-")[2]) if names else 0


def test_gateway_off_100_readings_kill_reboot_gateway_on(make_node: Callable[..., UnixNode]) -> None:
    """At least 80 of 100 arrive, in one chain, and the boot record declares the rest."""
    node = make_node(interval_ms=20, batch=BATCH)
    cable = Cable(node.port)
    message.open_linked(cable.ask(message.build_link(LINK_KEY, ORIGIN, PEN), "linked"))
    cable.close()
    measured(node, MEASURED - BATCH)
    time.sleep(0.2)  # ten more are measured, and wait in RAM
    node.kill()  # SIGKILL
    node.start()
    cable = Cable(node.port)
    until = time.monotonic() + PATIENCE_S
    while not any(one.chain.boot == 2 for one in cable.readings):
        assert time.monotonic() < until, f"{len(cable.readings)} readings"
        cable.listen()
        if cable.readings:
            cable.ack(LINK_KEY)
    cable.close()
    found = sorted(cable.readings, key=lambda one: one.chain.seq)
    before = [one for one in found if one.chain.boot == 1]
    first = next(one for one in found if one.chain.boot == 2)
    assert len(before) >= AT_LEAST
    assert [one.chain.seq for one in before] == list(range(1, len(before) + 1))
    declared(before[-1], first)


def declared(last: Reading, first: Reading) -> None:
    """The chain goes on, and the boot record says which numbers nobody will ever see."""
    record = first.boot_record
    assert record is not None
    assert record.last_persisted == last.chain.seq
    assert first.chain.previous == last.link
    assert first.chain.seq == record.reserved_bound + 1
    assert any(item.name == "rb" for item in first.pack.records)
