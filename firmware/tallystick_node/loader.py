"""What a board runs at power-on: chooses the firmware, boots it, and goes back to the one before when it is no good.

The firmware that was flashed is the factory's: it stays, and this loader is of it for ever. Updates live in the folders
slots/0 and slots/1. A record says which of the three runs. It exists twice, in record.0 and record.1, as one line each:

    GENERATION CONFIRMED TRIAL STATE CRC-32      for example   7 - 0 try 3c2a9f01

The higher generation counts, and a write goes to the other file. CONFIRMED and TRIAL are 0, 1 or - (the factory).
STATE is ok (no trial), try (the next boot is the trial's only one), tried (that boot has begun), failed (it is over).
"""

import binascii
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FACTORY = "-"
SLOTS = ("0", "1")
OK, TRY, TRIED, FAILED = "ok", "try", "tried", "failed"
RESTART_CODE = 42  # a board's interpreter starts main.py again whatever the code; a computer's rig waits for this one
BOARD_FOLDER = "/slots"
SETTING = "TALLYSTICK_SLOTS_DIR"  # on a computer
_STATES = (OK, TRY, TRIED, FAILED)
PACKAGES = ("tallystick_node", "tallystick_wire")


class Record:
    __slots__ = ("confirmed", "generation", "state", "trial")

    def __init__(self, generation: int, confirmed: str, trial: str, state: str) -> None:
        self.generation = generation
        self.confirmed = confirmed
        self.trial = trial
        self.state = state


def main() -> None:
    """Boot after boot would be the board's: this returns when the board says stop, or ends the process."""
    root = folder()
    slot = choose(root) if root else FACTORY
    watchdog = _watchdog_over_trial(root, slot)
    try:
        app, board = _import(root, slot)
    except Exception as error:  # noqa: BLE001  whatever an image does when it is imported: the one before still works
        if slot == FACTORY or _is_trial(root, slot):
            _end(error)
        sys.print_exception(error, sys.stderr)  # type: ignore[attr-defined]
        app, board = _import(root, FACTORY)  # the flash lost a slot: for this boot, what was flashed
    if watchdog is not None:
        watchdog.feed()  # it was imported; from here to the first turn of its loop it has as long again
    try:
        app.main(board.choose())
    except Exception as error:  # noqa: BLE001
        _end(error)


def folder() -> str:
    """Where the slots are; "" on a computer that has none."""
    if hasattr(os, "getenv"):
        return os.getenv(SETTING) or ""
    return BOARD_FOLDER


def choose(root: str) -> str:
    """Which firmware this boot runs. A trial is begun on flash before it begins: it has this boot and no other."""
    record = load(root)
    if record.state == TRY:
        save(root, record.confirmed, record.trial, TRIED)
        # A crash from here on, of the image or of the power: the next boot finds "tried", and goes back.
        return record.trial
    if record.state == TRIED:
        save(root, record.confirmed, record.trial, FAILED)
        # A crash before this was written: it is found "tried" once more, and goes back all the same.
    return record.confirmed


def load(root: str) -> Record:
    """The newest record that is whole; the factory's when there is none."""
    newest = Record(0, FACTORY, FACTORY, OK)
    for number in (0, 1):
        found = _parse(_read("%s/record.%d" % (root, number)))
        if found is not None and found.generation > newest.generation:
            newest = found
    return newest


def save(root: str, confirmed: str, trial: str, state: str) -> None:
    """OSError when the flash refuses; the record before still counts then."""
    generation = load(root).generation + 1
    line = b"%d %s %s %s" % (generation, confirmed.encode(), trial.encode(), state.encode())
    name = "%s/record.%d" % (root, generation % 2)
    with open(name + ".new", "wb") as file:
        file.write(line + b" %08x\n" % (binascii.crc32(line) & 0xFFFFFFFF))
    # A crash here: a file that nobody reads, written anew the next time.
    os.rename(name + ".new", name)


def _read(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _parse(data: bytes) -> "Record | None":
    """None unless the line is exactly one that save() writes."""
    line, _, checksum = data.rpartition(b" ")
    if checksum != b"%08x\n" % (binascii.crc32(line) & 0xFFFFFFFF):
        return None
    words = line.decode().split(" ")
    if len(words) != 4 or words[3] not in _STATES or not words[0].isdigit():
        return None
    if any([word != FACTORY and word not in SLOTS for word in words[1:3]]):
        return None
    return Record(int(words[0]), words[1], words[2], words[3])


def _is_trial(root: str, slot: str) -> bool:
    record = load(root)
    return record.trial == slot and record.state == TRIED


def _watchdog_over_trial(root: str, slot: str) -> "Any":
    """Started before the first line of firmware on trial: where that hangs, the next boot goes back. None without."""
    if slot == FACTORY or not _is_trial(root, slot):
        return None
    from tallystick_node import board_watchdog

    return board_watchdog.start()


def _import(root: str, slot: str) -> "tuple[Any, Any]":
    """(app, board) of that firmware; what was imported of another one is forgotten first."""
    for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        del sys.modules[name]
    for other in SLOTS:
        if root + "/" + other in sys.path:
            sys.path.remove(root + "/" + other)
    if slot != FACTORY:
        sys.path.insert(0, root + "/" + slot)
    from tallystick_node import app, board

    return app, board


def _end(error: Exception) -> None:
    """Out of main.py, which a board starts again."""
    sys.print_exception(error, sys.stderr)  # type: ignore[attr-defined]
    sys.exit(RESTART_CODE)
