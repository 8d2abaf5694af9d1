"""`tallystick node simulate`: a sensor node without hardware."""

import re
import sys
import time
from pathlib import Path

from tallystick_emulators.errors import NodeError
from tallystick_emulators.unix_node import MAX_SEED, UnixNode
from tallystick_node import room_sensors
from tallystick_provisioning import lock_file
from tallystick_provisioning.errors import FileError

MIN_INTERVAL_MS = 10  # a signature takes about 5
MAX_INTERVAL_MS = 86_400_000  # a node that speaks less than daily looks dead
_LOOK_EVERY_S = 0.2
_EXCURSION = re.compile(r"\d{1,9}(\.\d{1,3})?,\d{1,9}(\.\d{1,3})?")


def simulate(
    directory: Path,
    *,
    seed: int = 1,
    interval_ms: int = 1000,
    excursion: str = "",
    door: bool = False,
    sensors: str = room_sensors.USUAL,
    fault: str = "",
) -> int:
    """Run a real MicroPython node on a pty of this machine until Ctrl-C or SIGTERM.

    DIRECTORY/port is a link to the pty, so that other commands need not know its number.

    Example:
        tallystick node simulate node --interval-ms 500

    Parameters
    ----------
    directory
        The node's flash and log; the same directory is the same node again.
    seed
        Of the cold room that the node measures.
    interval_ms
        Between two readings.
    excursion
        "START_S,DURATION_S" of uptime in which the cold room fails.
    door
        The node has a door switch.
    sensors
        What hangs in the cold room, of sht3x, ds18b20, battery and door: real drivers on emulated chips.
    fault
        "KIND,START_S,DURATION_S" of uptime: silent, checksum, heater, stuck, short or power-on.
    """
    complaint = _complaint(directory, seed, interval_ms, excursion) or _sensor_complaint(sensors, fault)
    if complaint:
        print(f"could not run: {complaint}", file=sys.stderr)
        return 2
    settings = {
        "TALLYSTICK_SEED": str(seed),
        "TALLYSTICK_INTERVAL_MS": str(interval_ms),
        "TALLYSTICK_EXCURSION": excursion,
        "TALLYSTICK_DOOR": "1" if door else "",
        "TALLYSTICK_SENSORS": sensors,
        "TALLYSTICK_FAULT": fault,
        "TALLYSTICK_ACKS_DIR": str(directory / "acks"),
    }
    taken = f"{directory}: a node runs in this folder already"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Two nodes on one flash would use each other's numbers. The node holds the lock too: it may outlive us.
        with lock_file.held(directory / "lock", taken) as lock, UnixNode(directory, settings, held=[lock]) as node:
            node.start()
            print(f"port {node.port}\nlog  {node.log}", flush=True)
            return _watch(node)
    except (NodeError, FileError) as error:
        print(f"could not run: {error}", file=sys.stderr)
        return 2


def _complaint(directory: Path, seed: int, interval_ms: int, excursion: str) -> str | None:
    """What is wrong with the options, before anything is made."""
    port = directory / "port"
    if port.exists() and not port.is_symlink():
        return f"{port}: is no link that an earlier run left; move it away"
    if not 0 < seed <= MAX_SEED:
        return f"--seed must be from 1 to {MAX_SEED}, not {seed}"
    if not MIN_INTERVAL_MS <= interval_ms <= MAX_INTERVAL_MS:
        return f"--interval-ms must be from {MIN_INTERVAL_MS} to {MAX_INTERVAL_MS}, not {interval_ms}"
    if excursion and not _EXCURSION.fullmatch(excursion):
        return f"--excursion must be START_S,DURATION_S like 30,60, not {excursion!r}"
    return None


def _sensor_complaint(sensors: str, fault: str) -> str | None:
    names = sensors.split()
    if not names or len(set(names)) != len(names) or not set(names) <= set(room_sensors.SENSORS):
        return f"--sensors must be some of {', '.join(room_sensors.SENSORS)}, not {sensors!r}"
    kind, _, times = fault.partition(",")
    if fault and not (kind in room_sensors.FAULTS and _EXCURSION.fullmatch(times)):
        return f"--fault must be one of {', '.join(room_sensors.FAULTS)} with ,START_S,DURATION_S, not {fault!r}"
    return None


def _watch(node: UnixNode) -> int:
    try:
        while node.alive:
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        return 0
    print(f"the node stopped; see {node.log}", file=sys.stderr)
    return 1
