"""Every row of a job's table checked before the first tag is written: all complaints at once. No I/O."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tallystick_chips.tag_order import CHIPS, Chip
from tallystick_provisioning import item as items
from tallystick_provisioning.errors import ItemError
from tallystick_provisioning.item import Item
from tallystick_tags.errors import TableError
from tallystick_tags.tag_table import CHIP, GTIN, GUESSED, MAX_CELL_CHARACTERS, NAME, SERIAL, Cell, Row, Table

MAX_NAME_CHARACTERS = 128  # one line on a screen and on a label
MAX_COMPLAINTS_SHOWN = 200  # a wrong column gives one a row: the rest is counted
_ZEROS_LOST = (7, 9, 10, 11)  # digits of a GTIN that a spreadsheet took for a number
_SPREADSHEET_FLOAT = re.compile(r"\d+\.0")
_DATE = re.compile(r"\d{4}[/-]\d{1,2}[/-]\d{1,2}|\d{1,2}[-/][A-Za-z]{3}([-/]\d{2,4})?|\d{1,2}/\d{1,2}/\d{2,4}")
_GUESS = f"read as {GUESSED}, because it is not UTF-8: look at the names"
_SPREADSHEET_POWER = re.compile(r"\d([.,]\d+)?[eE]\+?\d+")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with one cell."""

    row: int
    column: str
    text: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column}: {self.text}"


@dataclass(frozen=True, slots=True)
class Planned:
    """A row that holds: what will be written."""

    row: int
    item: Item
    name: str
    chip: Chip | None = None  # None: the job's own


@dataclass(frozen=True, slots=True)
class Checked:
    """All rows, and what a person should look at although it holds."""

    planned: tuple[Planned, ...]
    remarks: tuple[str, ...]


TooLong = Callable[[Planned], str | None]  # why an item's link does not fit its chip


def check(table: Table, too_long: TooLong) -> Checked:
    """The planned items; TableError with every complaint when one row does not hold."""
    complaints: list[Complaint] = []
    planned: list[Planned] = []
    remarks: list[str] = []
    first_row: dict[Item, int] = {}
    for row in table.rows:
        made = _row(row, table.headers, complaints, remarks)
        if made is None:
            continue
        same = first_row.setdefault(made.item, row.number)
        if same != row.number:
            complaints.append(Complaint(row.number, table.headers[SERIAL], f"the same GTIN and serial as row {same}"))
        elif why := too_long(made):
            complaints.append(Complaint(row.number, table.headers[SERIAL], why))
        else:
            planned.append(made)
    if complaints:
        raise TableError(_text(complaints) + (f"\n{_GUESS}, or name it with --encoding" if _is_guessed(table) else ""))
    if not planned:
        raise TableError("no row below the names of the columns")
    remarks += _numbers(table)
    if _is_guessed(table):
        remarks.append(_GUESS)
    return Checked(tuple(planned), tuple(remarks))


def _row(
    row: Row, headers: Mapping[str, str], complaints: list[Complaint], remarks: list[str]
) -> Planned | None:
    """The row's item, or None and a complaint for each cell that is wrong."""
    found: dict[str, str] = {}
    readers = {GTIN: _gtin, SERIAL: _serial, NAME: _name, CHIP: _chip}
    for column in headers:
        try:
            found[column] = readers[column](row.cells[column])
        except ItemError as error:
            complaints.append(Complaint(row.number, headers[column], error.detail))
    if len(found) < len(headers):
        return None
    digits = sum(character.isdigit() for character in row.cells[GTIN].text)
    if digits in _ZEROS_LOST:
        remarks.append(f"row {row.number}, column {headers[GTIN]}: leading zeros were lost; read as {found[GTIN]}")
    if why := _doubt(found[SERIAL]):
        remarks.append(f"row {row.number}, column {headers[SERIAL]}: {found[SERIAL]} {why}; it is written as it is")
    chip = next((name for name in CHIPS if name == found.get(CHIP)), None)
    return Planned(row.number, Item(found[GTIN], found[SERIAL]), found.get(NAME, ""), chip)


def _is_guessed(table: Table) -> bool:
    """Whether the encoding was guessed, and that matters: a name has letters beyond ASCII."""
    names = (row.cells[NAME].text for row in table.rows if NAME in row.cells)
    return table.read_as == GUESSED and not all(map(str.isascii, names))


def _doubt(serial: str) -> str | None:
    """Why a serial that holds may not be what somebody typed."""
    if serial.startswith("="):
        return "looks like a formula"
    return "looks like a date that a spreadsheet made" if _DATE.fullmatch(serial) else None


def _gtin(cell: Cell) -> str:
    text = _identifier("GTIN", cell).replace(" ", "").replace("-", "")
    if len(text) in _ZEROS_LOST and text.isascii() and text.isdigit():
        text = text.zfill(items.GTIN_DIGITS if len(text) > 7 else 8)
    return items.check_gtin(text)


def _serial(cell: Cell) -> str:
    return items.check_serial(_identifier("serial", cell))


def _name(cell: Cell) -> str:
    text = unicodedata.normalize("NFC", cell.text)
    if len(text) > MAX_NAME_CHARACTERS:
        raise ItemError("name", f"{len(text)} characters; at most {MAX_NAME_CHARACTERS}")
    if not text.isprintable():
        raise ItemError("name", "holds a line break or another hidden character")
    return text


def _chip(cell: Cell) -> str:
    """Our name of a chip, from ours or the maker's: NTAG 424 DNA is ntag424."""
    plain = "".join(character for character in cell.text.casefold() if character.isalnum())
    names = {"".join(filter(str.isalnum, text.casefold())): chip for chip, text in CHIPS.items()}
    found = names.get(plain, plain)
    if found and found not in CHIPS:
        raise ItemError("chip", f"{cell.text[:40]!r} must be one of {', '.join(CHIPS)}")
    return found


def _identifier(field: str, cell: Cell) -> str:
    """A cell's text without what spreadsheets add; full-width letters become plain ones."""
    if cell.made_of_it is not None:
        made = cell.made_of_it
        raise ItemError(field, f"a spreadsheet made {made} of it: format the column as text and enter it again")
    text = unicodedata.normalize("NFKC", cell.text[:MAX_CELL_CHARACTERS]).strip().removeprefix("'")
    if _SPREADSHEET_POWER.fullmatch(text):
        raise ItemError(field, f"a spreadsheet made {text} of it: format the column as text and export again")
    return text.removesuffix(".0") if _SPREADSHEET_FLOAT.fullmatch(text) else text


def _numbers(table: Table) -> list[str]:
    """A remark when serials are numbers in the spreadsheet: zeros in front would be gone, and nobody could tell."""
    count = sum(row.cells[SERIAL].is_number for row in table.rows)
    if not count:
        return []
    header = table.headers[SERIAL]
    return [f"column {header}: {count} cells are numbers; if serials begin with 0, format the column as text"]


def _text(complaints: list[Complaint]) -> str:
    lines = [str(complaint) for complaint in complaints[:MAX_COMPLAINTS_SHOWN]]
    if len(complaints) > MAX_COMPLAINTS_SHOWN:
        lines.append(f"and {len(complaints) - MAX_COMPLAINTS_SHOWN} more")
    rows = len({complaint.row for complaint in complaints})
    return "\n".join([f"{rows} rows are wrong; nothing was written", *lines])
