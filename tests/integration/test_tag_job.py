"""A tag job as an installer does it: real commands, nfcpy over its udp link, emulated tags, a real ledger, SoftHSM2."""

import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl  # type: ignore[import-untyped]
import pytest
from http_ledger import HttpLedger
from tag_support import GTIN, MAKER_FILE, blank, command, feed, tallystick, uid

from tallystick_ledger.facts import START, facts
from tallystick_proof import keys as proof_keys
from tallystick_proof import statement
from tallystick_provisioning import job_bundle, key_pkcs11, secret_file, tag_statement
from tallystick_provisioning.errors import KeysError, LedgerRefused
from tallystick_provisioning.key_pkcs11 import Pkcs11Master
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_tools.tag_field import EmulatedTag, Field
from tallystick_tools.tag_udp import UdpTagServer

WORDS = "correct horse battery"
PIN = "4711"
MODULE = "/usr/lib/softhsm/libsofthsm2.so"


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    made = make_world("tags")
    made.enrol("installer")
    return made


@pytest.fixture
def ledger(tmp_path: Path, world: Any) -> Iterator[HttpLedger]:
    made = HttpLedger(tmp_path / "ledger", world)
    made.enrol("installer")
    made.settle()
    yield made
    made.close()


class Desk:
    """The installer's folder, and the commands in it."""

    def __init__(self, folder: Path, world: Any) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "trust.toml").write_text(world.trust.format())
        (folder / "maker").write_text(MAKER_FILE)
        secret_file.write_new(folder / "words", f"{WORDS}\n")
        secret_file.write_new(folder / "pin", f"{PIN}\n")
        for name, who in (("installer", "installer"), ("authority", "authority-installer")):
            secret_file.write_new(folder / f"{name}.key", proof_keys.format_secret(world.signers[who]))

    def path(self, name: str) -> Path:
        return self.folder / name

    def run(self, *words: object, stdin: str | None = None) -> str:
        done = command(*words, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *words: object, stdin: str | None = None) -> str:
        done = command(*words, stdin=stdin)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def new_job(self, count: int, chip: str, *more: object, mixed: bool = False) -> None:
        """Rows 2 and following: S0, S1, ...; `mixed` names a chip in each row, 424 and NTAG215 in turns."""
        chips = ["NTAG 424 DNA", "ntag215"]
        rows = [f"{GTIN},S{n},冻虾 {n},{chips[n % 2] if mixed else ''}\n" for n in range(count)]
        self.path("rows.csv").write_text("GTIN,序列号,品名,chip\n" + "".join(rows), "utf-8")
        words = ("--from", self.path("rows.csv"), "--chip", chip, "--host", "item.example", *more)
        self.run("tag", "job", "new", self.path("job"), *words)

    def new_master(self) -> Path:
        self.run("tag", "keys", "new", self.path("master"), "--secret-file", self.path("words"))
        return self.path("master")

    def write(
        self, field: Field, path: str, tags: list[EmulatedTag], keys: object, *more: object, secret: str = "words"
    ) -> tuple[int, list[str]]:
        """`tag write --unattended` while a hand puts one tag down after the other: exit code and lines."""
        words = tallystick(
            "tag", "write", self.path("job"), "--reader", path, "--keys", keys, "--secret-file", self.path(secret),
            "--maker", self.path("maker"), "--unattended", "--patience", "3", *more,
        )  # fmt: skip
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            lines = feed(process, field, tags)
        return process.returncode, lines

    def at_reader(self, path: str, keys: object) -> list[object]:
        return [
            "--reader", path, "--keys", keys, "--secret-file", self.path("words"), "--maker", self.path("maker"),
            "--patience", "3",
        ]  # fmt: skip

    def report(self) -> Any:
        done = command("tag", "report", self.path("job"), "--json")
        return json.loads(done.stdout)

    def signs(self) -> list[object]:
        return ["--installer", self.path("installer.key"), "--trust", self.path("trust.toml")]


@pytest.fixture
def desk(tmp_path: Path, world: Any) -> Desk:
    return Desk(tmp_path / "desk", world)


@pytest.fixture
def field() -> Field:
    return Field()


@pytest.fixture
def link(field: Field) -> Iterator[str]:
    with UdpTagServer(field) as server:
        yield server.path


def a_job_of_both_kinds(desk: Desk, field: Field, link: str, each: int) -> list[str]:
    """One unattended run over a job that holds as many 424 as NTAG215; every tag is then read back by its own."""
    desk.new_job(2 * each, "ntag424", mixed=True)
    master = desk.new_master()
    tags = [blank("ntag424" if n % 2 == 0 else "ntag215", n) for n in range(2 * each)]
    code, lines = desk.write(field, link, tags, master)
    assert code == 0, lines[-5:]
    told = desk.report()
    assert told["counts"] == {"waiting": 0, "writing": 0, "written": 2 * each, "locked": 0}
    assert told["rejects"] == {}
    assert {item["serial"]: item["uid"] for item in told["items"]} == {
        f"S{n}": uid(n).hex().upper() for n in range(2 * each)
    }
    assert {item["chip"] for item in told["items"]} == {"ntag424", "ntag215"}
    return lines


def test_twenty_and_twenty_tags_in_one_unattended_run(desk: Desk, field: Field, link: str) -> None:
    lines = a_job_of_both_kinds(desk, field, link, 20)
    done = [line for line in lines if line.startswith("ok ")]
    assert [line.split()[1] for line in done] == [f"{n}/40" for n in range(1, 41)]
    assert "left 0" in done[-1]


@pytest.mark.full
@pytest.mark.alone
def test_three_hundred_and_three_hundred_tags_in_one_unattended_run(desk: Desk, field: Field, link: str) -> None:
    a_job_of_both_kinds(desk, field, link, 300)


def test_the_whole_day(desk: Desk, field: Field, link: str, ledger: HttpLedger) -> None:
    """Check, write, labels, label against tag, lock, send: every command of docs/installer.md on real parts."""
    desk.new_job(3, "ntag424")
    master = desk.new_master()
    tags = [blank("ntag424", n) for n in range(3)]
    code, lines = desk.write(field, link, tags, master, *desk.signs())
    assert code == 0, lines
    assert "3 statements wait for the ledger" in lines[-2] + lines[-1]
    printed = desk.run("tag", "labels", desk.path("job"), "--pdf", desk.path("l.pdf"), "--zpl", desk.path("l.zpl"))
    assert printed.count("3 labels") == 2

    at = desk.at_reader(link, master)
    field.swap(tags[1])
    assert "S1" in desk.run("tag", "verify", desk.path("job"), *at)
    scanned = f"]d201{GTIN}21S0\n"
    assert "the label says serial S0 (row 2), this is the tag of row 3" in desk.refused(
        "tag", "check", desk.path("job"), *at, stdin=scanned
    )
    field.swap(tags[0])
    assert "0 do not match, 2 not checked yet" in desk.refused("tag", "check", desk.path("job"), *at, stdin=scanned)

    field.swap(tags[2])
    locked = desk.refused("tag", "lock", desk.path("job"), *at)
    assert "1 locked, 2 left" in locked
    assert "refused (not-written)" in desk.refused("tag", "reset", desk.path("job"), *at)

    send = ["tag", "sync", desk.path("job"), *desk.signs(), "--ledger", ledger.url]
    assert "the ledger has 3 more statements, 0 wait, 0 were refused" in desk.run(*send)
    assert "the ledger has 0 more statements, 0 wait, 0 were refused" in desk.run(*send)
    desk.run("tag", "report", desk.path("job"), "--csv", desk.path("r.csv"))
    assert desk.path("r.csv").read_bytes().decode("utf-8-sig").splitlines()[1].startswith(f"2,{GTIN},S0,冻虾 0,ntag424")
    assert desk.report()["queued"] == 0


def test_statements_reach_the_ledger_once(desk: Desk, field: Field, link: str, ledger: HttpLedger, world: Any) -> None:
    """Offline first, then sent, then sent again by a laptop that forgot that it had sent them."""
    desk.new_job(2, "ntag215")
    master = desk.new_master()
    away = "http://127.0.0.1:9"
    code, lines = desk.write(
        field, link, [blank("ntag215", 0), blank("ntag215", 1)], master, *desk.signs(), "--ledger", away
    )
    assert code == 0, lines
    assert "2 wait" in "\n".join(lines)
    waiting = [path.read_bytes() for path in desk.path("job.outbox").glob("*.cose")]
    send = ["tag", "sync", desk.path("job"), *desk.signs(), "--ledger", ledger.url]
    assert "2 more statements" in desk.run(*send)
    ledger.settle()
    for data in waiting:
        (desk.path("job.outbox") / f"{statement.parse(data).identity.hex()}.cose").write_bytes(data)
    desk.run(*send)
    ledger.settle()
    found = [statement.parse(one.data) for one in facts(ledger.ledger, START, 1000) if one.kind == "tag"]
    assert len(found) == 2
    told = {item["serial"]: item for item in desk.report()["items"]}
    for one in found:
        item = told[one.body["item"].rpartition("/")[2]]
        assert one.body["uid"] == tag_statement.commitment(bytes.fromhex(item["salt"]), bytes.fromhex(item["uid"]))
        assert one.kid == world.signers["installer"].kid


def test_a_delegation_never_gets_into_the_ledger(ledger: HttpLedger, world: Any) -> None:
    """A tag-job is signed by an authority, whose key is nobody's enrolled key."""
    body = {
        "aud": world.origin, "jti": bytes(16), "exp": None, "installer": None, "job": bytes(16), "key_set": "k",
        "key_version": 1, "count": 1, "sealed": bytes(32),
    }  # fmt: skip
    data = statement.build(world.signers["authority-installer"], proof_keys.TAG_JOB, body)
    with pytest.raises(LedgerRefused):
        LedgerClient(ledger.url).post(data)


def test_a_workbook_with_wrong_rows_changes_nothing(desk: Desk) -> None:
    book = openpyxl.Workbook()
    book.active.append(["GTIN", "serial", "name"])
    for row in range(2, 60):
        book.active.append([GTIN, f"S{row}", "虾"])
    book.active["A57"], book.active["B20"] = "09506000134358", "S19"
    book.save(desk.path("rows.xlsx"))
    words = ["--from", desk.path("rows.xlsx"), "--chip", "ntag424", "--host", "item.example"]
    text = desk.refused("tag", "job", "new", desk.path("job"), *words)
    assert "row 57, column GTIN: check digit should be 2" in text
    assert "row 20, column serial: the same GTIN and serial as row 19" in text
    assert not desk.path("job").exists()
    book.active["A57"], book.active["B20"] = GTIN, "S20"
    book.save(desk.path("rows.xlsx"))
    assert "would make" in desk.run("tag", "job", "new", desk.path("job"), *words, "--dry-run")
    assert not desk.path("job").exists()
    desk.run("tag", "job", "new", desk.path("job"), *words)


def test_labels_come_out_while_tags_are_written(desk: Desk, field: Field, link: str) -> None:
    """And a printer that is gone stops no tag."""
    desk.new_job(2, "ntag215")
    master = desk.new_master()
    tags: list[EmulatedTag] = [blank("ntag215", 0), blank("ntag215", 1)]
    code, lines = desk.write(field, link, tags[:1], master, "--printer", desk.path("zpl"))
    assert (code, desk.path("zpl").read_bytes().count(b"^XA")) == (1, 1), lines
    code, lines = desk.write(field, link, tags[1:], master, "--printer", desk.path("gone/printer"))
    assert code == 0, lines
    assert "labels of rows 3 were not printed" in lines[-1]


def test_a_dry_run_writes_nothing(desk: Desk, field: Field, link: str) -> None:
    desk.new_job(1, "ntag424")
    master = desk.new_master()
    tag = blank("ntag424", 0)
    before = tag.to_bytes()
    field.put(tag)
    words = ["tag", "write", desk.path("job"), *desk.at_reader(link, master), "--dry-run"]
    assert "row 2  serial S0  tag 04000000000000" in desk.run(*words)
    assert desk.report()["counts"]["waiting"] == 1
    assert tag.to_bytes() == before
    assert not desk.path("job.journal").exists()
    field.swap(blank("ntag215", 1))
    assert "wrong-chip" in desk.refused(*words)


def test_two_commands_on_one_job(desk: Desk, link: str) -> None:
    desk.new_job(1, "ntag424")
    master = desk.new_master()
    words = tallystick("tag", "job", "scan", desk.path("job"), "--reader", link, "--patience", "30")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        wait_for_lock(desk.path(".job.lock"))
        done = command("tag", "write", desk.path("job"), *desk.at_reader(link, master), "--unattended")
        process.terminate()
    assert done.returncode == 2
    assert "another command works on this job" in done.stderr


def wait_for_lock(path: Path) -> None:
    """Until another process holds it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            time.sleep(0.05)
        except BlockingIOError:
            return
    pytest.fail("the other command did not start")


def test_uids_are_collected_tag_by_tag(desk: Desk, field: Field, link: str) -> None:
    desk.new_job(2, "ntag424")
    words = tallystick("tag", "job", "scan", desk.path("job"), "--reader", link, "--patience", "3")
    tags = iter([blank("ntag424", 1), blank("ntag424", 2), None])
    field.put(blank("ntag424", 0))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            field.remove(None)
            tag = next(tags, None)
            if tag is not None:
                field.put(tag)
    assert process.returncode == 0
    assert lines[0] == "1  04000000000000\n"
    assert lines[-1].startswith("3 tags are known to")


def test_a_reader_that_is_not_there(desk: Desk) -> None:
    desk.new_job(1, "ntag424")
    master = desk.new_master()
    done = command(
        "tag", "write", desk.path("job"), "--reader", "com:nowhere:pn532", "--keys", master, "--secret-file",
        desk.path("words"), "--unattended",
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


# --- SoftHSM2


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A PKCS#11 token in a temporary folder. A process loads the library with one configuration, once."""
    assert shutil.which("softhsm2-util")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    (folder / "softhsm.conf").write_text(configuration)
    words = ["softhsm2-util", "--init-token", "--free", "--label", "tally", "--so-pin", "0000", "--pin", PIN]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm.conf"))
        subprocess.run(words, check=True, capture_output=True)
        yield folder


@pytest.fixture
def token(tokens: Path, request: pytest.FixtureRequest) -> str:
    """The URI of a key of this test's own, which is not made yet."""
    return f"pkcs11:token=tally;object={request.node.name}?module-path={MODULE}"


def test_softhsm_end_to_end(
    desk: Desk, field: Field, link: str, token: str, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key made on the token, job sealed from it, tags written with the sealed job alone, keys gone afterwards."""
    pin, words = desk.path("pin"), desk.path("words")
    assert "cannot be taken out" in desk.run("tag", "keys", "new", token, "--secret-file", pin)
    assert "never overwritten" in desk.refused("tag", "keys", "new", token, "--secret-file", pin)
    desk.new_job(2, "ntag424", "--no-lock")
    desk.path("uids.csv").write_text("UID\n" + "".join(f"{uid(n).hex()}\n" for n in range(3)))
    seal = [
        "tag", "job", "seal", desk.path("job"), "--uids", desk.path("uids.csv"), "--keys", token, "--secret-file", pin,
        "--authority", desk.path("authority.key"), "--trust", desk.path("trust.toml"), "--out", desk.path("job.tally"),
        "--out-secret-file", words, "--installer", world.signers["installer"].thumbprint.hex(),
    ]  # fmt: skip
    assert "would seal the keys of 3 tags" in desk.run(*seal, "--dry-run")
    assert not desk.path("job.tally").exists()
    desk.run(*seal)

    monkeypatch.delenv("SOFTHSM2_CONF")  # the laptop has no token
    tags = [blank("ntag424", 7), blank("ntag424", 0), blank("ntag424", 1)]
    code, lines = desk.write(field, link, tags, desk.path("job.tally"), *desk.signs())
    assert code == 0, lines
    assert sum("no-keys" in line for line in lines if line.startswith("WRONG")) == 1
    left = [data is not None for _, data in job_bundle.read(desk.path("job.tally")).entries]
    assert left == [True, False, False, True]


def test_the_master_key_never_leaves_the_token(desk: Desk, token: str, tmp_path: Path) -> None:
    key_pkcs11.create(token, PIN)
    master = Pkcs11Master(token, PIN)
    from pkcs11 import Attribute
    from pkcs11.exceptions import PKCS11Error

    assert master.cmac(b"x") != master.cmac(b"y")
    with pytest.raises(PKCS11Error):
        _ = master._key[Attribute.VALUE]
    assert master._key[Attribute.EXTRACTABLE] is False
    assert master._key[Attribute.SENSITIVE] is True
    master.close()


def test_a_key_that_could_be_taken_out_is_refused(token: str, request: pytest.FixtureRequest) -> None:
    import pkcs11

    library, attribute = pkcs11.lib(MODULE), pkcs11.Attribute
    readable = {attribute.EXTRACTABLE: True, attribute.SENSITIVE: False, attribute.SIGN: True}
    with library.get_token(token_label="tally").open(rw=True, user_pin=PIN) as session:
        session.generate_key(
            pkcs11.KeyType.AES, 128, label=request.node.name, store=True, template=readable
        )  # fmt: skip
    with pytest.raises(KeysError, match="can be taken out of its token"):
        Pkcs11Master(token, PIN)


def test_token_troubles_have_names(token: str) -> None:
    with pytest.raises(KeysError, match="no key 'test_token_troubles_have_names'; make it with `tag keys new`"):
        Pkcs11Master(token, PIN)
    with pytest.raises(KeysError, match="token 'tally': wrong PIN"):
        Pkcs11Master(token, "1234")
    with pytest.raises(KeysError, match="token 'other'"):
        Pkcs11Master(token.replace("token=tally", "token=other"), PIN)
    with pytest.raises(KeysError, match="token 'tally'"):
        Pkcs11Master(token.replace(MODULE, "/nowhere/x.so"), PIN)
