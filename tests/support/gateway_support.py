"""A real gateway process on real pseudo terminals: its nodes are a test world's, their frames travel over ptys."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from patience import PATIENCE_S, whole_lines

from tallystick_edge import config
from tallystick_edge.link_config import MqttConfig
from tallystick_edge.log import Head, Log
from tallystick_proof import keys
from tallystick_provisioning import secret_file
from tallystick_wire import frame, message

SITE_KEY = bytes(range(32))


class NodePort:
    """The node's end of a cable: the gateway opens `path`, a link (who knows it later finds no other test's cable)."""

    def __init__(self, link: Path) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))
        self.path = str(link)
        self._decoder = frame.Decoder()
        self._heard: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.send_raw(frame.encode(payload))

    def send_raw(self, data: bytes) -> None:
        while data:
            select.select([], [self._master], [], PATIENCE_S)
            data = data[os.write(self._master, data) :]

    def receive(self, timeout_s: float = PATIENCE_S) -> bytes | None:
        """The next payload from the gateway, or None."""
        end = time.monotonic() + timeout_s
        while not self._heard:
            left_s = end - time.monotonic()
            if left_s <= 0 or not select.select([self._master], [], [], left_s)[0]:
                return None
            self._heard += self._decoder.feed(os.read(self._master, 4096))
        return self._heard.pop(0)

    def ack(self, signer: keys.Signer, timeout_s: float = PATIENCE_S) -> message.Ack | None:
        """The next acknowledgement for this node, its MAC checked; anchors are passed over."""
        key = message.link_key(SITE_KEY, signer.thumbprint)
        end = time.monotonic() + timeout_s
        while (payload := self.receive(max(0.0, end - time.monotonic()))) is not None:
            if message.kind(payload) == "ack":
                return message.open_ack(key, payload)
        return None

    def ack_of(self, signer: keys.Signer, seq: int) -> message.Ack:
        """Wait for an acknowledgement that covers `seq`."""
        while ack := self.ack(signer):
            if ack.high >= seq and not any(first <= seq <= last for first, last in ack.gaps):
                return ack
        raise AssertionError(f"no acknowledgement of {seq}")

    def promised(self, signer: keys.Signer, quiet_s: float, first_s: float) -> set[int]:
        """Everything that the gateway acknowledges until it is quiet; the first comes within `first_s`, if at all."""
        found: set[int] = set()
        wait_s = first_s
        while ack := self.ack(signer, wait_s):
            wait_s = quiet_s
            gaps = [range(first, last + 1) for first, last in ack.gaps]
            found |= {seq for seq in range(1, ack.high + 1) if not any(seq in gap for gap in gaps)}
        return found

    def close(self) -> None:
        os.close(self._master)
        os.close(self._slave)


class GatewayProcess:
    """One gateway of a world: its files, and the process that `start` runs."""

    def __init__(
        self,
        folder: Path,
        world: Any,
        name: str,
        ledger: str,
        ports: int,
        cables: Sequence[str] = (),
        brokers: Sequence[MqttConfig] = (),
        **numbers: int,
    ) -> None:
        """`ports` are made for the test to play nodes on; `cables` and `brokers` lead to real ones."""
        self.folder, self.world = folder, world
        self.signer: keys.Signer = world.signers[name]
        folder.mkdir()
        self.ports = [NodePort(folder / f"cable-{number}") for number in range(ports)]
        secret_file.write_new(folder / "gateway.key", keys.format_secret(self.signer))
        secret_file.write_new(folder / "token", world.secret(f"token {name}").hex() + "\n")
        secret_file.write_new(folder / "site.key", f"tallystick-site-v1 {SITE_KEY.hex()}\n")
        (folder / "trust.toml").write_text(world.trust.format(), "utf-8")
        settings = {"checkpoint_interval_ms": 200, "anchor_interval_ms": 200, "commit_ms": 5, **numbers}
        paths = [port.path for port in self.ports] + list(cables)
        text = config.template("trust.toml", ledger, "site.key", paths, settings, brokers)
        self.config = folder / "gateway.toml"
        self.config.write_text(text, "utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> NodePort:
        return self.ports[0]

    @property
    def log_path(self) -> Path:
        return self.folder / "state" / "log.db"

    def know(self, *statements: bytes, note: bytes | None = None) -> None:
        """Put statements into the log as if the ledger had sent them."""
        self.log_path.parent.mkdir(exist_ok=True)
        log = Log.open(self.log_path)
        log.confirm(1, 0, None, statements, Head(note, 0, self.world.now_ms))
        log.close()

    def know_nodes(self, *names: str) -> None:
        self.know(*(self.world.statements[self.world.enrolments[name]][0] for name in names))

    def start(self) -> None:
        """Until it runs and listens on the test's ports: opening a port throws away what lies in it."""
        before = len(self.events("running"))
        self.launch()
        self.wait(lambda: len(self.events("running")) > before and self._listens(before + 1))

    def _listens(self, starts: int) -> bool:
        opened = [line for line in self.events("link") if "up=True" in line]
        return all(sum(f"link=serial:{port.path} " in line for line in opened) >= starts for port in self.ports)

    def launch(self, *before: str) -> None:
        """Start it, perhaps behind another command (strace), and wait for nothing."""
        command = [sys.executable, "-m", "tallystick_tools", "gateway", "run", "--config", str(self.config)]
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen([*before, *command], stderr=log)

    def kill(self) -> None:
        """A crash: nothing is finished."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as systemd does; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def wait(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > end or (self.process is not None and self.process.poll() is not None):
                raise AssertionError(f"not in time:\n{self.text()[-3000:]}")
            time.sleep(0.02)

    def text(self) -> str:
        path = self.folder / "gateway.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def events(self, name: str) -> list[str]:
        return [line for line in whole_lines(self.text()) if f"event={name} " in f"{line} "]

    def status(self) -> dict[str, Any]:
        command = [sys.executable, "-m", "tallystick_tools", "gateway", "status", "--config", str(self.config)]
        done = subprocess.run([*command, "--json"], capture_output=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def entries(self) -> list[bytes]:
        log = Log.read_only(self.log_path)
        try:
            return [data for _, data in log.rows()]
        finally:
            log.close()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for port in self.ports:
            port.close()
