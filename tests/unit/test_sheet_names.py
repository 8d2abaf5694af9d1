"""What stands in a table of items comes onto the sheet as it is; and what is named by mistake is not overwritten."""

import io
import sqlite3
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]
import pytest
from tag_support import GTIN, head, make_job

from tallystick_provisioning import whole_file
from tallystick_provisioning.errors import FileError
from tallystick_provisioning.item import Item
from tallystick_tags import sheet, sheet_pdf, tag_job
from tallystick_tags.sheet import Signature
from tallystick_tags.sheet_words import SheetWords
from tallystick_tags.tag_job import Job
from tallystick_tags.tag_rows import Planned


def text_of(path: Path) -> str:
    with Job(path) as job:
        made = sheet.build({path.name: job}, None, Signature("ledger.example/log", bytes(32), 0), SheetWords("en"))
    document = pypdfium2.PdfDocument(io.BytesIO(sheet_pdf.draw(made)[0]))
    return "\n".join(page.get_textpage().get_text_range() for page in document)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("冻虾 {nb} {{nb}}", "冻虾 {nb} {{nb}}"),
        ("虾 مر", "虾 <U+0645><U+0631>"),
        ("虾 🦐", "虾 <U+1F990>"),
        ("<b>**x**</b> [red]y[/]", "<b>**x**</b> [red]y[/]"),
        (") Tj ET (\\", ") Tj ET (\\"),
    ],
    ids=["count", "no-glyph", "emoji", "markup", "pdf"],
)
def test_a_name_stands_on_the_sheet_as_it_is(tmp_path: Path, name: str, shown: str) -> None:
    """No letter vanishes where the font lacks it, and nothing in a name is a command to who draws it."""
    path = tmp_path / "j"
    tag_job.create(path, head(), [Planned(2, Item(GTIN, "S0"), name)])
    assert shown in text_of(path).replace("\r\n", " ")


def test_a_sheet_is_of_one_moment(tmp_path: Path) -> None:
    """Another program changes the job between two looks: the second look sees what the first one saw."""
    path = make_job(tmp_path / "j", 2)
    with Job(path) as job:
        other = sqlite3.connect(path, timeout=0)
        with job.unchanging():
            before = job.counts()
            with pytest.raises(sqlite3.OperationalError, match="locked"), other:
                other.execute("UPDATE item SET state = 'locked'")
            assert job.counts() == before
        with other:
            other.execute("UPDATE item SET state = 'locked'")
        other.close()
        assert job.counts()["locked"] == 2


def test_a_job_is_not_overwritten_by_what_is_made_of_it(tmp_path: Path) -> None:
    """Its salts and statements exist nowhere else: naming it as the sheet, the CSV or the labels costs nothing."""
    path = make_job(tmp_path / "j", 2)
    before = path.read_bytes()
    (tmp_path / "link").symlink_to(path)
    for name in ("j", "link"):
        with pytest.raises(FileError, match="never overwritten"):
            whole_file.write(tmp_path / name, [b"%PDF"])
    assert path.read_bytes() == before
