"""What a node says of its sensors, well and broken, through its cable."""

from collections.abc import Callable

import pytest

from tallystick_emulators.unix_node import UnixNode
from tallystick_node.room_sensors import FAULTS
from tallystick_tools.rig import Cable
from tallystick_wire import message
from tallystick_wire.reading import Reading

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
EVERYTHING = "sht3x ds18b20 battery door"


def heard(node: UnixNode, enough: Callable[[list[Reading]], bool]) -> list[Reading]:
    """Of the boot after the enrolment: it measures from the first moment on, whenever somebody listened before."""
    cable = Cable(node.port)
    message.open_linked(cable.ask(message.build_link(LINK_KEY, ORIGIN, PEN), "linked", "refused"))
    node.restart()

    def second(found: list[Reading]) -> list[Reading]:
        return [one for one in found if one.chain.boot == 2]

    found = second(cable.wait_and_ack(LINK_KEY, lambda readings: enough(second(readings))))
    cable.close()
    return sorted(found, key=lambda one: one.chain.seq)


def test_every_sensor_has_its_letter(make_node: Callable[..., UnixNode]) -> None:
    readings = heard(make_node(sensors=EVERYTHING), lambda found: len(found) >= 3)
    records = readings[1].pack.records
    assert [(one.name, one.unit) for one in records] == [
        ("t", "Cel"),
        ("h", "%RH"),
        ("p", "Cel"),
        ("b", "V"),
        ("d", None),
    ]


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "stuck"])
def test_a_fault_is_told_and_ends(make_node: Callable[..., UnixNode], fault: str) -> None:
    """The node goes on, says what is wrong instead of a value, and believes the sensor again."""

    def enough(found: list[Reading]) -> bool:
        faulty = [index for index, one in enumerate(found) if one.pack.get("f") is not None]
        return bool(faulty) and len(found) > faulty[-1] + 1 and faulty[-1] >= 3

    readings = heard(make_node(sensors=EVERYTHING, fault=f"{fault},1,2"), enough)
    faulty = [one.pack for one in readings if one.pack.get("f") is not None]
    names = {text.split(":")[0] for text in str(faulty[-1].get("f")).split("; ")}
    assert names == ({"p"} if fault in ("short", "power-on") else {"t", "h"} | ({"p"} if fault != "heater" else set()))
    assert not [name for name in names if faulty[-1].get(name) is not None]
    after = readings[-1].pack
    assert after.get("f") is None
    assert all(after.get(name) is not None for name in "thpbd")


def test_a_stuck_sensor_is_told(make_node: Callable[..., UnixNode]) -> None:
    node = make_node(fault="stuck,0,3600", interval_ms=20)
    readings = heard(node, lambda found: any(one.pack.get("f") is not None for one in found))
    assert readings[-1].pack.get("f") == "t: stuck"
    assert readings[-1].pack.get("t") is None


def test_a_fault_does_not_wait_for_its_batch(make_node: Callable[..., UnixNode]) -> None:
    """Batches of 20, and yet the first faulty reading is the newest that arrives: it was sent at once."""
    node = make_node(batch=20, batch_ms=600_000, fault="silent,3,3600", interval_ms=300)
    readings = heard(node, lambda found: any(one.pack.get("f") is not None for one in found))
    faulty = [at for at, one in enumerate(readings) if one.pack.get("f") is not None]
    assert 0 < faulty[0] < 19
    assert faulty[0] == len(readings) - 1
