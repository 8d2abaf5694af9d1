"""cloud.toml, `cloud init`, and how the service says no."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from tallystick_proof import note
from tallystick_web import commands, config, service, show
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
    for origin in ("https://ledger.example", "two words", "x/gateway/y", ""):
        assert commands.init(tmp_path / "new", origin=origin) == 2
    assert not (tmp_path / "new").exists(), "nothing half done"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"port": 70_000}, "port must be an integer from 0 to 65535"),
        ({"publish_ms": 0}, "publish_ms must be"),
        ({"host": ""}, "host must be text"),
        ({"witness": ["nonsense"]}, "witnesses: 'nonsense' is no http or https address"),
        ({"webhook_url": "ftp://bank.example"}, "finance.webhook_url: 'ftp://bank.example' is no"),
    ],
)
def test_init_makes_nothing_of_wrong_options(
    tmp_path: Path, options: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.init(tmp_path / "new", origin="ledger.example/log", **options) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_init_writes_any_name_and_any_hook(tmp_path: Path) -> None:
    hook = "https://bank.example/hook/?token=a&b"
    assert commands.init(tmp_path / "new", origin='l"e.example/lög', webhook_url=hook) == 0
    found = config.load(tmp_path / "new" / "cloud.toml")
    assert found.origin == 'l"e.example/lög'
    assert found.finance is not None
    assert found.finance.webhook_url == hook


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("port = 8123", "prot = 8123", "unknown key 'prot'; known are origin, key"),
        ("port = 8123", "", "the key 'port' is missing"),
        ("port = 8123", "port = 70000", "port must be an integer"),
        ("port = 8123", "port = true", "port must be an integer"),
        ("sequence_ms = 100", "sequence_ms = 1", "sequence_ms must be"),
        ('origin = "ledger.example/log"', "origin = 5", "origin must be text"),
        ('["http://127.0.0.1:8089"]', '["127.0.0.1:8089"]', "witnesses: '127.0.0.1:8089' is no http"),
        ("[finance]", "[finanze]", "unknown key 'finanze'"),
        ('decision_key = "decision.key"', "", "the key 'finance.decision_key' is missing"),
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
        answering(token, httpx.Response(502, text="<b>? ?" + "x" * 9000)).bundle("/x")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("answer", "code", "complaint"),
    [
        (httpx.Response(200, text="<html>"), 2, "the answer is not that of a ledger"),
        (httpx.Response(200, json=[1]), 2, "the answer is not that of a ledger"),
        (httpx.Response(200, json={"origin": "x"}), 2, "the answer is not that of a ledger"),
        (httpx.Response(401, json={"detail": "this needs the API token"}), 1, "says 401: this needs the API token"),
        (httpx.Response(503, text="later"), 2, "says 503: later"),
    ],
)
def test_status_of_what_is_no_ledger(
    folder: Path,
    answer: httpx.Response,
    code: int,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "Client", lambda url, token_file: answering(token_file, answer))
    capsys.readouterr()
    assert commands.status(token_file=folder / "api.token", url="http://x") == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), complaint in err) == ("", 1, True), err


def test_evidence_is_a_bundle_or_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token, out = folder / "api.token", folder / "reading.zip"
    name = "ab" * 32
    files: dict[str, Any] = {"token_file": token, "out": out}
    codes = [
        commands.evidence_reading("XY", 1, **files),
        commands.evidence_reading("../status", 1, **files),
        commands.evidence_reading(name, 0, **files),
        commands.evidence_window(name, 5, 3, **files),
        commands.evidence_decision(name[1:], **files),
        commands.evidence_reading(name, 1, **files, url="x"),
    ]
    assert codes == [2] * 6
    told = capsys.readouterr().err.splitlines()
    complaints = ("'XY' is no name", "'../status' is no", "0 is no seq", "not from 5 to 3", "is no name", "'x' is no")
    assert all(complaint in line for complaint, line in zip(complaints, told, strict=True)), told
    html = httpx.Response(200, text="<html>")
    monkeypatch.setattr(commands, "Client", lambda url, token_file: answering(token_file, html))
    assert commands.evidence_reading(name, 1, token_file=token, out=out) == 2
    assert "the answer is no bundle" in capsys.readouterr().err
    assert not out.exists()
    good = httpx.Response(200, content=b"PK", headers={"content-type": "application/zip"})
    monkeypatch.setattr(commands, "Client", lambda url, token_file: answering(token_file, good))
    assert commands.evidence_reading(name, 1, token_file=token, out=out) == 0
    assert out.read_bytes() == b"PK"


def test_a_database_that_is_not_there_is_not_made(
    folder: Path, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = folder / "cloud.toml"
    text = toml.read_text("utf-8").replace("ledger.example/log", world.origin).replace("../site/", "")
    toml.write_text(text, "utf-8")
    (folder / "trust.toml").write_text(world.trust.format(), "utf-8")
    before = sorted(folder.iterdir())
    assert commands.fsck(config=toml) == 2
    assert commands.export_readings(config=toml, out=folder / "out") == 2
    assert "ledger.db does not exist; has this ledger run?" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("token", ["", "\n", "short\n", "two words " * 10])
def test_a_token_that_is_none_opens_nothing(folder: Path, token: str) -> None:
    settings = config.load(folder / "cloud.toml")
    settings.api_token.write_text(token)
    with pytest.raises(ConfigError, match=r"api_token: .*no token"):
        service._token(settings)


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
