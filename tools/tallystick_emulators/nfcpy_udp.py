"""nfcpy's udp driver on a busy machine: its own timeouts (5 ms for a READ) are a radio's, and an answer that comes late
would answer the next command. So late ones are thrown away first, and half a second is waited at least."""

import contextlib
import socket
from typing import Any

import nfc  # type: ignore[import-untyped]
import nfc.clf  # type: ignore[import-untyped]
import nfc.tag  # type: ignore[import-untyped]

PATIENCE_S = 0.5


def open_reader(path: str) -> Any:
    """An nfc.ContactlessFrontend."""
    frontend = nfc.ContactlessFrontend(path)
    device = frontend.device
    impatient = device.send_cmd_recv_rsp

    def patient(target: Any, data: Any, timeout: float) -> Any:
        _drain(device.socket)
        return impatient(target, data, max(timeout, PATIENCE_S))

    device.send_cmd_recv_rsp = patient
    return frontend


def activate(frontend: Any) -> Any:
    """nfcpy's own tag object of what lies there, or None."""
    target = frontend.sense(nfc.clf.RemoteTarget("106A"))
    return None if target is None else nfc.tag.activate(frontend, target)


def _drain(link: socket.socket) -> None:
    link.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            link.recv(1024)
    link.setblocking(True)
