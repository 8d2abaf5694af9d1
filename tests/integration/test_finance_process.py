"""The real service process with a bank on it: statements and readings in over HTTP, a decision, a webhook, a bundle."""

import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from finance_support import FACILITY, MINUTE_MS, PLEDGE, RULES
from free_port import free_port
from ledger_support import TestGateway
from patience import PATIENCE_S, until
from standardwebhooks import Webhook

from tallystick_proof import keys
from tallystick_provisioning import secret_file
from tallystick_tools.witness import Witness, save_state
from tallystick_tools.witness_server import WitnessServer
from tallystick_wire import cbor

TOKEN = "token-of-a-bank-0123456789abcdef"
SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgYmFuaydzIHdlYmhvb2s="


class Receiver(http.server.ThreadingHTTPServer):
    """The bank's end of the webhook, on a real port. The first attempt is turned away."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tried: list[str] = []
        self.heard: dict[str, dict[str, Any]] = {}  # by its id: what is answered too late is sent again
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        Webhook(SECRET).verify(body, dict(self.headers))
        self.server.tried.append(self.headers["webhook-id"])
        first = len(self.server.tried) == 1
        if not first:
            self.server.heard[self.headers["webhook-id"]] = json.loads(body)
        self.send_response(503 if first else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Cloud:
    """`tallystick cloud serve` on the world's keys, two witnesses beside it."""

    def __init__(self, folder: Path, world: Any, webhook: str) -> None:
        self.world, self.folder = world, folder
        folder.mkdir()
        self.witnesses = [self._witness(name) for name in world.witnesses]
        self.url = f"http://127.0.0.1:{free_port()}"
        for name, text in {
            "ledger.key": keys.format_secret(world.signers["ledger"]),
            "decision.key": keys.format_secret(world.signers["decider"]),
            "api.token": TOKEN + "\n",
            "webhook.secret": SECRET + "\n",
        }.items():
            secret_file.write_new(folder / name, text)
        (folder / "trust.toml").write_text(world.trust.format(), "utf-8")
        addresses = [f"http://127.0.0.1:{witness.server_port}" for witness in self.witnesses]
        (folder / "cloud.toml").write_text(
            f'origin = "{world.origin}"\nkey = "ledger.key"\ntrust = "trust.toml"\ndatabase = "ledger.db"\n'
            f'blobs = "blobs"\nhost = "127.0.0.1"\nport = {self.url.rpartition(":")[2]}\napi_token = "api.token"\n'
            f"sequence_ms = 50\npublish_ms = 200\nrefresh_ms = 500\nwitnesses = {json.dumps(addresses)}\n"
            f'[finance]\ndecision_key = "decision.key"\nwebhook_url = "{webhook}"\nwebhook_secret = "webhook.secret"\n',
            "utf-8",
        )
        self.client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=PATIENCE_S
        )

    def start(self) -> None:
        program = [sys.executable, "-m", "tallystick_tools", "cloud", "serve"]
        command = [*program, "--config", str(self.folder / "cloud.toml")]
        with (self.folder / "cloud.log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        until(self._answers, self.log)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def log(self) -> str:
        return (self.folder / "cloud.log").read_text("utf-8", "replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.client.close()
        for witness in self.witnesses:
            witness.shutdown()
            witness.server_close()

    def enter(self, identity: bytes) -> bytes:
        """POST a statement of the world's."""
        data = self.world.statements[identity][0]
        answer = self.client.post("/entries", content=data, headers={"content-type": "application/cose"})
        assert answer.status_code == 201, answer.text
        return identity

    def items(self, path: str) -> list[dict[str, Any]]:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    def _answers(self) -> bool:
        try:
            return self.client.get("/checkpoint").status_code in (200, 404)
        except httpx.TransportError:
            return False

    def _witness(self, name: str) -> WitnessServer:
        state = self.folder / f"{name}.json"
        save_state(state, {})
        logs = {self.world.origin: list(self.world.trust.policy.logs)}
        key_name = f"{name}.example/{self.world.name}"
        witness = Witness(self.world.signers[name], key_name, logs, state, lambda: int(time.time()))
        server = WitnessServer(("127.0.0.1", 0), witness)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def cloud(tmp_path: Path, make_world: Callable[..., Any], receiver: Receiver) -> Iterator[Cloud]:
    made = Cloud(tmp_path / "cloud", make_world("bank", nodes=("node-a",)), receiver.url)
    try:
        made.start()
        yield made
    finally:
        made.close()


def lend(cloud: Cloud) -> str:
    """Enrolments, three statements, one request: a loan whose lot must be too warm for two seconds."""
    world = cloud.world
    for identity in world.enrolments.values():
        cloud.enter(identity)
    who = {name: world.signers[name].thumbprint for name in ("lender", "borrower", "decider", "node-a")}
    people = {"lender": who["lender"], "borrower": who["borrower"], "decision_key": who["decider"]}
    rules = cbor.Map(list((RULES | {"warm_for_ms": 2000}).items()))
    facility = cloud.enter(world.log("lender", keys.FACILITY, {**people, **FACILITY, "rules": rules}))
    watched = {"place": "room 3", "lot": "L7", "nodes": [who["node-a"]], "since_ms": 0}
    association = cloud.enter(world.log("installer", keys.ASSOCIATION, watched))
    pledge = cloud.enter(
        world.log("borrower", keys.PLEDGE, {**PLEDGE, "facility": facility, "association": association})
    )
    answer = cloud.client.post(
        "/v1/loans", json={"facility": facility.hex(), "pledge": pledge.hex()}, headers={"Idempotency-Key": "one"}
    )
    assert answer.status_code == 201, answer.text
    loan: str = answer.json()["id"]
    return loan


def warm_up(cloud: Cloud, gateway: TestGateway) -> None:
    """Cold, then a minute of warmth by the node's own clock, synced as a gateway does."""
    node = cloud.world.nodes["node-a"]
    gateway.take(*(node.measure(cents, MINUTE_MS).data for cents in (450, 460, 900, 910, 920)))
    path, headers = f"/gateways/{gateway.signer.thumbprint.hex()}/sync", {"authorization": f"Bearer {gateway.bearer}"}
    answer = cloud.client.post(path, content=gateway.request().encode(), headers=headers)
    assert answer.status_code == 200, answer.text


def test_from_readings_to_the_banks_webhook(cloud: Cloud, receiver: Receiver, tmp_path: Path) -> None:
    loan = lend(cloud)
    time.sleep(1)  # there is no warmth before the association, so a second of it must have passed
    warm_up(cloud, TestGateway(cloud.world))
    (decision,) = until(lambda: cloud.items(f"/v1/loans/{loan}/decisions"), "the decision")
    assert [effect["kind"] for effect in decision["effects"]] == ["alert", "haircut", "margin-call"]
    until(lambda: len(receiver.heard) == 2, "both events at the webhook")
    assert receiver.tried[0] in receiver.tried[1:], "turned away once, tried again"
    told = next(event for event in receiver.heard.values() if event["type"] == "tallystick.loan.decided")
    assert told["data"]["decision"] == decision
    until(lambda: decision["effects"][-1]["text"] in cloud.log(), cloud.log)

    bundle = until(lambda: _content(cloud.client.get(decision["evidence"])), "the bundle")
    (tmp_path / "decision.zip").write_bytes(bundle)
    command = ["verify", str(tmp_path / "decision.zip"), "--trust", str(cloud.folder / "trust.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "tallystick_tools", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

    assert cloud.stop() == 0
    cloud.start()
    assert cloud.items(f"/v1/loans/{loan}/decisions") == [decision]
    assert len(cloud.items("/v1/events")) == 2


def _content(answer: httpx.Response) -> bytes | None:
    return answer.content if answer.status_code == 200 else None
