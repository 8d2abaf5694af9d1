"""trust init, statements from TOML, and the ledger's door."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallystick_proof import keys, note, statement
from tallystick_proof.keys import Signer
from tallystick_provisioning import key_file, secret_file, site, statement_file, trust_commands, trust_setup
from tallystick_provisioning.errors import FileError, LedgerRefused, LedgerUnreachable, SetupError, StatementFileError
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.outbox import Outbox
from tallystick_wire import cbor

ORIGIN = "ledger.example/log"
FACILITY = f'borrower = "{"11" * 32}"\ndecision_key = "{"22" * 32}"\ncurrency = "CNY"\nlimit_minor = 100\n'
RULES = """
[rules]
warm_limit = "8.0"
warm_for_ms = 600000
silence_for_ms = 600000
advance_bps = 7000
haircut_warm_bps = 2000
haircut_silence_bps = 3000
cure_ms = 86400000
"""


@pytest.fixture
def vkeys(tmp_path: Path) -> list[Path]:
    """The files of a ledger's key and of three witnesses' keys."""
    paths = []
    for number, name in enumerate([ORIGIN, "w1.example", "w2.example", "w3.example"]):
        role, kind = (keys.WITNESS, note.TYPE_COSIGNATURE) if number else (keys.LEDGER, note.TYPE_ED25519)
        signer = Signer(role, bytes([number + 1]) * 32)
        paths.append(tmp_path / f"{number}.vkey")
        paths[-1].write_text(note.VerifierKey(name, kind, signer.public_key).vkey + "\n")
    return paths


def test_init_makes_a_whole_trust_folder(tmp_path: Path, vkeys: list[Path]) -> None:
    folder = tmp_path / "site"
    assert trust_commands.init(folder, ledger_vkey=vkeys[0], witness_vkey=vkeys[1:]) == 0
    trust = trust_setup.read_trust(folder / "trust.toml")
    assert (trust.origin, trust.pen) == (ORIGIN, 32473)
    assert {authority.kind for authority in trust.authorities} == set(keys.ENROLLED_KINDS)
    for kind in keys.ENROLLED_KINDS:
        signer = key_file.load(folder / "authorities" / f"{kind}.key", f"authority-{kind}")
        assert trust.authority_keys(kind)[0][1] == signer.public_key
    assert len(site.load(folder / "site.key")) == 32
    assert "group witnesses 2 witness-1 witness-2 witness-3\nquorum witnesses\n" in trust.policy.text


def test_init_never_overwrites(tmp_path: Path, vkeys: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "site"
    trust_commands.init(folder, ledger_vkey=vkeys[0], witness_vkey=vkeys[1:2])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert trust_commands.init(folder, ledger_vkey=vkeys[0], witness_vkey=vkeys[1:2]) == 1
    assert "exists already; nothing was written" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_init_dry_run(tmp_path: Path, vkeys: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert trust_commands.init(tmp_path / "site", ledger_vkey=vkeys[0], unwitnessed=True, dry_run=True) == 0
    assert "quorum none" in capsys.readouterr().out
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(("witnesses", "unwitnessed"), [(0, False), (1, True)])
def test_no_ledger_is_unwitnessed_by_accident(
    tmp_path: Path, vkeys: list[Path], witnesses: int, unwitnessed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    keys_of = vkeys[1 : 1 + witnesses]
    assert trust_commands.init(tmp_path, ledger_vkey=vkeys[0], witness_vkey=keys_of, unwitnessed=unwitnessed) == 2
    assert "--witness-vkey for each witness, or --unwitnessed" in capsys.readouterr().err
    assert not (tmp_path / "trust.toml").exists()


@pytest.mark.parametrize("quorum", [0, 4])
def test_init_quorum(tmp_path: Path, vkeys: list[Path], quorum: int) -> None:
    with pytest.raises(SetupError, match="quorum must be 1 to 3"):
        trust_setup.plan(tmp_path / "site", vkeys[0], vkeys[1:], quorum, 32473, 60)


def test_init_refuses_what_is_no_key(
    tmp_path: Path, vkeys: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_text("nonsense")
    for ledger, witnesses, code, complaint in (
        (tmp_path / "x", vkeys[1:], 1, "x: a verifier key is"),
        (vkeys[0], [tmp_path / "none"], 2, "none: No such file or directory"),
        (vkeys[0], [Path("/dev/zero")], 2, "/dev/zero: more than 4096 bytes"),
        (vkeys[0], [tmp_path], 2, "Is a directory"),
        (vkeys[1], vkeys[2:], 1, f"{vkeys[1]}: a key of signature type 4; a log's has type 1"),
        (vkeys[0], [vkeys[0]], 1, f"{vkeys[0]}: a key of signature type 1; a witness's has type 4"),
    ):
        assert trust_commands.init(tmp_path / "site", ledger_vkey=ledger, witness_vkey=witnesses) == code
        assert complaint in capsys.readouterr().err
        assert not (tmp_path / "site").exists()
    (tmp_path / "file").touch()
    assert trust_commands.init(tmp_path / "file", ledger_vkey=vkeys[0], witness_vkey=vkeys[1:]) == 1
    assert "is a file; a folder is needed" in capsys.readouterr().err


def signer(role: str) -> Signer:
    return Signer(role, bytes([3]) * 32)


def test_a_facility_from_toml() -> None:
    lender = signer(keys.ORGANISATION)
    body = statement_file.body(keys.FACILITY, FACILITY + RULES, lender, ORIGIN, bytes(16))
    assert (body["lender"], body["borrower"], body["aud"]) == (lender.thumbprint, b"\x11" * 32, ORIGIN)
    assert body["rules"]["warm_limit"] == cbor.Tag(4, [-1, 80])
    assert body["rules"]["cure_ms"] == 86_400_000
    statement.parse(statement.build(lender, keys.FACILITY, body))


@pytest.mark.parametrize(
    ("text", "exponent", "mantissa"), [("8.0", -1, 80), ("-18.25", -2, -1825), ("0.5", -1, 5), ("-0.5", -1, -5)]
)
def test_decimals(text: str, exponent: int, mantissa: int) -> None:
    assert statement_file._rule("x", text) == cbor.Tag(4, [exponent, mantissa])


@pytest.mark.parametrize("value", ["8", "8.", ".5", "1e3", "", "8.0 ", "0x8", True, 8.0, [1]])
def test_no_decimals(value: object) -> None:
    with pytest.raises(StatementFileError, match=r"rules\.x"):
        statement_file._rule("x", value)


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        ("enrolment", "", "must be one of association, facility, pledge, revocation"),
        ("pledge", "x = ", "not TOML"),
        ("pledge", 'aud = "x"', "aud: is filled in"),
        ("pledge", "colour = 1", "unknown field 'colour'"),
        ("pledge", 'facility = "XY"', "facility: must be lowercase hex"),
        ("pledge", f'facility = "{"AA" * 32}"', "facility: must be lowercase hex"),
        ("pledge", 'lot = "L7"', "is missing"),
        ("association", 'nodes = ["zz"]', "nodes: must be lowercase hex"),
        ("revocation", f'thumbprint = "{"11" * 32}"\nreason = "bored"', "reason must be one of retired, compromised"),
        ("facility", f'lender = "{"11" * 32}"', "lender: is not the key that signs"),
        ("facility", "rules = 5", "rules: must be a table"),
        ("facility", FACILITY + RULES.replace("cure_ms", "curing_ms"), r"rules: unknown \['curing_ms'\], missing"),
        ("facility", FACILITY + RULES.replace("haircut_silence_bps = ", "haircut_silence_bps = 1"), "from 0 to 10000"),
    ],
)
def test_what_is_wrong_is_named(kind: str, text: str, complaint: str) -> None:
    with pytest.raises(StatementFileError, match=complaint):
        statement_file.body(kind, text, signer(keys.ORGANISATION), ORIGIN, bytes(16))


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("door")


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> LedgerClient:
    return LedgerClient("http://ledger.example/", httpx.MockTransport(answer))


def taken(request: httpx.Request) -> httpx.Response:
    identity = statement.parse(request.content).identity.hex()
    return httpx.Response(201, json={"identity": identity, "index": None})


def test_post(world: Any) -> None:
    data = world.statements[world.enrolments["node-a"]][0]
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return taken(request)

    posted = answering(answer).post(data)
    assert (posted.identity, posted.index) == (world.enrolments["node-a"], None)
    assert (str(seen[0].url), seen[0].headers["content-type"]) == ("http://ledger.example/entries", "application/cose")
    assert seen[0].content == data


@pytest.mark.parametrize(
    ("response", "error", "complaint"),
    [
        (httpx.Response(403, json={"detail": "no\nauthority"}), LedgerRefused, "says 403: no authority"),
        (httpx.Response(409, json={"title": "x" * 1000}), LedgerRefused, "says 409: x{300}$"),
        (httpx.Response(403, text="<h1>Log in to the yard's network</h1>"), LedgerUnreachable, "says 403: <h1>Log in"),
        (httpx.Response(404, json={"detail": "no such page"}), LedgerUnreachable, "says 404: no such page"),
        (httpx.Response(429, json={"detail": "too often"}), LedgerUnreachable, "says 429: too often"),
        (httpx.Response(422, content=b"[" * 60_000), LedgerUnreachable, "says 422"),
        (httpx.Response(201, content=b"[" * 60_000), LedgerUnreachable, "not that of a ledger"),
        (httpx.Response(503), LedgerUnreachable, "says 503: no reason given"),
        (httpx.Response(302), LedgerUnreachable, "says 302"),
        (httpx.Response(201, text="hello"), LedgerUnreachable, "not that of a ledger"),
        (httpx.Response(201, json={"identity": "00", "index": 1}), LedgerUnreachable, "not that of a ledger"),
        (httpx.Response(201, json=[]), LedgerUnreachable, "not that of a ledger"),
    ],
)
def test_bad_answers(world: Any, response: httpx.Response, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        answering(lambda _: response).post(world.statements[world.enrolments["node-a"]][0])


def test_deliver(world: Any, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    for name in ("node-a", "node-b", "gateway"):
        outbox.keep(world.statements[world.enrolments[name]][0])

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    deliveries = answering(away).deliver(outbox)
    assert [bool(one.waits) for one in deliveries] == [True, True, True]
    assert len(outbox.waiting()) == 3
    refused = world.enrolments["node-a"].hex()

    def mixed(request: httpx.Request) -> httpx.Response:
        if statement.parse(request.content).identity.hex() == refused:
            return httpx.Response(409, json={"detail": "already enrolled"})
        return taken(request)

    deliveries = answering(mixed).deliver(outbox)
    assert {one.path.stem: bool(one.posted) for one in deliveries}[refused] is False
    assert sum(bool(one.posted) for one in deliveries) == 2
    assert outbox.waiting() == []
    assert [path.stem for path in tmp_path.glob("*.refused")] == [refused]


def site_of(tmp_path: Path, world: Any) -> tuple[Path, Path]:
    """(trust.toml, folder with the authorities' keys) of a world."""
    (tmp_path / "trust.toml").write_text(world.trust.format())
    for who in [name for name in world.signers if name.startswith("authority-")]:
        secret_file.write_new(tmp_path / f"{who}.key", keys.format_secret(world.signers[who]))
    return tmp_path / "trust.toml", tmp_path


def test_enrol_command(tmp_path: Path, world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    trust, folder = site_of(tmp_path, world)
    common: dict[str, Any] = {"trust": trust, "ledger": "http://127.0.0.1:1"}
    key = tmp_path / "bank.key"
    authority = folder / "authority-organisation.key"
    assert trust_commands.enrol("organisation", key, authority=authority, create=True, dry_run=True, **common) == 0
    assert not key.exists()
    assert trust_commands.enrol("organisation", key, authority=folder / "authority-node.key", **common) == 1
    for dry_run in (False, True):
        there = trust_commands.enrol("organisation", key, authority=authority, dry_run=dry_run, **common)
        assert there == 2, "there is no key yet"
    nowhere: dict[str, Any] = {"trust": trust, "ledger": "nonsense"}
    assert trust_commands.enrol("organisation", key, authority=authority, create=True, **nowhere) == 2
    assert "'nonsense' is no http or https address" in capsys.readouterr().err
    assert not key.exists(), "nothing is made before everything is checked"
    assert trust_commands.enrol("organisation", key, authority=authority, create=True, **common) == 2
    told = capsys.readouterr().err
    assert "could not run: http://127.0.0.1:1: no answer: Connection refused" in told
    assert "bank.key is made and not enrolled: run this again without --create" in told
    assert key_file.load(key, keys.ORGANISATION)
    assert trust_commands.enrol("organisation", key, authority=authority, create=True, dry_run=True, **common) == 1
    assert "exists already; leave --create out" in capsys.readouterr().err


def test_sign_command(tmp_path: Path, world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    trust, folder = site_of(tmp_path, world)
    body = tmp_path / "revocation.toml"
    body.write_text(f'thumbprint = "{world.signers["node-a"].thumbprint.hex()}"\nreason = "compromised"\n')
    out = tmp_path / "revocation.cose"
    key = folder / "authority-node.key"
    assert trust_commands.sign("revocation", body, key=key, trust=trust, out=out, dry_run=True) == 0
    assert not out.exists()
    capsys.readouterr()
    assert trust_commands.sign("revocation", body, key=key, trust=trust, out=out) == 0
    signed = statement.parse(out.read_bytes())
    assert capsys.readouterr().out.strip() == signed.identity.hex()
    statement.verify(signed, world.signers["authority-node"].public_key)
    assert trust_commands.sign("pledge", body, key=key, trust=trust) == 1
    assert "holds a key of role authority-node; needed for pledge: organisation" in capsys.readouterr().err


def test_read_trust(tmp_path: Path, world: Any) -> None:
    for content, kind in ((b"\xff", FileError), (b"version = 2", SetupError), (b"#" * 300_000, FileError)):
        (tmp_path / "trust.toml").write_bytes(content)
        with pytest.raises(kind, match=r"trust\.toml: "):
            trust_setup.read_trust(tmp_path / "trust.toml")
    with pytest.raises(FileError):
        trust_setup.read_trust(tmp_path / "none.toml")


def test_a_statement_that_is_over_is_not_signed(
    tmp_path: Path, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trust, folder = site_of(tmp_path, world)
    body, out = tmp_path / "revocation.toml", tmp_path / "revocation.cose"
    body.write_text(f'thumbprint = "{"11" * 32}"\nreason = "retired"\nexp = 1\n')
    assert trust_commands.sign("revocation", body, key=folder / "authority-node.key", trust=trust, out=out) == 1
    assert "revocation.toml: exp: is over already" in capsys.readouterr().err
    assert not out.exists()
