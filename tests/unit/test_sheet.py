"""The closing sheet: everything of the day on it, the same bytes for the same day, and a signature that tells."""

import io
import json
import subprocess
from functools import partial
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]
import pytest
from tag_support import Hand, blank, make_job, run, tallystick, uid

from tallystick_emulators.tag_field import Field
from tallystick_fleet.node_plan import PlannedNode
from tallystick_fleet.node_table import KnownNode, NodeTable
from tallystick_fleet.provision_node import DONE, ENROL, NodeReport
from tallystick_proof import keys, statement
from tallystick_proof.keys import Signer
from tallystick_provisioning import secret_file
from tallystick_provisioning.outbox import Outbox
from tallystick_tags import sheet, sheet_commands, sheet_pdf, sheet_statement, sheet_words
from tallystick_tags.errors import SheetError
from tallystick_tags.sheet import Sheet, Signature
from tallystick_tags.sheet_words import SheetWords
from tallystick_tags.tag_job import Job
from tallystick_tags.tag_signing import Signing

INSTALLER = Signer("installer", bytes(32))
ORIGIN = "ledger.example/log"
MADE_MS = 1_790_000_000_000
SIGNATURE = Signature(ORIGIN, INSTALLER.thumbprint, MADE_MS)
CERTIFICATE = bytes(range(32))


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """Three rows: two tags written, one tag refused twice, one row left."""
    path = make_job(tmp_path / "shrimp.job", 3, "ntag215")
    with Job(path) as job:
        first = blank("ntag215", 1)
        hand = Hand(Field(), [first, None, first, None, first, blank("ntag215", 2)])
        signing = Signing(INSTALLER, ORIGIN, Outbox(tmp_path / "outbox"), lambda size: bytes(size))
        run(job, hand, signing=signing).go()
        assert hand.codes == ["done", "duplicate", "duplicate", "done"]
        job.change(2, checked_ms=MADE_MS, written_ms=MADE_MS - 60_000)
    return path


@pytest.fixture
def node_file(tmp_path: Path) -> Path:
    """One node that works and one that does not."""
    with NodeTable(tmp_path / "nodes.db") as table:
        plan = PlannedNode("BOARD1", "Cold room 3", "Rotterdam / 3 / A12", CERTIFICATE, MADE_MS)
        table.expect(plan, "TS-1", bytes(16), MADE_MS)
        table.expect(PlannedNode("BOARD2", "冷库二号", "码头"), "TS-1", bytes(16), MADE_MS)
        table.came(
            NodeReport("BOARD1", "/dev/ttyACM0", DONE, public_key=INSTALLER.public_key, enrolment=bytes([7] * 32)),
            MADE_MS,
        )
        table.came(NodeReport("BOARD2", "/dev/ttyACM1", ENROL, "the node answered no"), MADE_MS)
    return tmp_path / "nodes.db"


@pytest.fixture
def desk(tmp_path: Path, job_file: Path, node_file: Path, monkeypatch: pytest.MonkeyPatch, world: object) -> Path:
    """The installer's folder."""
    monkeypatch.chdir(tmp_path)
    secret_file.write_new(tmp_path / "installer.key", keys.format_secret(INSTALLER))
    (tmp_path / "trust.toml").write_text(world.trust.format())  # type: ignore[attr-defined]
    return tmp_path


def nodes(path: Path) -> list[KnownNode]:
    with NodeTable(path) as table:
        return table.nodes()


def made(job_file: Path, node_file: Path, language: str = "en") -> Sheet:
    with Job(job_file) as job:
        words = SheetWords(language)  # type: ignore[arg-type]
        return sheet.build({"shrimp.job": job}, nodes(node_file), SIGNATURE, words)


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(io.BytesIO(pdf))
    return "\n".join(page.get_textpage().get_text_bounded() for page in document)


def command(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(tallystick("sheet", *words), capture_output=True, text=True, check=False)


WRITE = (
    "write", "day.pdf", "--job", "shrimp.job", "--nodes", "nodes.db", "--installer", "installer.key", "--trust",
    "trust.toml", "--at", "2026-11-24T17:00:00Z", "--lang", "en",
)  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_everything_of_the_day_is_on_the_sheet(job_file: Path, node_file: Path, language: str) -> None:
    one = made(job_file, node_file, language)
    pdf, pages = sheet_pdf.draw(one)
    text = "".join(text_of(pdf).split())
    with Job(job_file) as job:
        stated = [statement.parse(item.statement).identity.hex() for item in job.items() if item.statement]
    assert len(stated) == 2
    expected = [
        "shrimp.job", "S0", "S1", "S2", uid(1).hex().upper(), uid(2).hex().upper(), *stated,
        "duplicate", {"en": "this tag is row 2 already", "zh": "该标签已写过；换一枚标签"}[language],
        "2026-09-21 14:12",
        "Cold room 3", "Rotterdam / 3 / A12", "2026-09-21", "冷库二号", "码头", "the node answered no",
        CERTIFICATE.hex(), INSTALLER.thumbprint.hex(), "07" * 32, ORIGIN, f"1 / {pages}",
    ]  # fmt: skip
    words = SheetWords(language)  # type: ignore[arg-type]
    expected += [
        words[name] for name in ("title", "totals", "rejects", "nodes", "due", "not_shown", "checked", "works")
    ]
    for shown in expected:
        assert "".join(shown.split()) in text, shown


def test_both_languages_are_complete() -> None:
    for english, chinese in sheet_words._TABLE.values():
        assert english.isascii()
        assert chinese


def test_the_same_day_gives_the_same_bytes(desk: Path) -> None:
    """In two processes, at two times."""
    assert command(*WRITE).returncode == 0
    first = (desk / "day.pdf").read_bytes(), (desk / "day.pdf.cose").read_bytes()
    assert command(*WRITE).returncode == 0
    assert ((desk / "day.pdf").read_bytes(), (desk / "day.pdf.cose").read_bytes()) == first


def test_a_sheet_is_signed_and_verified_without_a_network(desk: Path) -> None:
    done = command(*WRITE, "--json")
    told = json.loads(done.stdout)
    assert told["jobs"] == {
        "shrimp.job": {
            "rows": 3, "waiting": 1, "writing": 0, "written": 2, "locked": 0, "refusals": 2, "sent": 0, "queued": 2
        }
    }  # fmt: skip
    assert (told["nodes"], told["written"]) == ({"works": 1, "failed": 1}, True)
    checked = command("verify", "day.pdf", "--installer", told["installer"])
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "made 2026-11-24 17:00 UTC" in checked.stdout
    assert json.loads(command("verify", "day.pdf", "--installer", told["installer"], "--json").stdout) == {
        "sheet": "day.pdf", "identity": told["identity"], "made_ms": told["made_ms"],
        "ledger": statement.parse((desk / "day.pdf.cose").read_bytes()).body["aud"], "sha256": told["sha256"],
    }  # fmt: skip


def test_a_dry_run_writes_no_sheet(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in desk.iterdir())
    done = command(*WRITE, "--dry-run")
    assert done.stdout.startswith("would write day.pdf: ")
    assert sorted(path.name for path in desk.iterdir()) == before


def test_a_sheet_replaces_no_other_file(desk: Path) -> None:
    """Neither the PDF nor the signature beside it; one that a crash left without its signature is signed."""
    (desk / "day.pdf.cose").write_bytes(b"foreign")
    done = command(*WRITE)
    assert (done.returncode, "day.pdf.cose: is there already" in done.stderr) == (2, True)
    assert not (desk / "day.pdf").exists()
    assert command(*WRITE, "--force").returncode == 0
    signed = (desk / "day.pdf.cose").read_bytes()
    (desk / "day.pdf.cose").unlink()
    assert command(*WRITE).returncode == 0, "the same sheet again"
    assert (desk / "day.pdf.cose").read_bytes() == signed


def test_one_flipped_byte_of_the_sheet_is_noticed() -> None:
    document = b"%PDF-1.7 a day"
    data = sheet_statement.build(INSTALLER, ORIGIN, document, MADE_MS)
    assert sheet_statement.check(data, document, INSTALLER.thumbprint).body["made_ms"] == MADE_MS
    for at in range(len(document)):
        altered = document[:at] + bytes([document[at] ^ 1]) + document[at + 1 :]
        with pytest.raises(SheetError, match="at least one byte differs"):
            sheet_statement.check(data, altered, INSTALLER.thumbprint)


def test_a_sheet_of_another_key_is_not_this_installers() -> None:
    """Whoever signs anew brings a key of his own: the thumbprint that the verifier was told is another."""
    other = Signer("installer", bytes([1] * 32))
    data = sheet_statement.build(other, ORIGIN, b"day", MADE_MS)
    with pytest.raises(SheetError, match="which is another key"):
        sheet_statement.check(data, b"day", INSTALLER.thumbprint)
    forged = bytearray(sheet_statement.build(INSTALLER, ORIGIN, b"day", MADE_MS))
    forged[-1] ^= 1
    with pytest.raises(SheetError, match="does not hold"):
        sheet_statement.check(bytes(forged), b"day", INSTALLER.thumbprint)
    # Another key's signature under a body that names this installer's key.
    body = statement.parse(sheet_statement.build(INSTALLER, ORIGIN, b"day", MADE_MS)).body
    with pytest.raises(SheetError, match="does not hold"):
        sheet_statement.check(statement.build(other, keys.SHEET, body), b"day", INSTALLER.thumbprint)


def test_a_statement_of_another_kind_is_no_signature_of_a_sheet() -> None:
    body = {"aud": ORIGIN, "jti": bytes(16), "exp": None, "place": "p", "lot": "l", "nodes": [bytes(32)], "since_ms": 1}
    with pytest.raises(SheetError, match="of kind association"):
        sheet_statement.check(statement.build(INSTALLER, keys.ASSOCIATION, body), b"day", INSTALLER.thumbprint)


def test_what_a_sheet_needs_is_named(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write = partial(sheet_commands.write, Path("day.pdf"), installer=Path("installer.key"), trust=Path("trust.toml"))
    assert write() == 2
    assert "give --job FILE, --nodes FILE or both" in capsys.readouterr().err
    assert write(job=[Path("none.job")]) == 2
    assert write(nodes=Path("none.db")) == 2
    assert sheet_commands.verify(Path("day.pdf"), installer="00" * 32) == 2
    (desk / "day.pdf").write_bytes(b"")
    (desk / "day.pdf.cose").write_bytes(b"")
    assert sheet_commands.verify(Path("day.pdf"), installer="00") == 2
    assert sheet_commands.verify(Path("day.pdf"), installer="00" * 32) == 1
    assert "Traceback" not in capsys.readouterr().err
