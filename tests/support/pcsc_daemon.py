"""A pcscd of the tests' own: its socket and configuration lie in a temporary folder, vpcd on free ports of loopback.

pcscd has its paths built in, but takes a listening socket as systemd hands it over (LISTEN_FDS); that keeps it away
from the system's one, and needs no rights. Clients find it by the environment variable PCSCLITE_CSOCK_NAME.
"""

import socket
import subprocess
import sys
import time
from pathlib import Path

DRIVER = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
PATIENCE_S = 20.0
ATTEMPTS = 3
_EXEC = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class PcscDaemon:
    """Runs until `stop()`. `socket_path` is for PCSCLITE_CSOCK_NAME, `vpcd_port` for VpcdCard, `name` of the reader.

    vpcd cannot be told an address, so while tests run its two ports are open to the network, too.
    """

    def __init__(self, folder: Path) -> None:
        self.name = "Tallystick emulated 00 00"
        for attempt in range(ATTEMPTS):
            here = folder / str(attempt)
            here.mkdir()
            self.vpcd_port = _two_free_ports()
            self.socket_path = here / "pcscd.comm"
            self._log = here / "pcscd.log"
            self._process = self._start(self._configure(here / "reader.conf.d"))
            if self._is_ready():
                return
            self.stop()  # somebody else took a port in between
        raise AssertionError(self._log.read_text("utf-8", "replace"))

    def _configure(self, folder: Path) -> Path:
        folder.mkdir()
        lines = {
            "FRIENDLYNAME": '"Tallystick emulated"',
            "DEVICENAME": f"/dev/null:{self.vpcd_port}",
            "LIBPATH": DRIVER,
            "CHANNELID": str(self.vpcd_port),
        }
        (folder / "vpcd").write_text("".join(f"{name} {value}\n" for name, value in lines.items()), "ascii")
        return folder

    def _start(self, configuration: Path) -> subprocess.Popen[bytes]:
        with socket.socket(socket.AF_UNIX) as door, self._log.open("wb") as log:
            door.bind(str(self.socket_path))
            door.listen(16)
            daemon = ["pcscd", "--foreground", "--debug", "--config", str(configuration)]
            command = [sys.executable, "-c", _EXEC, str(door.fileno()), *daemon]
            return subprocess.Popen(command, pass_fds=[door.fileno()], stdout=log, stderr=subprocess.STDOUT)

    def _is_ready(self) -> bool:
        """Whether both slots listen in time; a connection of ours would be a card, so the log tells."""
        deadline = time.monotonic() + PATIENCE_S
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._log.read_text("utf-8", "replace").count("polling thread") == 2:
                return True
            time.sleep(0.05)
        return False

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _two_free_ports() -> int:
    """vpcd has two slots, on a port and the next one."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise AssertionError("no two free ports in a row")
