"""cloud.toml, `cloud init`, and how the service says no."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from tallystick_proof import note
from tallystick_web import commands, config, show
from tallystick_web.client import Client
from tallystick_web.errors import ConfigError, ServiceError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger's files as `cloud init` makes them."""
    target = tmp_path / "ledger"
    done = commands.init(
        target,
        origin="ledger.example/log",
        trust=tmp_path / "site" / "trust.toml",
        witness=["http://127.0.0.1:8089"],
        port=8123,
        webhook_url="https://bank.example/hook",
    )
    assert done == 0
    return target


def test_init(folder: Path) -> None:
    found = config.load(folder / "cloud.toml")
    assert (found.origin, found.port, found.witnesses) == ("ledger.example/log", 8123, ("http://127.0.0.1:8089",))
    assert found.trust == folder / "../site/trust.toml"
    assert found.finance is not None
    secrets = [found.key, found.api_token, found.finance.decision_key, found.finance.webhook_secret]
    for path in secrets:
        assert path is not None
        assert path.stat().st_mode & 0o777 == 0o600
    vkey = note.VerifierKey.parse((folder / "ledger.vkey").read_text("utf-8").strip())
    assert (vkey.name, vkey.key_type) == ("ledger.example/log", note.TYPE_ED25519)


def test_init_overwrites_nothing(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert commands.init(folder, origin="other.example/log") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_init_refuses_a_name_that_is_none(tmp_path: Path) -> None:
    for origin in ("https://ledger.example", "two words", "x/gateway/y"):
        assert commands.init(tmp_path / "new", origin=origin) == 1
    assert not (tmp_path / "new").exists(), "nothing half done"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("port = 8123", "prot = 8123", "prot is no known key"),
        ("port = 8123", "", "port is missing"),
        ("port = 8123", "port = 70000", "port must be an integer"),
        ("port = 8123", "port = true", "port must be an integer"),
        ("sequence_ms = 100", "sequence_ms = 1", "sequence_ms must be"),
        ('origin = "ledger.example/log"', "origin = 5", "origin must be text"),
        ('["http://127.0.0.1:8089"]', '["127.0.0.1:8089"]', "starts with http"),
        ("[finance]", "[finanze]", "finanze is no known key"),
        ('decision_key = "decision.key"', "", "decision_key is missing"),
        ('webhook_secret = "webhook.secret"', "", "belong together"),
        ("[finance]", "[finance", "cloud.toml"),
    ],
)
def test_wrong_configuration_is_named(folder: Path, old: str, new: str, why: str) -> None:
    path = folder / "cloud.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ConfigError, match=why):
        config.load(path)


def test_missing_trust_says_what_makes_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.fsck(config=folder / "cloud.toml") == 2
    assert "trust init" in capsys.readouterr().err


def answering(token_file: Path, answer: httpx.Response) -> Client:
    return Client("http://x", token_file, httpx.MockTransport(lambda request: answer))


def test_client_tells_the_reason(folder: Path) -> None:
    token = folder / "api.token"
    with pytest.raises(ServiceError, match="404: no such thing"):
        answering(token, httpx.Response(404, json={"detail": "no such thing"})).json("/x")
    with pytest.raises(ServiceError, match=r"502: <b>\? \?") as error:
        answering(token, httpx.Response(502, text="<b>? ?" + "x" * 9000)).content("/x")
    assert len(str(error.value)) < 400


def test_status_escapes_what_comes_from_outside() -> None:
    ledger: dict[str, Any] = {"origin": "l.example/x", "size": 1, "pending": 0, "published_size": 1}
    ledger |= {"published_latest_ms": 1000, "unknown_nodes": ["00" * 8], "gateways": []}
    ledger["nodes"] = [
        {"kid": "ab" * 8, "model": "[red]M[/red]", "serial": "[/]", "last_seq": 3, "revoked": None}
        | {"readings": {"valid": 2, "fork": 1}}
    ]
    console = Console(width=120, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    show.show(console, ledger, [], 5000)
    text = console.export_text()
    assert "[red]M[/red]" in text
    assert "1 fork" in text
    assert "witnessed 4 s ago" in text
    console.file.close()




def test_status_of_a_ledger_without_a_bank(folder: Path) -> None:
    client = answering(folder / "api.token", httpx.Response(404, json={"detail": "Not Found"}))
    assert commands._all_loans(client) == []
    with pytest.raises(ServiceError):
        commands._all_loans(answering(folder / "api.token", httpx.Response(401)))


def test_loans_of_every_page(folder: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        after = int(request.url.params["after"])
        return httpx.Response(200, json={"items": [{"n": after}], "next": after + 1 if after < 3 else None})

    client = Client("http://x", folder / "api.token", httpx.MockTransport(answer))
    assert [loan["n"] for loan in commands._all_loans(client)] == [0, 1, 2, 3]
