"""Freeze the gateway, read its log, and kill it only while something in it is not yet confirmed."""

import signal
import time
from pathlib import Path

from tallystick_edge.log import Log
from tallystick_tools.demo_parts import Part
from tallystick_tools.errors import DemoError

TRIES = 200  # each is one freeze; the gateway takes entries many times a second and syncs twice


def kill_with_backlog(gateway: Part, log_file: Path) -> tuple[int, int]:
    """SIGKILL the gateway at a moment when its log holds entries that the ledger has not confirmed: (pid, backlog).

    SIGSTOP first: the figure is read from the database of a process that cannot change it any more.
    """
    for _ in range(TRIES):
        gateway.send(signal.SIGSTOP)
        waiting = backlog(log_file)
        if waiting:
            return gateway.kill(), waiting
        gateway.send(signal.SIGCONT)
        time.sleep(0.03)
    raise DemoError(f"the gateway had everything confirmed, {TRIES} times: there was no backlog to kill it with")


def backlog(log_file: Path) -> int:
    """Entries committed by the gateway that no answer of the ledger covers yet."""
    log = Log.read_only(log_file)
    try:
        return log.backlog()
    finally:
        log.close()
