"""A sensor that fails never counts as cold: from the emulated chip through its real driver to the bank's decision."""

import pytest
from finance_support import MINUTE_MS, Bank

from tallystick_finance.records import Decision
from tallystick_node import sensor, sht3x
from tallystick_node.cold_room import SPEEDUP, ColdRoom
from tallystick_node.room_sensors import FAULTS, RoomSensors
from tallystick_proof import statement
from tallystick_wire import reading, senml

PEN = 32473
SEED = 3
QUIET_MINUTES, FAULTY_MINUTES = 5, 12
SILENT_MINUTES = QUIET_MINUTES + sht3x.STUCK_AFTER + FAULTY_MINUTES  # a stuck sensor is found after so many readings


class SensedNode:
    """The node of the world, with the sensors of a cold room that stays cold: what they say is what it signs."""

    def __init__(self, bank: Bank, fault: str | None) -> None:
        self._bank = bank
        self._node = bank.world.nodes["node-a"]
        broken = None if fault is None else (fault, QUIET_MINUTES * MINUTE_MS // SPEEDUP, 1 << 40)
        self._room_ms = 0
        self._channels = RoomSensors(ColdRoom(SEED, None), lambda: self._room_ms, ["sht3x", "battery"], broken).channels
        self.packs: list[senml.Pack] = []

    def minute(self) -> None:
        """The room lives as long as the readings are apart."""
        node = self._node
        self._bank.wait(1)
        self._room_ms += MINUTE_MS // SPEEDUP
        node.uptime_ms += MINUTE_MS
        node.seq += 1
        records = sensor.measure(self._channels, self._room_ms).records
        records += node.boot_record.records() if node.boot_record else []
        payload = senml.encode_pack(senml.base_name(PEN, node.signer.kid), records)
        chain = reading.Chain(node.boot, node.seq, node.uptime_ms, node.previous, node.anchor)
        made = reading.parse(statement.build_reading(node.signer, chain, payload))
        node.previous, node.anchor, node.boot_record = made.link, None, None
        node.made[node.seq] = made
        self.packs.append(made.pack)
        self._bank.gateway.take(made.data)


def watched(bank: Bank, fault: str | None, minutes: int) -> tuple[list[Decision], list[senml.Pack]]:
    """A loan whose goods were watched by such a sensor: what the bank decided, and what the readings said."""
    loan = bank.lend()
    bank.anchor()
    node = SensedNode(bank, fault)
    for _ in range(minutes):
        node.minute()
    bank.sync()
    return bank.decisions(loan.id), node.packs


def test_a_sensor_that_is_well_in_a_cold_room(bank: Bank) -> None:
    decisions, packs = watched(bank, None, SILENT_MINUTES)
    assert decisions == []
    assert all(pack.get("t") is not None and pack.get("f") is None for pack in packs)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in ("short", "power-on")])
def test_a_fault_reading_never_counts_as_cold(bank: Bank, fault: str) -> None:
    minutes = SILENT_MINUTES if fault == "stuck" else QUIET_MINUTES + FAULTY_MINUTES
    decisions, packs = watched(bank, fault, minutes)
    assert [effect[1] for effect in statement.parse(decisions[0].data).body["effects"] if effect[0] == "alert"] == [
        "too-warm"
    ]
    faulty = [pack for pack in packs if pack.get("f") is not None]
    assert len(faulty) >= FAULTY_MINUTES - 1
    assert all(pack.get("t") is None and str(pack.get("f")).startswith("t: ") for pack in faulty)
    told = [pack.get("t") for pack in packs]
    assert max(value.mantissa for value in told if isinstance(value, senml.Decimal)) < 800, "nothing else was warm"
