"""Real processes: `tallystick witness serve` and `tallystick cloud serve` on the keys of a test's world."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from free_port import free_port
from patience import PATIENCE_S, until

from tallystick_proof import keys, note
from tallystick_proof.note import VerifierKey
from tallystick_provisioning import secret_file
from tallystick_tools.witness import save_state

API_TOKEN = "an-API-token-of-the-tests-0123456789"


def tallystick(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tallystick_tools", *map(str, arguments)]


class Process:
    """One command that runs until it is stopped; what it says goes into a file."""

    def __init__(self, log: Path, command: Sequence[str | Path], port: int) -> None:
        self.log, self.command, self.port = log, list(map(str, command)), port
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *before: str) -> None:
        """Start it, perhaps behind another command (strace), and wait until it listens or ends."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*before, *self.command], stdout=log, stderr=log)
        try:
            until(lambda: self._listens() or not self.alive, self.text)
        except AssertionError:
            self.kill()
            raise

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def died(self) -> bool:
        """Whether it is dead, or dies: a killed process that is traced takes a moment."""
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE_S)
        return not self.alive

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """End it as systemd does; the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4000:]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class WitnessProcess(Process):
    """One of the world's witnesses."""

    def __init__(self, folder: Path, world: Any, name: str) -> None:
        folder.mkdir()
        self.state = folder / "state.json"
        secret_file.write_new(folder / "witness.key", keys.format_secret(world.signers[name]))
        save_state(self.state, {})
        vkey = VerifierKey(world.origin, note.TYPE_ED25519, world.signers["ledger"].public_key).vkey
        port = free_port()
        (folder / "witness.toml").write_text(
            f'name = "{name}.example/{world.name}"\nkey = "witness.key"\nstate = "state.json"\nhost = "127.0.0.1"\n'
            f'port = {port}\nlogs = ["{vkey}"]\n',
            "utf-8",
        )
        super().__init__(
            folder / "log", tallystick("witness", "serve", "--config", folder / "witness.toml"), port
        )


class CloudProcess(Process):
    """A ledger service, with a bank."""

    def __init__(self, folder: Path, world: Any, witnesses: Sequence[str], port: int | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.world = folder, world
        port = port or free_port()
        self.config = folder / f"cloud-{port}.toml"
        self.token_file = folder / "api.token"
        if not self.token_file.exists():
            secret_file.write_new(folder / "ledger.key", keys.format_secret(world.signers["ledger"]))
            secret_file.write_new(folder / "decision.key", keys.format_secret(world.signers["decider"]))
            secret_file.write_new(self.token_file, API_TOKEN + "\n")
            (folder / "trust.toml").write_text(world.trust.format(), "utf-8")
        self.config.write_text(
            f'origin = "{world.origin}"\nkey = "ledger.key"\ntrust = "trust.toml"\ndatabase = "ledger.db"\n'
            f'blobs = "blobs"\nhost = "127.0.0.1"\nport = {port}\napi_token = "api.token"\n'
            f"sequence_ms = 20\npublish_ms = 50\nrefresh_ms = 60000\nwitnesses = {json.dumps(list(witnesses))}\n"
            '[finance]\ndecision_key = "decision.key"\n',
            "utf-8",
        )
        super().__init__(folder / "log", tallystick("cloud", "serve", "--config", self.config), port)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=PATIENCE_S, trust_env=False, **options)

    def api(self, path: str, **options: Any) -> httpx.Response:
        """With the API token."""
        return self.request("GET", path, headers={"authorization": f"Bearer {API_TOKEN}"}, **options)

    def post(self, data: bytes) -> httpx.Response:
        return self.request("POST", "/entries", content=data, headers={"content-type": "application/cose"})

    def enrol(self, *names: str) -> None:
        for name in names:
            answer = self.post(self.world.statements[self.world.enrolments[name]][0])
            assert answer.status_code == 201, answer.text

    def sync(self, gateway: Any, body: bytes | None = None, **options: Any) -> httpx.Response:
        """A gateway's request, as it is or as the test wants it."""
        headers = {"authorization": f"Bearer {gateway.bearer}"} | options.pop("headers", {})
        content = gateway.request().encode() if body is None else body
        path = f"/gateways/{gateway.signer.thumbprint.hex()}/sync"
        return self.request("POST", path, content=content, headers=headers, **options)

    def published_size(self) -> int:
        answer = self.request("GET", "/checkpoint")
        return int(answer.text.split("\n")[1]) if answer.status_code == 200 else 0

    def wait_published(self, size: int) -> None:
        until(lambda: self.published_size() >= size, self.text)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """One command of this project, to its end."""
        return subprocess.run(tallystick(*arguments), capture_output=True, text=True, check=False)

    def fsck(self) -> subprocess.CompletedProcess[str]:
        return self.run("cloud", "fsck", "--config", self.config)
