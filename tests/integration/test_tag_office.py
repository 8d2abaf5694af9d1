"""What happens in the office, before the first tag: tables, UIDs, keys; real commands."""

import subprocess

import openpyxl  # type: ignore[import-untyped]
from tag_desk import Desk
from tag_support import GTIN, blank, command, tallystick

from tallystick_emulators.tag_field import Field


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


def scanned(desk: Desk, field: Field, link: str, *more: str) -> list[str]:
    """The lines of `tag job scan` while a hand puts down three tags."""
    words = tallystick("tag", "job", "scan", desk.path("job"), "--reader", link, "--patience", "3", *more)
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
    return lines


def test_uids_are_collected_tag_by_tag(desk: Desk, field: Field, link: str) -> None:
    desk.new_job(2, "ntag424")
    lines = scanned(desk, field, link)
    assert lines[0] == "1  04000000000000\n"
    assert lines[-1].startswith("3 tags are known to")
    assert scanned(desk, field, link, "--dry-run")[0] == "3  04000000000000, known already\n"


def test_a_dry_run_of_a_scan_remembers_no_tag(desk: Desk, field: Field, link: str) -> None:
    desk.new_job(2, "ntag424")
    before = desk.path("job").read_bytes()
    lines = scanned(desk, field, link, "--dry-run")
    assert [line[:3] for line in lines[:3]] == ["1  ", "2  ", "3  "]
    assert lines[-1].startswith("3 tags would be known to")
    assert desk.path("job").read_bytes() == before


def test_a_dry_run_makes_no_master_key(desk: Desk) -> None:
    words = ["tag", "keys", "new", desk.path("master"), "--secret-file", desk.path("words")]
    assert desk.run(*words, "--dry-run") == f"would make {desk.path('master')}\n"
    assert not desk.path("master").exists()
    desk.run(*words)
    assert "never overwritten" in desk.refused(*words, "--dry-run")
    desk.path("words").write_text("short\n")
    words[3] = desk.path("other")
    assert "at least 8 characters" in desk.refused(*words, "--dry-run")
    words[3] = desk.path("nowhere/master")
    assert command(*words, "--dry-run").returncode == 2
