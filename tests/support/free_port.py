"""TCP ports for servers that start later, or again and again: meanwhile nobody else gets them.

What the system gives away by itself, to whoever binds to 0 or connects, lies above ours. Each of ours is claimed by a
name among the abstract unix sockets of this machine, which is free again when this process ends.
"""

import os
import socket
from itertools import count

FIRST, COUNT = 20_000, 12_000  # below 32768, where net.ipv4.ip_local_port_range begins
_numbers = count(os.getpid() * 61)  # processes that begin at once begin at different places


def free_port() -> int:
    """A port of this machine's that is free, and this process's alone for as long as that lives."""
    for _ in range(COUNT):
        port = FIRST + next(_numbers) % COUNT
        if _claim(port):
            return port
    raise AssertionError("every port is taken")


def _claim(port: int) -> bool:
    with socket.socket() as probe, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        try:
            name.bind(f"\0tallystick-test-port-{port}")
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        name.detach()  # held until the process ends
    return True
