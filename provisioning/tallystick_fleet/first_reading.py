"""Wait for a node's next readings on its cable, the port given a moment to come back after a restart."""

import time
from collections.abc import Callable

from tallystick_fleet.enrol_node import Cable
from tallystick_fleet.errors import SelfTestFailed
from tallystick_fleet.node_self_test import READINGS
from tallystick_provisioning.errors import NodeRefused, PortError
from tallystick_provisioning.serial_port import SerialPort
from tallystick_wire import message, reading
from tallystick_wire.errors import WireError

READING_TIMEOUT_S = 90.0  # the slowest usual rhythm is a reading a minute
PORT_TRIES, PORT_PAUSE_S = 10, 0.5  # a board that restarts takes its port away for a moment


def listen(cable: Cable, kid: bytes, monotonic: Callable[[], float] = time.monotonic) -> list[reading.Reading]:
    """The next readings of the node `kid`, in the order of their numbers; SelfTestFailed when none come."""
    deadline = monotonic() + READING_TIMEOUT_S
    taken: list[reading.Reading] = []
    while monotonic() < deadline:
        taken += [reading.parse(payload) for payload in cable.receive() if _is_reading(payload)]
        if any(one.kid != kid for one in taken):
            raise NodeRefused("readings of another node arrive on this port")
        if len(taken) >= READINGS:
            return sorted(taken, key=lambda one: one.chain.seq)
    raise SelfTestFailed(f"no reading within {READING_TIMEOUT_S:.0f} s")


def open_port(path: str, look: Callable[[], str | None] = lambda: None) -> SerialPort:
    """The open port; a board that restarts right now is given a moment. PortError when it does not come back.

    `look` says where the board is now: after a restart its port may have another name than `path`.
    """
    for _ in range(PORT_TRIES - 1):
        try:
            return SerialPort(look() or path)
        except PortError:
            time.sleep(PORT_PAUSE_S)
    return SerialPort(look() or path)


def _is_reading(payload: bytes) -> bool:
    try:
        return message.kind(payload) == "reading"
    except WireError:
        return False
