"""The plan of a day's nodes: which board gets which name, place and calibration. CSV in, every row checked at once.

    serial,name,place,certificate,due
    E66058388347A12B,Cold room 3 north,Rotterdam / 3 / A12,certificates/4711.pdf,2027-06-30

Columns `name` to `due` may be missing or empty. Name and place stay private: an enrolment holds a commitment only.
"""

import csv
import datetime
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick_fleet.boards import MAX_SERIAL_CHARACTERS
from tallystick_fleet.errors import PlanError
from tallystick_provisioning import text_file
from tallystick_provisioning.enrolments import NodeExtra
from tallystick_wire import cbor

DELIMITERS = ",;\t"
COLUMNS = ("serial", "name", "place", "certificate", "due")
MAX_PLAN_BYTES = 4 * 1024 * 1024  # ten thousand nodes
MAX_NAME_CHARACTERS = 128  # as every name of this project
SALT_BYTES = 32
_LIMITS = {"serial": MAX_SERIAL_CHARACTERS, "name": MAX_NAME_CHARACTERS, "place": MAX_NAME_CHARACTERS}
_COMMIT = b"tallystick/commit/v1\0"
_COMMIT_TYPE = "node-name-place"


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One row. `certificate` is the hash of the calibration certificate, `due_ms` the end of its last day (UTC)."""

    serial: str
    name: str = ""
    place: str = ""
    certificate: bytes | None = None
    due_ms: int | None = None

    def told(self, salt: bytes) -> NodeExtra:
        """What goes into the enrolment; keep the salt: with it name and place can be shown to somebody."""
        named = bool(self.name or self.place)
        return NodeExtra(self.certificate, self.due_ms, commitment(salt, self.name, self.place) if named else None)


def commitment(salt: bytes, name: str, place: str) -> bytes:
    """SHA-256 that binds name and place without showing them (FORMATS: salted commitments)."""
    return hashlib.sha256(_COMMIT + cbor.encode([salt, _COMMIT_TYPE, cbor.encode([name, place])])).digest()


def read(path: Path) -> dict[str, PlannedNode]:
    """The rows by serial number; PlanError holds every complaint, FileError says why the file cannot be read."""
    columns, rows = _lines(path)
    complaints = [f"column {name!r} is unknown; known are {', '.join(COLUMNS)}" for name in set(columns) - set(COLUMNS)]
    complaints += [f"column {name!r} is there twice" for name in COLUMNS if columns.count(name) > 1]
    planned: dict[str, PlannedNode] = {}
    for number, row in enumerate(rows, start=2):
        one = _row(number, row, path.parent, complaints)
        if one.serial in planned:
            complaints.append(f"row {number}, column serial: {one.serial} occurs twice")
        planned[one.serial] = one
    if complaints:
        raise PlanError("\n".join(f"{path}: {complaint}" for complaint in complaints))
    return planned


def _lines(path: Path) -> tuple[list[str], list[dict[str, str | None]]]:
    """The names of the columns and the rows, whatever separates the cells."""
    text = text_file.read(path, MAX_PLAN_BYTES).removeprefix("\ufeff")
    for delimiter in DELIMITERS:
        try:
            reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            if "serial" in columns:
                return columns, list(reader)
        except csv.Error as error:
            raise PlanError(f"{path}: {error}") from None
    raise PlanError(f"{path}: the first line must name the columns, `serial` among them: {', '.join(COLUMNS)}")


def _row(number: int, row: Mapping[str, str | None], folder: Path, complaints: list[str]) -> PlannedNode:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

    def checked(column: str, convert: Callable[[str], object]) -> object:
        try:
            return convert(cell(column)) if cell(column) else None
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            complaints.append(f"row {number}, column {column}: {reason}")
            return None

    if None in row:
        complaints.append(f"row {number}: more cells than columns; a name or place with a comma stands in quotes")
    for column, limit in _LIMITS.items():
        if len(cell(column)) > limit or not cell(column).isprintable():
            complaints.append(f"row {number}, column {column}: at most {limit} printable characters")
    if not cell("serial"):
        complaints.append(f"row {number}, column serial: is empty")
    certificate = checked("certificate", lambda text: _certificate(folder, text))
    due_ms = checked("due", _end_of_day_ms)
    return PlannedNode(
        cell("serial"),
        cell("name"),
        cell("place"),
        certificate if isinstance(certificate, bytes) else None,
        due_ms if isinstance(due_ms, int) else None,
    )


def _certificate(folder: Path, text: str) -> bytes:
    """The SHA-256 of a certificate: 64 hex digits, or a file beside the plan."""
    if len(text) == 64 and all(character in "0123456789abcdefABCDEF" for character in text):
        return bytes.fromhex(text)
    return hashlib.sha256((folder / text).read_bytes()).digest()


def _end_of_day_ms(text: str) -> int:
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date like 2027-06-30") from None
    end = datetime.datetime.combine(day, datetime.time.max, datetime.UTC)
    return int(end.timestamp() * 1000)
