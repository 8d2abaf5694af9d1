"""A pcscd of the tests' own: its socket and configuration lie in a temporary folder, its network is loopback alone.

pcscd has its paths built in, but takes a listening socket as systemd hands it over (LISTEN_FDS); that keeps it away
from the system's one, and needs no rights. Clients find it by the environment variable PCSCLITE_CSOCK_NAME, and reach
it through the file system. vpcd cannot be told an address and listens on all there are, so it runs in a network
namespace of its own, out of which pcsc_inside.py hands connections.
"""

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from patience import PATIENCE_S, until

DRIVER = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
# And the next one, for the second slot. Free, since the namespace is new; below what this machine gives away by itself,
# and not one of free_port's, so that nobody has it outside.
VPCD_PORT = 32_700
ALONE = ("unshare", "--map-root-user", "--net")  # by way of a user namespace: works as root and as anybody
INSIDE = Path(__file__).with_name("pcsc_inside.py")


class PcscDaemon:
    """Runs until `stop()`. `socket_path` is for PCSCLITE_CSOCK_NAME, `connect` for VpcdCard, `name` of the reader."""

    def __init__(self, folder: Path) -> None:
        self.name = "Tallystick emulated 00 00"
        self.socket_path = folder / "pcscd.comm"
        self._log = folder / "pcscd.log"
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = self._start(_configure(folder / "reader.conf.d"), theirs.fileno())
        if not self._is_ready():
            self.stop()
            raise AssertionError(
                "no pcscd in a network namespace; that needs CAP_SYS_ADMIN, or user namespaces that anybody may make "
                f"(sysctl user.max_user_namespaces):\n{self._said()}"
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def connect(self) -> socket.socket:
        """A connection to vpcd's first slot. OSError when it takes none."""
        self._link.send(b"?")
        said, descriptors, _, _ = socket.recv_fds(self._link, 1, 1)
        if not descriptors:
            raise ConnectionRefusedError(f"vpcd on port {VPCD_PORT}: {said!r}")
        return socket.socket(fileno=descriptors[0])

    def _start(self, configuration: Path, link: int) -> subprocess.Popen[bytes]:
        with socket.socket(socket.AF_UNIX) as door, self._log.open("wb") as log:
            door.bind(str(self.socket_path))
            door.listen(16)
            inside = [sys.executable, str(INSIDE), str(door.fileno()), str(link), str(VPCD_PORT)]
            command = [*ALONE, *inside, "pcscd", "--foreground", "--debug", "--config", str(configuration)]
            return subprocess.Popen(command, pass_fds=[door.fileno(), link], stdout=log, stderr=subprocess.STDOUT)

    def _is_ready(self) -> bool:
        """Whether both slots listen in time; a connection of ours would be a card, so the log tells."""
        with suppress(AssertionError):
            until(lambda: self._process.poll() is not None or self._listens(), self._said)
        return self._listens()

    def _listens(self) -> bool:
        return self._said().count("polling thread") == 2

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        self._link.close()  # the doorkeeper's end
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _configure(folder: Path) -> Path:
    folder.mkdir()
    lines = {
        "FRIENDLYNAME": '"Tallystick emulated"',
        "DEVICENAME": f"/dev/null:{VPCD_PORT}",
        "LIBPATH": DRIVER,
        "CHANNELID": str(VPCD_PORT),
    }
    (folder / "vpcd").write_text("".join(f"{name} {value}\n" for name, value in lines.items()), "ascii")
    return folder
