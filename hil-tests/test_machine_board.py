"""The board class of microcontrollers, in the real MicroPython on a made-up machine: it starts, measures, and is heard.

No hardware: what a chip does is emulated, and what a port of MicroPython does differently is not seen here.
"""

import json
from pathlib import Path

import pytest

import tallystick_tools
from tallystick_emulators.unix_node import UnixNode
from tallystick_node.emulated_onewire import EmulatedDs18b20
from tallystick_tools.rig import Cable
from tallystick_wire import message
from tallystick_wire.senml import Decimal

PROGRAM = Path(__file__).parents[1] / "tests" / "support" / "made_up_board.py"
ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
COLD, SECOND = (EmulatedDs18b20(serial, lambda: 0, lambda: 0).rom.hex() for serial in (7, 8))
ALL = {"probe": 4, "probes": {"p": COLD, "pb": SECOND}, "door": 15, "case": 14, "battery": 29}


class MadeUpBoard(UnixNode):
    """A UnixNode that runs MachineBoard."""

    def __init__(self, folder: Path, platform: str, *files: object) -> None:
        super().__init__(folder)
        self._arguments = [str(PROGRAM), platform, *map(json.dumps, files)]

    def arguments(self) -> list[str]:
        return self._arguments

    def environment(self) -> dict[str, str]:
        found = super().environment()
        tools = Path(tallystick_tools.__file__).parents[1]
        return found | {"MICROPYPATH": f"{found['MICROPYPATH']}:{tools}"}


@pytest.fixture(params=["rp2", "esp32"])
def platform(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def heard(folder: Path, platform: str, wiring: object) -> dict[str, object]:
    """What the second reading says, by name."""
    with MadeUpBoard(folder, platform, wiring) as node:
        node.start()
        cable = Cable(node.port)
        message.open_linked(cable.ask(message.build_link(LINK_KEY, ORIGIN, PEN), "linked", "refused"))
        first, second = sorted(cable.wait(lambda found: len(found) >= 2), key=lambda one: one.chain.seq)[:2]
        cable.close()
    assert first.boot_record is not None
    assert first.boot_record.reset_cause == "watchdog"
    assert second.chain.previous == first.link
    return {one.name: one.value for one in second.pack.records}


def test_everything_on_its_pins(tmp_path: Path, platform: str) -> None:
    ohms = {} if platform == "rp2" else {"battery_ohm": [200_000, 100_000]}
    assert heard(tmp_path, platform, ALL | ohms) == {
        "t": Decimal(-2, 412),
        "h": 70,
        "p": Decimal(-2, -1807),
        "pb": Decimal(-2, 300),
        "b": Decimal(-3, 3600),
        "d": False,
        "o": False,
    }


def test_out_of_the_box(tmp_path: Path, platform: str) -> None:
    usual = {"t": Decimal(-2, 412), "h": 70}
    assert heard(tmp_path, platform, {}) == (usual | {"b": Decimal(-3, 3600)} if platform == "rp2" else usual)


def test_probes_that_nobody_named(tmp_path: Path, platform: str) -> None:
    found = heard(tmp_path, platform, {"probe": 22, "sda": None, "battery": None})
    assert found == {"f": "p: which probe"}


def test_a_radio_that_never_comes_up_leaves_the_cable(tmp_path: Path, platform: str) -> None:
    """The readings wait for the radio; whoever comes with a cable is answered."""
    network = {"ssid": "yard", "password": "secret", "mqtt": "broker.example:8883", "ca": "/ca.crt"}
    with MadeUpBoard(tmp_path, platform, {}, network) as node:
        node.start()
        cable = Cable(node.port)
        assert cable.hello().state == message.STATE_NEW
        message.open_linked(cable.ask(message.build_link(LINK_KEY, ORIGIN, PEN), "linked", "refused"))
        assert cable.hello().origin == ORIGIN
        assert cable.readings == []
        cable.close()
