"""A tag job as an installer does it: real commands, nfcpy over its udp link, emulated tags, a real ledger."""

import subprocess
from pathlib import Path

import pytest
from http_ledger import HttpLedger
from patience import until
from tag_desk import Desk
from tag_support import GTIN, blank, command, tallystick, uid

from tallystick_emulators.tag_field import EmulatedTag, Field


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


def test_the_whole_day(desk: Desk, field: Field, link: str, installer_ledger: HttpLedger) -> None:
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

    send = ["tag", "sync", desk.path("job"), *desk.signs(), "--ledger", installer_ledger.url]
    assert "the ledger has 3 more statements, 0 wait, 0 were refused" in desk.run(*send)
    assert "the ledger has 0 more statements, 0 wait, 0 were refused" in desk.run(*send)
    before = desk.path("rows.csv").read_bytes()
    for words in (["report", "--csv"], ["labels", "--pdf"], ["labels", "--zpl"]):
        told = desk.refused("tag", words[0], desk.path("job"), words[1], desk.path("rows.csv"), code=2)
        assert "rows.csv: is there already" in told
    assert desk.path("rows.csv").read_bytes() == before, "an input that is named as an output stays"
    desk.run("tag", "report", desk.path("job"), "--csv", desk.path("r.csv"))
    assert desk.path("r.csv").read_bytes().decode("utf-8-sig").splitlines()[1].startswith(f"2,{GTIN},S0,冻虾 0,ntag424")
    assert desk.report()["queued"] == 0


def test_labels_come_out_while_tags_are_written(desk: Desk, field: Field, link: str) -> None:
    """And a printer that is gone stops no tag."""
    desk.new_job(2, "ntag215")
    master = desk.new_master()
    tags: list[EmulatedTag] = [blank("ntag215", 0), blank("ntag215", 1)]
    code, lines = desk.write(field, link, tags[:1], master, "--printer", desk.path("zpl"), patience_s=8)
    assert (code, desk.path("zpl").read_bytes().count(b"^XA")) == (1, 1), lines
    code, lines = desk.write(field, link, tags[1:], master, "--printer", desk.path("gone/printer"))
    assert code == 0, lines
    assert "labels of rows 3 were not printed" in lines[-1]
    told = desk.refused("tag", "write", desk.path("job"), *desk.at_reader(link, master), "--printer", master, code=2)
    assert "holds something else than labels" in told


def test_a_dry_run_writes_nothing(desk: Desk, field: Field, link: str) -> None:
    desk.new_job(1, "ntag424")
    master = desk.new_master()
    tag = blank("ntag424", 0)
    before = tag.to_bytes()
    field.put(tag)
    at = [*desk.at_reader(link, master), "--printer", desk.path("zpl")]
    words = ["tag", "write", desk.path("job"), *at, "--dry-run"]
    assert desk.run(*words) == "would write  row 2  serial S0  tag 04000000000000\n"
    assert not desk.path("zpl").exists(), "no label comes out"
    assert desk.report()["counts"]["waiting"] == 1
    assert tag.to_bytes() == before
    assert not desk.path("job.journal").exists()
    field.swap(blank("ntag215", 1))
    assert "wrong-chip" in desk.refused(*words)


def test_the_exit_code_tells_whether_every_row_has_its_tag(desk: Desk, field: Field, link: str) -> None:
    """0 also when tags were refused on the way; 1 when a row is left; 2 when nothing could be done at all."""
    desk.new_job(2, "ntag424")
    master = desk.new_master()
    code, lines = desk.write(field, link, [blank("ntag215", 7), blank("ntag424", 0)], master)
    assert (code, "rejects: wrong-chip 1" in "\n".join(lines)) == (1, True), lines
    code, lines = desk.write(field, link, [blank("ntag215", 8), blank("ntag424", 1)], master)
    assert (code, "rejects: wrong-chip 2" in "\n".join(lines)) == (0, True), lines
    assert desk.report()["counts"] == {"waiting": 0, "writing": 0, "written": 2, "locked": 0}
    code, lines = desk.write(field, "udp:localhost:none", [], master)
    assert code == 2, lines
    assert lines[-1].startswith("could not run: ")
    desk.path("job.journal").rename(desk.path("left-behind"))
    told = desk.refused("tag", "lock", desk.path("job"), *desk.at_reader(link, master))
    assert "job.journal: is not there, and tags of this job were begun: bring it along" in told


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
    """Until another process holds it; not by trying to get it, which could come in that one's way."""

    def is_held() -> bool:
        ending = f":{path.stat().st_ino}" if path.exists() else None
        locks = Path("/proc/locks").read_text("ascii").splitlines()
        return ending is not None and any(line.split()[5].endswith(ending) for line in locks if "FLOCK" in line)

    until(is_held, "the other command did not start")


def test_a_reader_that_is_not_there(desk: Desk) -> None:
    desk.new_job(1, "ntag424")
    master = desk.new_master()
    done = command(
        "tag", "write", desk.path("job"), "--reader", "com:nowhere:pn532", "--keys", master, "--secret-file",
        desk.path("words"), "--unattended",
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
