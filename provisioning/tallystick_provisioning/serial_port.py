"""The one serial port of every host program: exclusive, raw, framed. Foreign errors become PortError here only."""

import errno
import os
import select
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import serial  # type: ignore[import-untyped]

from tallystick_provisioning.errors import PortError
from tallystick_wire import frame

BAUD = 115200  # USB serial ignores it; a real UART of a node runs at it
READ_TIMEOUT_S = 0.2  # how soon a reader notices that it should stop


class SerialPort:
    """Frames over one port. One thread may read while another writes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.decoder = frame.Decoder()
        self._cut = False  # the last frame went out in part: its rest must not become the head of the next
        with _port_errors(path):
            # exclusive: two programs on one port would take each other's bytes.
            self._port = serial.Serial(path, BAUD, timeout=READ_TIMEOUT_S, write_timeout=0, exclusive=True)

    def receive(self) -> list[bytes]:
        """Wait at most READ_TIMEOUT_S and return the payloads that arrived whole."""
        with _port_errors(self.path):
            # read(1) alone would be one system call a byte: 314 frames a second instead of thousands.
            return self.decoder.feed(self._port.read(max(1, self._port.in_waiting)))

    def send(self, payload: bytes) -> bool:
        """Write one frame without waiting; False when the other end does not take it: then it is dropped whole."""
        data = frame.encode(payload)
        with _port_errors(self.path):
            if not select.select([], [self._port], [], 0)[1]:
                return False
            if self._cut:
                data = b"\0" + data
            self._cut = int(self._port.write(data)) != len(data)
            return not self._cut

    def close(self) -> None:
        """Give the port back."""
        with _port_errors(self.path):
            self._port.close()


@contextmanager
def _port_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, termios.error, ValueError, TypeError) as error:
        # SerialException is an OSError; TypeError and ValueError come from a port that another thread has closed.
        raise PortError(f"{path}: {_reason(path, error)}") from None


def _reason(path: str, error: Exception) -> str:
    """What a person can act on; pyserial's own text where we know nothing better."""
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EWOULDBLOCK):
        return "in use by another program (a running gateway?): stop it first"
    if "Could not configure port" in str(error):
        return "no serial port"
    return os.strerror(number) if isinstance(number, int) else str(error)
