"""The demo's processes: each a real command of this project, in its own process with its own log file."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tallystick_tools.errors import DemoError

READY_TIMEOUT_S = 60.0  # a cold Python on a loaded single-board computer takes several seconds
STOP_TIMEOUT_S = 10.0
PORTS, PORT_TRIES = (10_000, 20_000), 100


def tallystick(*arguments: str | Path) -> list[str]:
    """The argument list that runs a subcommand with this interpreter."""
    return [sys.executable, "-m", "tallystick_tools", *map(str, arguments)]


def command(*arguments: str | Path, log: Path) -> str:
    """Run a subcommand to its end and return what it printed; raises DemoError with its message."""
    done = subprocess.run(tallystick(*arguments), capture_output=True, text=True, check=False)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ tallystick {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    if done.returncode:
        words = " ".join(map(str, arguments))
        raise DemoError(f"tallystick {words}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def free_port() -> int:
    """A loopback TCP port that is free now, and stays free: the system itself gives away none below 32768."""
    for _ in range(PORT_TRIES):
        port = random.SystemRandom().randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise DemoError(f"no free port among {PORT_TRIES} between {PORTS[0]} and {PORTS[1]}")


class Part:
    """One long-running subcommand."""

    def __init__(self, name: str, log: Path, *arguments: str | Path) -> None:
        self.name = name
        self.log = log
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, ready: Callable[[], bool]) -> None:
        """Start and wait until `ready`; raises DemoError with the end of the log when it dies or never gets ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                tallystick(*self.arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=quiet_environment()
            )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready():
            if not self.alive or time.monotonic() > deadline:
                raise DemoError(f"{self.name} did not start; its log ends:\n{self.log_end()}")
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> int:
        """SIGKILL: no handler runs, nothing is flushed. Returns the pid that was killed."""
        process = self._running()
        process.kill()
        process.wait()
        return process.pid

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not heard. Harmless when it does not run."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log_end(self) -> str:
        return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-15:])

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise DemoError(f"{self.name} is not running")
        return self.process


def quiet_environment() -> dict[str, str]:
    """The parts talk to loopback only: no proxy of the surroundings may get in between."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {
        "PYTHONUNBUFFERED": "1"
    }
