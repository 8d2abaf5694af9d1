"""`tallystick node simulate`: a sensor node without hardware."""

import sys
import time
from pathlib import Path

from tallystick_tools.errors import NodeError
from tallystick_tools.unix_node import UnixNode

_LOOK_EVERY_S = 0.2


def simulate(
    directory: Path, *, seed: int = 1, interval_ms: int = 1000, excursion: str = "", door: bool = False
) -> int:
    """Run a real MicroPython node on a pty of this machine until Ctrl-C.

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
    """
    settings = {
        "TALLYSTICK_SEED": str(seed),
        "TALLYSTICK_INTERVAL_MS": str(interval_ms),
        "TALLYSTICK_EXCURSION": excursion,
        "TALLYSTICK_DOOR": "1" if door else "",
        "TALLYSTICK_ACKS_DIR": str(directory / "acks"),
    }
    try:
        with UnixNode(directory, settings) as node:
            node.start()
            link(directory / "port", node.port)
            print(f"port {node.port}", flush=True)
            print(f"log  {node.log}", flush=True)
            return _watch(node)
    except NodeError as error:
        print(f"tallystick: {error}", file=sys.stderr)
        return 2


def link(path: Path, port: str) -> None:
    """Make `path` a link to the pty, in place of one that an earlier run left."""
    path.unlink(missing_ok=True)
    path.symlink_to(port)


def _watch(node: UnixNode) -> int:
    try:
        while node.alive:
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        return 0
    print(f"tallystick: the node stopped; see {node.log}", file=sys.stderr)
    return 1
