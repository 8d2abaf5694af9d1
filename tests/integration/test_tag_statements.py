"""Finished tags become statements in a real ledger, while the run goes on: each exactly once, whoever dies."""

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_process import CloudProcess
from http_ledger import HttpLedger
from patience import PATIENCE_S, until
from tag_desk import Desk
from tag_support import blank, tallystick, uid

from tallystick_emulators.tag_field import Field
from tallystick_ledger.facts import START, facts
from tallystick_proof import keys as proof_keys
from tallystick_proof import statement
from tallystick_proof.errors import KeyFormatError
from tallystick_provisioning.errors import LedgerRefused
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_tags import sheet_statement, tag_statement

LONG_S = 120  # patience of a run that waits for its next tag: longer than anything that is waited for meanwhile


@pytest.fixture
def cloud(tmp_path: Path, installer_world: Any) -> Iterator[CloudProcess]:
    """A ledger process that knows the installer; it does not run yet."""
    made = CloudProcess(tmp_path / "cloud", installer_world, [])
    made.start()
    made.enrol("installer")
    made.stop()
    yield made
    made.kill()


class Writing:
    """`tag write` with a ledger, in a process of its own, and the hand that gives it one tag after the other."""

    def __init__(self, desk: Desk, field: Field, link: str, ledger: str) -> None:
        self.field = field
        words = tallystick(
            "tag", "write", desk.path("job"), "--reader", link, "--keys", desk.path("master"), "--secret-file",
            desk.path("words"), "--maker", desk.path("maker"), "--unattended", "--patience", LONG_S, *desk.signs(),
            "--ledger", ledger,
        )  # fmt: skip
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []

    def put(self, number: int) -> None:
        """Put this tag down, until it is done."""
        self.field.swap(blank("ntag215", number))
        for line in self.process.stdout or ():
            self.lines.append(line)
            if line.startswith("ok "):
                return
        pytest.fail("".join(self.lines))

    def end(self) -> int:
        """Take the last tag away; the exit code."""
        self.field.remove(None)
        self.lines += (self.process.communicate(timeout=LONG_S)[0] or "").splitlines(keepends=True)
        return self.process.returncode

    def __enter__(self) -> "Writing":
        return self

    def __exit__(self, *_: object) -> None:
        """As a dead battery ends it, where it has not ended."""
        self.process.kill()
        self.process.communicate()
        self.field.remove(None)


def stated(cloud: CloudProcess) -> list[str]:
    """The serials of all `tag` entries of the log, each as often as it stands there."""
    with contextlib.closing(sqlite3.connect(cloud.folder / "ledger.db", timeout=PATIENCE_S)) as database:
        rows = database.execute("SELECT data FROM statement AS s JOIN entry ON entry.id = s.entry WHERE s.kind = 'tag'")
        bodies = [statement.parse(bytes(data)).body for (data,) in rows.fetchall()]
    return sorted(body["item"].rpartition("/")[2] for body in bodies)


def a_job(desk: Desk, count: int) -> None:
    desk.new_job(count, "ntag215")
    desk.new_master()


def test_a_statement_goes_out_while_the_run_goes_on(desk: Desk, field: Field, link: str, cloud: CloudProcess) -> None:
    """No network at first; then one, and nobody does anything: the run waits for its next tag."""
    a_job(desk, 2)
    with Writing(desk, field, link, cloud.url) as run:
        run.put(0)
        assert len(list(desk.path("job.outbox").glob("*.cose"))) == 1
        field.remove(None)
        cloud.start()
        until(lambda: stated(cloud) == ["S0"], cloud.text)
        until(lambda: desk.report()["queued"] == 0, "the job does not know that it was sent")
        assert run.process.poll() is None
        run.put(1)
        assert run.end() == 0, run.lines
    assert "the ledger has 2 more statements, 0 wait, 0 were refused\n" in run.lines
    assert stated(cloud) == ["S0", "S1"]


def test_a_ledger_that_is_killed_in_mid_run_loses_and_doubles_nothing(
    desk: Desk, field: Field, link: str, cloud: CloudProcess
) -> None:
    a_job(desk, 4)
    cloud.start()
    with Writing(desk, field, link, cloud.url) as run:
        run.put(0)
        until(lambda: stated(cloud) == ["S0"], cloud.text)
        run.put(1)
        cloud.kill()  # perhaps while it takes the second one
        run.put(2)
        cloud.start()
        run.put(3)
        assert run.end() == 0, run.lines
    assert stated(cloud) == ["S0", "S1", "S2", "S3"]
    assert desk.report()["queued"] == 0


def test_a_killed_run_and_a_sync_state_every_finished_tag_once(
    desk: Desk, field: Field, link: str, cloud: CloudProcess
) -> None:
    a_job(desk, 4)
    cloud.start()
    for numbers in ((0, 1), (2,), (3,)):
        with Writing(desk, field, link, cloud.url) as run:
            for number in numbers:
                run.put(number)
    desk.run("tag", "sync", desk.path("job"), *desk.signs(), "--ledger", cloud.url)
    assert stated(cloud) == ["S0", "S1", "S2", "S3"]
    assert {item["uid"] for item in desk.report()["items"]} == {uid(number).hex().upper() for number in range(4)}
    assert (desk.report()["queued"], list(desk.path("job.outbox").glob("*.cose"))) == (0, [])


def test_what_waits_is_sent_while_tags_are_locked(
    desk: Desk, field: Field, link: str, installer_ledger: HttpLedger
) -> None:
    a_job(desk, 1)
    tag = blank("ntag215", 0)
    code, lines = desk.write(field, link, [tag], desk.path("master"))
    assert code == 0, lines
    field.swap(tag)
    words = ["tag", "lock", desk.path("job"), *desk.at_reader(link, desk.path("master"))]
    assert "--ledger needs --installer" in desk.refused(*words, "--ledger", installer_ledger.url, code=2)
    told = desk.run(*words, *desk.signs(), "--ledger", installer_ledger.url)
    assert "the ledger has 1 more statements, 0 wait, 0 were refused" in told
    assert "1 locked, 0 left" in told
    assert desk.report()["queued"] == 0


def test_statements_reach_the_ledger_once(
    desk: Desk, field: Field, link: str, installer_ledger: HttpLedger, installer_world: Any
) -> None:
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
    send = ["tag", "sync", desk.path("job"), *desk.signs(), "--ledger", installer_ledger.url]
    assert "2 more statements" in desk.run(*send)
    installer_ledger.settle()
    for data in waiting:
        (desk.path("job.outbox") / f"{statement.parse(data).identity.hex()}.cose").write_bytes(data)
    desk.run(*send)
    installer_ledger.settle()
    found = [statement.parse(one.data) for one in facts(installer_ledger.ledger, START, 1000) if one.kind == "tag"]
    assert len(found) == 2
    told = {item["serial"]: item for item in desk.report()["items"]}
    for one in found:
        item = told[one.body["item"].rpartition("/")[2]]
        assert one.body["uid"] == tag_statement.commitment(bytes.fromhex(item["salt"]), bytes.fromhex(item["uid"]))
        assert one.kid == installer_world.signers["installer"].kid


def test_the_hash_of_a_closing_sheet_may_be_logged(installer_ledger: HttpLedger, installer_world: Any) -> None:
    """So that its time is the ledger's and not only the installer's word."""
    data = sheet_statement.build(installer_world.signers["installer"], installer_world.origin, b"%PDF", 1)
    assert LedgerClient(installer_ledger.url).post(data).identity == statement.parse(data).identity
    authority = installer_world.signers["authority-installer"]
    with pytest.raises(KeyFormatError, match="may not sign a sheet"):
        sheet_statement.build(authority, installer_world.origin, b"%PDF", 1)


def test_a_delegation_never_gets_into_the_ledger(installer_ledger: HttpLedger, installer_world: Any) -> None:
    """A tag-job is signed by an authority, whose key is nobody's enrolled key."""
    body = {
        "aud": installer_world.origin, "jti": bytes(16), "exp": None, "installer": None, "job": bytes(16),
        "key_set": "k", "key_version": 1, "count": 1, "sealed": bytes(32),
    }  # fmt: skip
    data = statement.build(installer_world.signers["authority-installer"], proof_keys.TAG_JOB, body)
    with pytest.raises(LedgerRefused):
        LedgerClient(installer_ledger.url).post(data)
