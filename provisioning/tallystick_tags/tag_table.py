"""A table of items from any program: CSV in any delimiter and encoding, or XLSX. Reading only; tag_rows checks."""

import codecs
import csv
import io
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tallystick_provisioning.errors import FileError
from tallystick_tags.errors import TableError

Line = TypeVar("Line")
GTIN, SERIAL, NAME, CHIP = "gtin", "serial", "name", "chip"
MAX_TABLE_BYTES = 32 * 1024 * 1024  # 100,000 rows are a few MiB
MAX_UNPACKED_BYTES = 256 * 1024 * 1024  # of an XLSX, which is a ZIP: a bomb is stopped before it is unpacked
MAX_ROWS = 100_000  # a job is a day's work of hundreds; a whole year still fits
MAX_CELL_CHARACTERS = 1_000  # a longer cell is no GTIN, serial or name
GUESSED = "GB18030"  # what Chinese spreadsheets write when they do not write UTF-8
FIRST_ROUNDED = 10**15  # a spreadsheet keeps 15 digits of a number and makes up the rest
_HEADER_WITHIN_ROWS = 10  # titles and empty rows may stand above the names of the columns
_DELIMITERS = ",;\t|"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

# How people and programs call the columns; compared without case, spaces, dots, dashes and underscores.
_NAMES = {
    GTIN: "gtin gtin14 gtin13 ean ean13 upc barcode 商品条码 条码 条形码",
    SERIAL: "serial serialnumber serialno sn seriennummer 序列号 流水号",
    CHIP: "chip tag tagtype 芯片 标签型号",
    NAME: "name product productname description bezeichnung 名称 品名 商品名称 产品名称",
}
COLUMN_NAMES = {alias: column for column, aliases in _NAMES.items() for alias in aliases.split()}


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one cell, and whether a spreadsheet holds it as a number (then leading zeros are gone).

    `made_of_it` says what else than the typed text a spreadsheet keeps: no identifier can be read from such a cell.
    """

    text: str
    is_number: bool = False
    made_of_it: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row by its number as the spreadsheet shows it."""

    number: int
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """What was found, and how it was read: a person sees both before anything is written."""

    rows: tuple[Row, ...]
    headers: Mapping[str, str]  # column -> its name in the file
    read_as: str


def read(path: Path, columns: Mapping[str, str] | None = None, encoding: str | None = None) -> Table:
    """The table in a CSV or XLSX file. `columns` names a column that has another name; TableError, FileError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TABLE_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_TABLE_BYTES:
        raise TableError(f"{path}: more than {MAX_TABLE_BYTES} bytes: split it into jobs")
    names = {**COLUMN_NAMES, **{_plain(name): column for column, name in (columns or {}).items()}}
    if data[:4] == b"PK\3\4":
        sheets, read_as = _xlsx_sheets(path, data), "XLSX"
    elif data[:8] == bytes.fromhex("d0cf11e0a1b11ae1"):
        raise TableError(f"{path}: the old Excel format; save it as .xlsx or .csv")
    else:
        sheets, read_as = _csv_sheets(path, data, encoding)
    for sheet in sheets:
        found = _under_header(sheet, names)
        if found is not None:
            rows, headers = found
            return Table(tuple(rows), headers, read_as)
    raise TableError(f"{path}: no row with the columns GTIN and serial; name them with --column gtin=... serial=...")


def _csv_sheets(path: Path, data: bytes, encoding: str | None) -> tuple[list[list[list[Cell]]], str]:
    """The file cut at each delimiter: only one of them gives the columns."""
    text, used = decoded(path, data, encoding)
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:  # Excel's own line
        return [[[], *_csv_rows(path, rest, first.strip()[-1])]], used
    return [_csv_rows(path, text, delimiter) for delimiter in _DELIMITERS], used


def _csv_rows(path: Path, text: str, delimiter: str) -> list[list[Cell]]:
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return [[Cell(_csv_text(cell)) for cell in row] for row in _bounded(path, rows)]
    except csv.Error as error:
        raise TableError(f"{path}: {error}") from None


def _csv_text(cell: str) -> str:
    """Without Excel's ="00123", which keeps zeros in a CSV."""
    cell = cell.strip()
    return cell[2:-1] if cell.startswith('="') and cell.endswith('"') else cell


def decoded(path: Path, data: bytes, encoding: str | None) -> tuple[str, str]:
    """The text and the encoding that gave it: the one asked for, its mark, UTF-8, or GB18030 of Chinese Excel."""
    marked = next((name for mark, name in _BOMS if data.startswith(mark)), None)
    for name in [encoding] if encoding else [marked] if marked else ["utf-8", GUESSED]:
        try:
            return data.decode(name), name.upper()
        except (UnicodeDecodeError, LookupError):
            continue
    if encoding:
        raise TableError(f"{path}: not text in {encoding}, or this computer knows no encoding of that name")
    raise TableError(f"{path}: not text in UTF-8 or GB18030; save it as CSV UTF-8, or name it with --encoding")


def _xlsx_sheets(path: Path, data: bytes) -> Iterable[list[list[Cell]]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise TableError(f"{path}: a damaged XLSX file") from None
    if unpacked > MAX_UNPACKED_BYTES:
        raise TableError(f"{path}: unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    import openpyxl  # type: ignore[import-untyped]  # slow to import, and CSV needs none of it

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        for sheet in book.worksheets:
            yield [[_xlsx_cell(cell) for cell in row] for row in _bounded(path, sheet.iter_rows())]
    except TableError:
        raise
    except Exception as error:  # noqa: BLE001 - openpyxl lets through whatever zlib, zipfile, expat and itself raise
        raise TableError(f"{path}: a damaged XLSX file ({type(error).__name__})") from None


def _xlsx_cell(cell: object) -> Cell:
    """A cell as it is seen: a number keeps the zeros that its format 00000 shows."""
    value, form = getattr(cell, "value", None), str(getattr(cell, "number_format", "") or "")
    if value is None:
        return Cell("")
    if isinstance(value, str):
        return Cell(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(str(value), made_of_it=f"{str(value).upper()} ({type(value).__name__})")
    whole = int(value) if float(value).is_integer() else None
    if whole is None:
        return Cell(repr(value), is_number=True, made_of_it=f"the number {value!r}")
    if abs(whole) >= FIRST_ROUNDED:
        digits = len(str(abs(whole)))
        return Cell(str(whole), is_number=True, made_of_it=f"a number ({digits} digits, of which it keeps 15)")
    zeros = form if form and set(form) == {"0"} else ""
    return Cell(str(whole).zfill(len(zeros)), is_number=len(zeros) < 2)


def _bounded(path: Path, rows: Iterable[Line]) -> Iterable[Line]:
    for number, row in enumerate(rows):
        if number > MAX_ROWS + _HEADER_WITHIN_ROWS:
            raise TableError(f"{path}: more than {MAX_ROWS} rows: split it into jobs")
        yield row


def _under_header(sheet: Sequence[Sequence[Cell]], names: Mapping[str, str]) -> tuple[list[Row], dict[str, str]] | None:
    for at, header in enumerate(sheet[:_HEADER_WITHIN_ROWS]):
        places = _places(header, names)
        if GTIN in places and SERIAL in places:
            rows = [
                Row(number, {column: _at(line, place) for column, place in places.items()})
                for number, line in enumerate(sheet[at + 1 :], at + 2)
            ]
            headers = {column: header[place].text for column, place in places.items()}
            return [row for row in rows if any(cell.text for cell in row.cells.values())], headers
    return None


def _places(header: Sequence[Cell], names: Mapping[str, str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, cell in enumerate(header):
        column = names.get(_plain(cell.text))
        if column is not None and places.setdefault(column, place) != place:
            raise TableError(f"two columns for {column}: {header[places[column]].text!r} and {cell.text!r}")
    return places


def _at(line: Sequence[Cell], place: int) -> Cell:
    return line[place] if place < len(line) else Cell("")


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum())
