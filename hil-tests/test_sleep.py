"""Deep sleep: the boot goes on over it, and without the memory that lasts it is a boot like any other."""

import time
from collections.abc import Callable
from itertools import pairwise

from patience import PATIENCE_S, until

from tallystick_emulators.unix_node import UnixNode
from tallystick_tools.rig import Cable
from tallystick_wire import message

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
SLEEPY = {"deep_sleep": 1, "interval_ms": 800, "batch": 4, "listen_ms": 100, "linger_ms": 100}


def linked(node: UnixNode) -> Cable:
    cable = Cable(node.port)
    message.open_linked(cable.ask(message.build_link(LINK_KEY, ORIGIN, PEN), "linked"))
    return cable


def hear(cable: Cable, count: int) -> None:
    """Listen and ack until so many readings are there."""
    end = time.monotonic() + PATIENCE_S
    while len(cable.readings) < count:
        assert time.monotonic() < end, f"{len(cable.readings)} readings"
        before = len(cable.readings)
        cable.listen()
        if len(cable.readings) > before:
            cable.ack(LINK_KEY)


def asleep(node: UnixNode) -> bytes:
    """Wait until the node sleeps with something in its batch; what it remembers."""

    def memory() -> bytes:
        return node.rtc_memory.read_bytes() if node.rtc_memory.exists() else b""

    return bytes(until(memory, lambda: node.log.read_text("utf-8")))


def test_a_wake_is_no_boot(make_node: Callable[..., UnixNode]) -> None:
    node = make_node(**SLEEPY)
    cable = linked(node)
    pids = {node.pid}
    while len(cable.readings) < 12 or len(pids) < 4:
        hear(cable, len(cable.readings) + 1)
        pids.add(node.pid)
        assert len(cable.readings) < 200, "it never sleeps"
    found = sorted(cable.readings, key=lambda one: one.chain.seq)
    assert [one.chain.seq for one in found] == list(range(1, len(found) + 1)), "no number is lost or skipped"
    assert {one.chain.boot for one in found} == {1}
    assert [one.boot_record is not None for one in found] == [True] + [False] * (len(found) - 1)
    for earlier, later in pairwise(found):
        assert later.chain.previous == earlier.link
    assert all(one.chain.uptime_ms >= 800 * number for number, one in enumerate(found)), "the uptime goes on"
    cable.close()


def test_a_power_cut_in_its_sleep_costs_the_batch_and_is_declared(make_node: Callable[..., UnixNode]) -> None:
    node = make_node(**SLEEPY | {"batch": 20})
    cable = linked(node)
    asleep(node)
    node.kill()
    assert not node.rtc_memory.exists()
    node.start()
    hear(cable, 20)
    record = cable.readings[0].boot_record
    assert record is not None
    assert (cable.readings[0].chain.boot, record.last_persisted, record.reserved_bound) == (2, 0, 256)
    cable.close()


def test_stale_memory_is_not_believed(make_node: Callable[..., UnixNode]) -> None:
    """Memory of an earlier sleep comes back, and the board says that it wakes: numbers were used since."""
    node = make_node(**SLEEPY)
    cable = linked(node)
    stale = asleep(node)
    hear(cable, 8)
    node.kill()
    node.rtc_memory.write_bytes(stale)
    node.settings["TALLYSTICK_RESET"] = "deep-sleep"
    node.start()
    cable.wait_and_ack(LINK_KEY, lambda readings: any(one.chain.boot == 2 for one in readings))
    numbers = [one.chain.seq for one in cable.readings]
    assert len(numbers) == len(set(numbers)), "no number is used twice"
    cable.close()
