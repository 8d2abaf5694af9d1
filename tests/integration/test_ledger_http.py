"""A real ledger service and two real witness processes: what stands in the API page happens over HTTP."""

import itertools
import json
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cloud_process import API_TOKEN, CloudProcess, WitnessProcess
from ledger_support import TestGateway
from patience import PATIENCE_S, until

from tallystick_ledger.sync_door import MAX_BODY_BYTES
from tallystick_proof import merkle, note, tiles
from tallystick_proof.evidence import Evidence
from tallystick_proof.sync import SyncAnswer, SyncRequest
from tallystick_wire import cbor


class Site:
    """The processes and their world."""

    def __init__(self, folder: Path, world: Any) -> None:
        self.folder, self.world = folder, world
        self.witnesses = [WitnessProcess(folder / name, world, name) for name in world.witnesses]
        self.cloud = CloudProcess(folder / "ledger", world, [witness.url for witness in self.witnesses])

    def start(self) -> None:
        for process in (*self.witnesses, self.cloud):
            process.start()
        self.cloud.enrol("gateway", "gateway-2", "node-a")

    def readings(self, count: int, name: str = "node-a") -> list[bytes]:
        return [self.world.nodes[name].measure(450, 10).data for _ in range(count)]

    def close(self) -> None:
        for process in (self.cloud, *self.witnesses):
            process.kill()


@pytest.fixture
def site(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[Site]:
    found = Site(tmp_path, make_world("http"))
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture
def gateway(site: Site) -> TestGateway:
    return TestGateway(site.world)


def problem(answer: Any) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return str(body["detail"])


def test_from_a_sync_to_a_verified_bundle(site: Site, gateway: TestGateway, tmp_path: Path) -> None:
    cloud, node = site.cloud, site.world.signers["node-a"].thumbprint.hex()
    gateway.take(*site.readings(5))
    answer = cloud.sync(gateway)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cbor")
    assert SyncAnswer.decode(answer.content).known_size == 5
    cloud.wait_published(4)
    answer = cloud.sync(gateway, SyncRequest(0, gateway.entries, gateway.note()).encode(), params={"cursor": 2})
    told = SyncAnswer.decode(answer.content)
    assert (told.ledger_index, told.witnessed_size, len(told.downlink)) == (3, 5, 1)
    assert site.world.trust.policy.check(told.ledger_note or b"", site.world.origin).witnessed

    options: list[str | Path] = ["--url", cloud.url, "--token-file", cloud.token_file]
    for words in (["reading", node, "5"], ["window", node, "2", "4"]):
        done = cloud.run("cloud", "evidence", *words, *options, "--force", "--out", tmp_path / "bundle.zip")
        assert done.returncode == 0, done.stderr
        assert Evidence((tmp_path / "bundle.zip").read_bytes(), site.world.trust).manifest.kind == words[0]
    done = cloud.run("cloud", "evidence", "reading", node, "6", *options, "--out", tmp_path / "no.zip")
    assert done.returncode == 1
    assert "404" in done.stderr
    assert not (tmp_path / "no.zip").exists()

    done = cloud.run("cloud", "export", "readings", "--config", cloud.config, "--out", tmp_path / "all")
    assert done.stdout == "5 readings\n"
    assert [item[3] for item in cbor.decode_sequence((tmp_path / "all").read_bytes())] == ["valid"] * 5

    done = cloud.run("cloud", "status", *options, "--json")
    shown = json.loads(done.stdout)
    assert shown["nodes"][0]["readings"] == {"valid": 5}
    assert shown["loans"] == []
    done = cloud.run("cloud", "status", *options)
    assert node[:16] in done.stdout
    assert cloud.fsck().returncode == 0, "while the service runs"
    assert cloud.stop() == 0
    assert cloud.fsck().stderr.endswith("clean\n")
    assert [witness.stop() for witness in site.witnesses] == [0, 0]


def test_every_refusal_has_its_status_and_leaves_the_log_alone(site: Site, gateway: TestGateway) -> None:
    cloud = site.cloud
    gateway.take(*site.readings(2))
    assert cloud.sync(gateway).status_code == 200
    gateway.sent = 2
    gateway.take(*site.readings(1))
    good = gateway.request().encode()
    cases: list[tuple[int, bytes, dict[str, str]]] = [
        (400, b"junk", {}),
        (400, good + b"\0", {}),
        (400, b"junk", {"content-encoding": "zstd"}),
        (401, good, {"authorization": "Bearer nonsense"}),
        (403, SyncRequest(2, gateway.entries[2:], TestGateway(site.world, "gateway-2").note(0)).encode(), {}),
        (413, zstandard.compress(bytes(8_000_000)), {"content-encoding": "zstd"}),
        (413, bytes(MAX_BODY_BYTES + 1), {}),
        (415, good, {"content-encoding": "br"}),
        (422, SyncRequest(2, gateway.entries[2:], gateway.note(root=bytes(32))).encode(), {}),
    ]
    for status, body, headers in cases:
        answer = cloud.sync(gateway, body, headers=headers)
        assert answer.status_code == status, answer.text
        problem(answer)
    answer = cloud.sync(gateway, SyncRequest(1, gateway.entries[1:], gateway.note()).encode())
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (409, "2\n", "text/x.tlog.size")
    for cursor in ("-1", "x", "9" * 30):
        assert cloud.sync(gateway, good, params={"cursor": cursor}).status_code == 400
    assert cloud.sync(gateway, zstandard.compress(good), headers={"content-encoding": "zstd"}).status_code == 200
    assert cloud.sync(gateway, good).status_code == 200
    liar = TestGateway(site.world)
    liar.take(*site.readings(3))
    answer = cloud.sync(liar)
    assert answer.status_code == 410
    assert "contradict" in problem(answer)
    cloud.wait_published(6)
    assert cloud.api("/status").json()["gateways"][0]["epochs"] == [{"number": 1, "size": 3, "frozen": True}]


def test_token_is_checked_before_the_body_is_read(site: Site) -> None:
    """A head that announces four megabytes, and not one byte of them."""
    name = site.world.signers["gateway"].thumbprint.hex()
    with socket.create_connection(("127.0.0.1", site.cloud.port), timeout=PATIENCE_S) as stream:
        stream.sendall(
            f"POST /gateways/{name}/sync HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n"
            "content-length: 4000000\r\n\r\n".encode()
        )
        assert stream.recv(100).startswith(b"HTTP/1.1 401")


def test_endless_chunked_body_is_cut_off(site: Site, gateway: TestGateway) -> None:
    piece = bytes(1 << 16)

    def pieces() -> Iterator[bytes]:
        yield from itertools.repeat(piece, MAX_BODY_BYTES // len(piece) + 2)

    answer = site.cloud.sync(gateway, pieces())  # type: ignore[arg-type]
    assert answer.status_code == 413


def test_statement_door(site: Site) -> None:
    cloud, world = site.cloud, site.world
    data = world.statements[world.enrolments["installer"]][0]
    identity = world.enrolments["installer"].hex()
    answer = cloud.request("POST", "/entries", content=data, headers={"content-type": "application/json"})
    assert answer.status_code == 415
    problem(answer)
    assert problem(cloud.post(b"junk"))
    assert cloud.post(b"junk").status_code == 400
    assert cloud.post(bytes(20_000)).status_code == 413
    assert cloud.post(data[:-1]).status_code == 400
    assert cloud.request("GET", f"/entries/{identity}").status_code == 404
    assert cloud.post(data).json()["identity"] == identity
    until(lambda: cloud.request("GET", f"/entries/{identity}").json()["index"] == 3, cloud.text)
    assert cloud.post(data).json() == {"identity": identity, "index": 3}
    assert cloud.request("GET", f"/entries/{identity}", headers={"accept": "application/cose"}).status_code == 401
    headers = {"accept": "application/cose", "authorization": f"Bearer {API_TOKEN}"}
    assert cloud.request("GET", f"/entries/{identity}", headers=headers).content == data
    forged = data[:-1] + bytes([data[-1] ^ 1])
    assert cloud.post(forged).status_code == 403
    for path in ("/entries/00", "/entries/" + "A" * 64, "/nowhere"):
        assert cloud.request("GET", path).status_code == 404


def test_what_needs_the_api_token(site: Site) -> None:
    node = site.world.signers["node-a"].thumbprint.hex()
    for path in (
        "/status",
        f"/evidence/readings/{node}/1",
        f"/evidence/readings/{node}?first=1&last=2",
        f"/evidence/decisions/{node}",
        "/v1/loans",
    ):
        assert site.cloud.request("GET", path).status_code == 401, path
    assert site.cloud.api(f"/evidence/readings/{node}/1").status_code == 404
    assert site.cloud.api(f"/evidence/readings/{node}/0").status_code == 400
    assert site.cloud.api(f"/evidence/readings/{node}?first=2&last=1").status_code == 400
    assert site.cloud.api(f"/evidence/readings/{node}?first=x").status_code == 400


def test_anyone_can_follow_the_tree(site: Site) -> None:
    """Checkpoint and tiles are public: a stranger checks that the log only grew."""
    cloud = site.cloud
    roots: dict[int, bytes] = {}
    for name in ("node-b", "installer", "lender"):
        cloud.enrol(name)
        cloud.wait_published(max(roots, default=3) + 1)
        answer = cloud.request("GET", "/checkpoint")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        head = note.parse(answer.content).text.split("\n")
        roots[int(head[1])] = note.decode_base64(head[2])
    size = max(roots)

    def load(level: int, number: int) -> bytes:
        answer = cloud.request("GET", "/" + tiles.tile_path(level, number, size))
        assert answer.status_code == 200
        return answer.content

    tree = tiles.Tree(load, size)
    for smaller, root in roots.items():
        merkle.verify_consistency(smaller, size, root, roots[size], tree.consistency_proof(smaller, size))
    for path in (f"0/000.p/{size + 1}", "0/000", "0/0", "8/000.p/1", "entries/000", "x"):
        assert cloud.request("GET", f"/tile/{path}").status_code == 404, path


def test_unwitnessed_is_not_shown_and_comes_when_the_witness_is_back(site: Site, gateway: TestGateway) -> None:
    cloud = site.cloud
    cloud.wait_published(3)
    site.witnesses[0].kill()
    gateway.take(*site.readings(1))
    cloud.sync(gateway)
    until(lambda: "not met" in cloud.text(), cloud.text)
    assert cloud.published_size() == 3
    assert SyncAnswer.decode(cloud.sync(gateway).content).witnessed_size == 0
    site.witnesses[0].start()
    cloud.wait_published(4)
    assert SyncAnswer.decode(cloud.sync(gateway).content).witnessed_size == 1


def test_a_second_service_on_one_database_is_refused(site: Site, tmp_path: Path) -> None:
    second = CloudProcess(tmp_path / "ledger", site.world, [])
    done = site.cloud.run("cloud", "serve", "--config", second.config)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ledger.db is served by another process" in done.stderr
    assert site.cloud.stop() == 0
    second.start()
    assert second.stop() == 0


def test_two_services_that_nothing_kept_apart(site: Site, tmp_path: Path) -> None:
    """As on two machines: both sequence, both publish, and witnesses that see both find one history."""
    second = CloudProcess(tmp_path / "ledger", site.world, [witness.url for witness in site.witnesses])
    program = (
        "import contextlib, sys; from pathlib import Path; from tallystick_web import config, serve\n"
        "serve._alone = lambda _: contextlib.nullcontext(); serve.serve(config.load(Path(sys.argv[1])))"
    )
    second.command = [sys.executable, "-c", program, str(second.config)]
    second.start()
    first, other = TestGateway(site.world), TestGateway(site.world, "gateway-2")
    for _ in range(10):
        for cloud, gateway in ((site.cloud, first), (second, other)):
            gateway.take(*site.readings(2))
            answer = cloud.sync(gateway)
            assert answer.status_code == 200
            gateway.sent = SyncAnswer.decode(answer.content).known_size
    site.cloud.wait_published(23)
    assert "RolledBack" not in site.cloud.text() + second.text()
    assert second.stop() == 0
    assert site.cloud.stop() == 0
    assert site.cloud.fsck().returncode == 0


def test_many_syncs_at_once(site: Site) -> None:
    """More than there are places for: all of them get their turn."""
    gateways = [TestGateway(site.world), TestGateway(site.world, "gateway-2")]
    for gateway in gateways:
        gateway.take(*site.readings(3))
    bodies = [(gateway, gateway.request().encode()) for gateway in gateways] * 15
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda pair: site.cloud.sync(*pair), bodies))
    assert {answer.status_code for answer in answers} == {200}
    assert {SyncAnswer.decode(answer.content).known_size for answer in answers} == {3}


def test_port_that_is_taken_is_named(site: Site, tmp_path: Path) -> None:
    second = CloudProcess(tmp_path / "second", site.world, [], site.cloud.port)
    done = site.cloud.run("cloud", "serve", "--config", second.config)
    assert (done.returncode, "in use" in done.stderr) == (2, True), done.stderr


def test_service_refuses_to_start_with_a_foreign_key_or_trust(site: Site, tmp_path: Path) -> None:
    cloud = site.cloud
    cloud.stop()
    good = cloud.config.read_text("utf-8")
    for old, new, why in (
        ('key = "ledger.key"', 'key = "decision.key"', "role"),
        ('trust = "trust.toml"', 'trust = "nowhere.toml"', "trust init"),
        (f'origin = "{site.world.origin}"', 'origin = "other.example/log"', "is about"),
        ("port =", "prot =", "unknown key 'prot'"),
        ('token = "api.token"', 'token = "trust.toml"', "api_token"),
    ):
        cloud.config.write_text(good.replace(old, new), "utf-8")
        done = cloud.run("cloud", "serve", "--config", cloud.config)
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr
