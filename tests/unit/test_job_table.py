"""The table of a job: any program's CSV or XLSX, every row checked before the first write, all complaints at once."""

import csv
import datetime
import io
from collections.abc import Sequence
from pathlib import Path

import openpyxl  # type: ignore[import-untyped]
import pytest

from tallystick_chips import tag_link
from tallystick_chips.errors import OrderError
from tallystick_chips.tag_order import Chip, TagOrder
from tallystick_provisioning import item
from tallystick_provisioning.errors import FileError, ItemError
from tallystick_provisioning.item import Item
from tallystick_tags import tag_job_commands, tag_rows, tag_table
from tallystick_tags.errors import TableError
from tallystick_tags.tag_rows import Checked, Planned
from tallystick_tags.tag_table import Cell, Row, Table

GTIN = "09506000134352"


def file(folder: Path, data: bytes | str, encoding: str = "utf-8") -> Path:
    path = folder / "rows.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode(encoding))
    return path


def workbook(folder: Path, rows: Sequence[Sequence[object]], formats: dict[str, str] | None = None) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    for cell, form in (formats or {}).items():
        book.active[cell].number_format = form
    book.save(folder / "rows.xlsx")
    return folder / "rows.xlsx"


def fits(planned: Planned, chip: Chip = "ntag213", host: str = "item.example") -> str | None:
    try:
        tag_link.build(TagOrder(planned.chip or chip, host, planned.item))
    except OrderError as error:
        return str(error)
    return None


def checked(path: Path) -> Checked:
    return tag_rows.check(tag_table.read(path), fits)


def complaints(path: Path) -> list[str]:
    with pytest.raises(TableError) as caught:
        checked(path)
    return str(caught.value).splitlines()[1:]


# --- reading


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_csv_of_any_program(tmp_path: Path, delimiter: str, encoding: str, line_end: str) -> None:
    lines = [["商品条码", "序列号", "品名", "备注"], [GTIN, "AB-1", "冷冻虾仁，一级", "x"], [GTIN, "AB-2", "虾", ""]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerows(lines)
    found = checked(file(tmp_path, text.getvalue(), encoding))
    assert [(one.row, one.item.serial, one.name) for one in found.planned] == [
        (2, "AB-1", "冷冻虾仁，一级"),
        (3, "AB-2", "虾"),
    ]


def test_titles_and_empty_rows_above_and_between(tmp_path: Path) -> None:
    text = f"Lot 7\n\nSerial No.;Note;EAN-13\nA1;;9506000134352\n;;\nA2;;{GTIN}\n"
    assert [(one.row, one.item) for one in checked(file(tmp_path, text)).planned] == [
        (4, Item(GTIN, "A1")),
        (6, Item(GTIN, "A2")),
    ]


def test_excels_own_marks_in_a_csv(tmp_path: Path) -> None:
    text = f'sep=;\nGTIN;serial\n="{GTIN}";="007"\n\'{GTIN};\'008\n'
    assert [(one.row, one.item.serial) for one in checked(file(tmp_path, text)).planned] == [(3, "007"), (4, "008")]


def test_full_width_letters_become_plain(tmp_path: Path) -> None:
    text = "GTIN,serial\n０９５０６０００１３４３５２,ＡＢ－１\n"
    assert checked(file(tmp_path, text)).planned[0].item == Item(GTIN, "AB-1")


def test_a_cell_of_several_lines_counts_as_one_row(tmp_path: Path) -> None:
    text = f'note,GTIN,serial\n"a\nb",{GTIN},1\nc,{GTIN},\n'
    assert complaints(file(tmp_path, text)) == ["row 3, column serial: is empty"]


def test_xlsx_keeps_the_zeros_that_are_shown(tmp_path: Path) -> None:
    rows: list[list[object]] = [["GTIN", "serial", "name"], [9506000134352, 7, "虾"], [GTIN, "008", "虾"]]
    found = checked(workbook(tmp_path, rows, {"A2": "00000000000000", "B2": "000"}))
    assert [one.item for one in found.planned] == [Item(GTIN, "007"), Item(GTIN, "008")]
    assert found.remarks == ()


def test_excel_numbers_that_ate_leading_zeros(tmp_path: Path) -> None:
    """A GTIN's zeros are known to be gone and come back; a serial's cannot be known, so it is said."""
    rows: list[list[object]] = [["GTIN", "serial"], [36000291452, 7], [36000291452, 8]]  # UPC 036000291452
    found = checked(workbook(tmp_path, rows))
    assert {one.item.gtin for one in found.planned} == {"00036000291452"}
    assert any("row 2, column GTIN: leading zeros were lost; read as 00036000291452" in text for text in found.remarks)
    assert any("column serial: 2 cells are numbers" in text for text in found.remarks)


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (12345678901234567890, "a number (20 digits, of which it keeps 15)"),
        (1234567890123456, "a number (16 digits, of which it keeps 15)"),
        (10.1, "the number 10.1"),
        (True, "TRUE (bool)"),
        (datetime.time(1, 2), "01:02:00 (time)"),
        (datetime.datetime(2026, 7, 1), "2026-07-01 00:00:00 (datetime)"),
    ],
    ids=["20-digits", "16-digits", "fraction", "true", "time", "date"],
)
def test_what_a_spreadsheet_made_of_a_serial_is_not_written(tmp_path: Path, value: object, made: str) -> None:
    lines = complaints(workbook(tmp_path, [["GTIN", "serial"], [GTIN, value]]))
    why = f"a spreadsheet made {made} of it: format the column as text and enter it again"
    assert lines == [f"row 2, column serial: {why}"]


def test_a_guessed_encoding_is_said(tmp_path: Path) -> None:
    """Rows of two encodings in one file are GB18030 to a program; only a person sees that names became garbage."""
    found = checked(file(tmp_path, f"GTIN,serial,name\n{GTIN},1,".encode() + "冻虾".encode("gb18030") + b"\n"))
    assert found.remarks == ("read as GB18030, because it is not UTF-8: look at the names",)


@pytest.mark.parametrize(
    ("serial", "why"),
    [
        ("=1+1", "looks like a formula"),
        ("24-Nov", "looks like a date that a spreadsheet made"),
        ("2026/11/24", "looks like a date that a spreadsheet made"),
        ("24/11/26", "looks like a date that a spreadsheet made"),
        ("A-24-Nov", None),
        ("2026-0001", None),
        ("11-24", None),
    ],
)
def test_what_a_spreadsheet_may_have_made_is_pointed_out(tmp_path: Path, serial: str, why: str | None) -> None:
    remarks = checked(file(tmp_path, f"GTIN,serial\n{GTIN},{serial}\n")).remarks
    told = f"row 2, column serial: {serial} {why}; it is written as it is"
    assert remarks == (() if why is None else (told,))


def test_a_guessed_encoding_is_named_beside_the_complaints(tmp_path: Path) -> None:
    """Big5 read as GB18030 gives letters that nobody wrote: the person hears of --encoding."""
    path = tmp_path / "rows.csv"
    path.write_bytes(f"GTIN,serial,name\n{GTIN},A1,蝦仁冷凍\n".encode("big5"))
    with pytest.raises(TableError, match=r"read as GB18030, because it is not UTF-8.*or name it with --encoding"):
        tag_rows.check(tag_table.read(path), lambda one: None)
    assert tag_rows.check(tag_table.read(path, encoding="big5"), lambda one: None).planned[0].name == "蝦仁冷凍"
    for name in ("ascii", "klingon", "rot13"):
        with pytest.raises(TableError, match=f"not text in {name}, or this computer knows no encoding of that name"):
            tag_table.read(path, encoding=name)


def test_an_empty_name_of_keys_is_no_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, f"GTIN,serial\n{GTIN},1\n")
    made = tag_job_commands.new(tmp_path / "j", source=path, chip="ntag424", host="item.example", key_set="")
    assert (made, "key set: must be 1 to 32 characters" in capsys.readouterr().err) == (1, True)


def test_named_columns(tmp_path: Path) -> None:
    path = file(tmp_path, f"Artikel,Nr\n{GTIN},1\n")
    with pytest.raises(TableError, match="no row with the columns GTIN and serial"):
        tag_table.read(path)
    assert tag_table.read(path, {"gtin": "Artikel", "serial": "nr"}).rows[0].cells["serial"].text == "1"


def test_two_columns_of_one_meaning(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="two columns for gtin: 'GTIN' and 'EAN'"):
        tag_table.read(file(tmp_path, "GTIN,EAN,serial\n1,2,3\n"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GTIN,serial\n\xff\xff\xff,1\n", "not text in UTF-8 or GB18030"),
        (b"PK\3\4 no zip at all", "a damaged XLSX file"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "the old Excel format; save it as .xlsx or .csv"),
        (b"", "no row with the columns"),
        (b"a,b\n1,2\n", "no row with the columns"),
        (b'GTIN,serial\n"' + b"x" * 140_000 + b'",1\n', "field larger than field limit"),
    ],
    ids=["bytes", "zip", "xls", "empty", "others", "cell"],
)
def test_other_files(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(TableError, match=message):
        tag_table.read(file(tmp_path, data))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.csv: No such file"):
        tag_table.read(tmp_path / "none.csv")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, "GTIN,serial\n" + f"{GTIN},1\n" * 20)
    monkeypatch.setattr(tag_table, "MAX_ROWS", 5)
    with pytest.raises(TableError, match="more than 5 rows: split it into jobs"):
        tag_table.read(path)
    monkeypatch.setattr(tag_table, "MAX_TABLE_BYTES", 50)
    with pytest.raises(TableError, match="more than 50 bytes"):
        tag_table.read(path)
    monkeypatch.setattr(tag_table, "MAX_TABLE_BYTES", 10**6)
    monkeypatch.setattr(tag_table, "MAX_UNPACKED_BYTES", 50)
    with pytest.raises(TableError, match="unpacks to more than 50 bytes"):
        tag_table.read(workbook(tmp_path, [["GTIN", "serial"], [GTIN, "1"]]))


# --- checking

WRONG_CELLS = [
    ("GTIN", "09506000134353", "check digit should be 2"),
    ("GTIN", "9506000134351", "check digit should be 2"),
    ("GTIN", "", "is empty"),
    ("GTIN", "0950600013435X", "'0950600013435X' has characters that are no digits"),
    ("GTIN", "095060001343521", "15 digits; a GTIN has 8, 12, 13 or 14"),
    ("GTIN", "123456", "6 digits; a GTIN has 8, 12, 13 or 14"),
    ("GTIN", "9.506E+12", "a spreadsheet made 9.506E+12 of it: format the column as text and export again"),
    ("serial", "", "is empty"),
    ("serial", "A" * 21, "21 characters; GS1 allows 20"),
    ("serial", "AB 1", "' ' may not stand in a serial number"),
    ("serial", "虾1", "'虾' may not stand in a serial number"),
    ("serial", "A#1", "'#' may not stand in a serial number"),
    ("serial", "1,2E+11", "a spreadsheet made 1,2E+11 of it: format the column as text and export again"),
    ("chip", "ntag21x", "'ntag21x' must be one of ntag213, ntag215, ntag216, ntag424, ntag424tt"),
    ("name", "x" * 129, "129 characters; at most 128"),
    ("name", "a\nb", "holds a line break or another hidden character"),
    ("name", "a\u202eb", "holds a line break or another hidden character"),
]


@pytest.mark.parametrize(("column", "value", "why"), WRONG_CELLS)
def test_a_wrong_cell_is_named_with_row_column_and_reason(tmp_path: Path, column: str, value: str, why: str) -> None:
    good = {"GTIN": GTIN, "serial": "S1", "name": "虾", "chip": "NTAG 424 DNA"}
    above = [[GTIN, f"R{row}", "x", ""] for row in range(2, 57)]
    lines = [list(good), *above, list({**good, column: value}.values())]
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    assert complaints(file(tmp_path, text.getvalue())) == [f"row 57, column {column}: {why}"]


def test_all_complaints_come_at_once(tmp_path: Path) -> None:
    text = f"GTIN,serial\n09506000134353,\n{GTIN},A\n{GTIN},A\n123,B#\n"
    assert complaints(file(tmp_path, text)) == [
        "row 2, column GTIN: check digit should be 2",
        "row 2, column serial: is empty",
        "row 4, column serial: the same GTIN and serial as row 3",
        "row 5, column GTIN: 3 digits; a GTIN has 8, 12, 13 or 14",
        "row 5, column serial: '#' may not stand in a serial number",
    ]


def test_a_duplicate_serial_is_refused(tmp_path: Path) -> None:
    """Also when it is written in another way: 13 and 14 digits are one GTIN."""
    text = f"EAN,SN\n9506000134352,A\n{GTIN},A\n00614141000012,A\n"
    assert complaints(file(tmp_path, text)) == ["row 3, column SN: the same GTIN and serial as row 2"]


def test_a_link_that_is_too_long_for_the_chip(tmp_path: Path) -> None:
    path = file(tmp_path, f"GTIN,serial\n{GTIN},{'/' * 20}\n{GTIN},1\n")
    with pytest.raises(TableError, match=r"row 2, column serial: the link needs \d+ bytes and an NTAG213 holds 137"):
        tag_rows.check(tag_table.read(path), lambda one: fits(one, host="a-rather-long-host-name.item.example"))
    assert len(tag_rows.check(tag_table.read(path), lambda one: fits(one, "ntag215")).planned) == 2


def test_many_complaints_are_counted(tmp_path: Path) -> None:
    text = "GTIN,serial\n" + "1,\n" * 150
    lines = complaints(file(tmp_path, text))
    assert len(lines) == tag_rows.MAX_COMPLAINTS_SHOWN + 1
    assert lines[-1] == "and 100 more"


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no row below the names of the columns"):
        checked(file(tmp_path, "GTIN,serial\n,\n"))


def test_a_column_that_is_shorter_than_its_header() -> None:
    row = Row(2, {"gtin": Cell(GTIN), "serial": Cell("1"), "name": Cell("")})
    table = Table((row,), {"gtin": "G", "serial": "S", "name": "N"}, "CSV")
    assert tag_rows.check(table, lambda one: None).planned[0].name == ""


# --- items


@pytest.mark.parametrize(
    ("gtin", "digits"),
    [("96385074", "00000096385074"), ("036000291452", "00036000291452"), ("9506000134352", GTIN), (GTIN, GTIN)],
)
def test_gtins_of_every_length(gtin: str, digits: str) -> None:
    assert item.check_gtin(gtin) == digits


def test_a_path_is_that_of_a_digital_link() -> None:
    assert item.item(GTIN, "A/1%").url("item.example") == f"https://item.example/01/{GTIN}/21/A%2F1%25"


def test_every_character_of_gs1_and_no_other() -> None:
    allowed = """!"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"""
    for code in range(256):
        if chr(code) in allowed:
            assert item.check_serial(f"A{chr(code)}") == f"A{chr(code)}"
        else:
            with pytest.raises(ItemError):
                item.check_serial(chr(code))


OTHER_HOSTS = ["", "Item.example", "https://item.example", "a..b", "a/b", "-a", "a b", "a:0", "x" * 65]


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_hosts_are_refused(host: str) -> None:
    with pytest.raises(ItemError, match=r"host: .* is no host name like item.example"):
        item.check_host(host)


@pytest.mark.parametrize("host", ["item.example", "a", "127.0.0.1:8990", "xn--fiqs8s.example"])
def test_hosts(host: str) -> None:
    assert item.check_host(host) == host


@pytest.mark.parametrize("serial", [".", ".."])
def test_a_serial_that_a_browser_takes_out_of_the_link_is_refused(serial: str) -> None:
    with pytest.raises(ItemError, match="cannot stand in a link"):
        item.check_serial(serial)
