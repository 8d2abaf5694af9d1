"""What was about to be done to each tag, written down before it is done: one append-only file per UID.

A line is `<CRC-32, 8 hex digits> <JSON object>`. It is on the disk when `append` returns, and only then may the tag be
touched. A crash leaves at most one torn line at the end, of which no tag knows; it is dropped. Anything else that does
not fit is JournalError: no tag is written on a journal that cannot be believed. No key ever stands here, only versions.
"""

import fcntl
import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tallystick_chips.errors import JournalError
from tallystick_chips.tag_order import CHIPS, KEY_NUMBERS, PASSWORD_KEY, Chip, TagOrder
from tallystick_provisioning.item import Item
from tallystick_provisioning.secret_file import make_folder, sync_folder

Stage = Literal["new", "writing", "written", "locking", "locked", "resetting", "factory", "retiring", "retired"]
Record = dict[str, Any]

MAX_JOURNAL_BYTES = 256 * 1024  # a tag has about ten records a writing; more is no journal of one tag
_SUFFIX = ".journal"
_STAGES: dict[str, Stage] = {
    "begin": "writing",
    "written": "written",
    "lock": "locking",
    "locked": "locked",
    "reset": "resetting",
    "factory": "factory",
    "retire": "retiring",
    "retired": "retired",
}


@dataclass(slots=True)
class History:
    """What the journal says of one tag."""

    stage: Stage = "new"
    order: TagOrder | None = None  # of the last writing that began
    key_version: int | None = None  # of its keys
    epoch: int = 0  # how many writings began
    keys: dict[int, set[int]] = field(default_factory=dict)  # number -> versions that it may have now
    records: list[Record] = field(default_factory=list)


class Journal:
    """A folder of journals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, uid: bytes, event: str, **values: Any) -> None:
        """Write one record and make it durable; JournalError when that fails, and then nothing may be done."""
        text = json.dumps({"event": event, **values}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        line = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        path = self._path(uid)
        try:
            make_folder(self.folder, 0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # two programs on one journal take turns
                whole = self._whole(uid)
                if not whole:
                    sync_folder(self.folder)  # first its name: a journal that has a record is found after a power cut
                file.truncate(len(whole))
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}; nothing was done to the tag") from None

    def history(self, uid: bytes) -> History:
        """What is known of this tag; stage "new" when nothing is."""
        history = History()
        for record in self.records(uid):
            _fold(history, record)
        return history

    def records(self, uid: bytes) -> list[Record]:
        """All whole records of a tag, the oldest first."""
        return [json.loads(line[9:]) for line in self._whole(uid).splitlines()]

    def uids(self) -> list[bytes]:
        """Every tag that has a journal."""
        if not self.folder.is_dir():
            return []
        return sorted(bytes.fromhex(path.stem) for path in self.folder.glob(f"*{_SUFFIX}") if _is_hex(path.stem))

    def _path(self, uid: bytes) -> Path:
        return self.folder / f"{uid.hex().upper()}{_SUFFIX}"

    def _whole(self, uid: bytes) -> bytes:
        """The file without a torn last line."""
        path = self._path(uid)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_JOURNAL_BYTES + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from None
        if len(data) > MAX_JOURNAL_BYTES:
            raise JournalError(f"{path}: more than {MAX_JOURNAL_BYTES} bytes; this is no journal of one tag")
        lines = data.splitlines(keepends=True)
        good = [_is_record(line) for line in lines]
        if not all(good[:-1]) or (lines and not good[-1] and _holds_record(lines[-1])):
            raise JournalError(f"{path}: line {good.index(False) + 1} is damaged; keep the file and ask for help")
        return data if not lines or good[-1] else data[: -len(lines[-1])]


def _is_record(line: bytes) -> bool:
    """Whether the line is whole: its checksum, and an event that we know."""
    head, text = line[:9], line[9:-1]
    if not line.endswith(b"\n") or head != f"{zlib.crc32(text):08x} ".encode():
        return False
    try:
        record = json.loads(text)
        _fold(History(), record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return True


def _holds_record(line: bytes) -> bool:
    """Whether a line that is no record begins with a whole one: that is no torn write, a line's end was damaged."""
    ends = [at + 1 for at, byte in enumerate(line[:-1]) if byte == ord("}")]
    return any(_is_record(line[:end] + b"\n") for end in ends)


def _fold(history: History, record: Record) -> None:
    """One more record. A stage that is reached says which keys the tag has; a key record leaves two."""
    event = record["event"]
    if event == "begin":
        history.order = TagOrder(_chip(record["chip"]), record["host"], Item(record["gtin"], record["serial"]))
        history.key_version = record["version"]
        history.epoch += 1
    if event in ("written", "locked") and history.key_version is not None:
        history.keys = {number: {history.key_version} for number in (*KEY_NUMBERS, PASSWORD_KEY)}
    elif event == "factory":
        history.keys = {}
    elif event == "key":
        history.keys.setdefault(record["number"], set()).update((record["old"], record["new"]))
    elif event not in _STAGES and event not in ("seal", "protect"):
        raise ValueError(f"unknown event {event!r}")
    history.stage = _STAGES.get(event, history.stage)
    history.records.append(record)


def _chip(name: str) -> Chip:
    for chip in CHIPS:
        if chip == name:
            return chip
    raise ValueError(f"unknown chip {name!r}")


def _is_hex(text: str) -> bool:
    return bool(text) and len(text) % 2 == 0 and all(digit in "0123456789ABCDEF" for digit in text)
