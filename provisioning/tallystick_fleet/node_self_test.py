"""Whether a node that was just enrolled measures and signs as it should. Pure: readings in, complaints out."""

from collections.abc import Sequence
from itertools import pairwise

from tallystick_proof.keys import verify_signature
from tallystick_wire import reading, senml

READINGS = 1  # it shows sensor, signature, genesis and boot record; a node with a slow rhythm sends the next much later
COLDEST_CELSIUS, WARMEST_CELSIUS = -40, 60  # where a person stands who provisions nodes; beyond, the sensor is at fault
LOWEST_BATTERY_V = 2.4  # below, two AA cells or a button cell are empty before the first truck arrives
FAULTS = "f"


def complaints(
    taken: Sequence[reading.Reading], public_key: bytes, origin: str, pen: int, told_firmware: bytes | None
) -> list[str]:
    """What is wrong with a node's first readings, in order; empty when it may go to work.

    `told_firmware` is the hash that it told when it was asked who it is; None: readings of earlier firmware may come.
    """
    wrong: list[str] = []
    for one in taken:
        if not verify_signature(public_key, one.sign1.to_be_signed, one.sign1.signature):
            wrong.append(f"reading {one.chain.seq}: the signature is wrong")
        if one.pack.base_name != senml.base_name(pen, one.kid):
            wrong.append(f"reading {one.chain.seq}: names another ledger's number (PEN)")
        wrong += [f"reading {one.chain.seq}: {fault}" for fault in _measured(one.pack)]
    wrong += _chained(taken, public_key, origin)
    booted = [one.boot_record for one in taken if one.boot_record is not None]
    if told_firmware is not None and any(record.firmware_hash != told_firmware for record in booted):
        wrong.append("the firmware that signs is not the one that answered")
    return list(dict.fromkeys(wrong))


def _measured(pack: senml.Pack) -> list[str]:
    found: list[str] = []
    faults = pack.get(FAULTS)
    if isinstance(faults, str):
        found.append(f"the sensor says {faults}")
    temperature = number(pack.get("t"))
    if temperature is None:
        if faults is None:
            found.append("no temperature")
    elif not COLDEST_CELSIUS <= temperature <= WARMEST_CELSIUS:
        found.append(f"{temperature:.2f} degrees Celsius; {COLDEST_CELSIUS} to {WARMEST_CELSIUS} is plausible here")
    battery = number(pack.get("b"))
    if battery is not None and battery < LOWEST_BATTERY_V:
        found.append(f"the battery has {battery:.2f} V; at least {LOWEST_BATTERY_V} V: put in fresh ones")
    return found


def _chained(taken: Sequence[reading.Reading], public_key: bytes, origin: str) -> list[str]:
    found = []
    first = taken[0].chain
    if first.seq == 1 and first.previous != reading.genesis(origin, public_key):
        found.append("the first reading does not begin the chain of this ledger")
    for earlier, later in pairwise(taken):
        # What waited for its ack comes too, of earlier boots as well, and perhaps twice.
        follows = later.chain.boot == earlier.chain.boot and later.chain.seq == earlier.chain.seq + 1
        if follows and later.chain.previous != earlier.link:
            found.append(f"reading {later.chain.seq} does not name reading {earlier.chain.seq}")
    return found


def number(value: object) -> float | None:
    """A measured number; None for anything else."""
    if isinstance(value, senml.Decimal):
        return float(value.mantissa) * 10.0**value.exponent
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else None
