"""Fill a blank MicroPython board with the node's files, over its raw REPL, with mpremote; and start it.

A board that has no MicroPython yet gets it before that: esp_loader for an ESP32, bootsel_drives for a Pico. A board
that runs the node already has no REPL any more: it takes signed updates only.
"""

import errno
import hashlib
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import serial  # type: ignore[import-untyped]
from mpremote.transport import TransportError  # type: ignore[import-untyped]
from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]

from tallystick_fleet import port_trouble
from tallystick_fleet.errors import BoardLost
from tallystick_provisioning.errors import FileError

PROMPT_TIMEOUT_S = 1.0  # a board without a running program answers in milliseconds
ANSWER_TIMEOUT_S = 5.0  # for one byte of an answer; a board that erases a block is silent for a tenth of it
WRITE_TIMEOUT_S = 5.0  # a board that takes no bytes at all
WRITE_BYTES = 1024  # a call of the board's write(); more needs more of its memory
MAX_TREE_BYTES = 512 * 1024  # a node is 60 KB of .mpy; more is another folder
MAIN = "main.py"
_TO_RAW_REPL = b"\r\x03\r\x01"  # Ctrl-C: stop what runs; Ctrl-A: raw
_NEW_MAIN = "main.new"  # renamed when it is whole: half a main.py would be run at the next power-on
_BYTECODE, _ARMV6M, _ARMV7EMDP = 0, 4, 8  # kinds of machine code in a .mpy file
_END_OF_FRAME = b"\0"
_PROMPT = b"raw REPL; CTRL-B to exit"
_RESTART = "import machine\nmachine.reset()"
Progress = Callable[[int, int], None]


def tree_files(tree: Path) -> list[tuple[str, bytes]]:
    """(path on the board, content) of a folder made by tools/build-firmware; FileError when it is none.

    main.py comes last: a board on which the copying stopped has none, stays blank, and is filled again.
    """
    if not (tree / MAIN).is_file():
        raise FileError(f"{tree}: no {MAIN} in it; tools/build-firmware makes such folders")
    paths = sorted(path for path in tree.rglob("*") if path.is_file() and path.suffix in (".py", ".mpy"))
    files = [(path.relative_to(tree).as_posix(), path.read_bytes()) for path in paths]
    if sum(len(content) for _, content in files) > MAX_TREE_BYTES:
        raise FileError(f"{tree}: more than {MAX_TREE_BYTES} bytes: this is no node's folder")
    return sorted(files, key=lambda file: file[0] == MAIN)


def flash(port: str, files: list[tuple[str, bytes]], progress: Progress) -> None:
    """Copy what is not there yet, read back what was copied, start the board. BoardLost says at which file."""
    total = sum(len(content) for _, content in files)
    done = 0
    with _board(port) as board:
        _check_machine_code(board, port, files)
        for folder in sorted({str(Path(path).parent) for path, _ in files} - {"."}):
            _make_folder(board, folder)
        for path, content in files:
            if _hash(board, path) != hashlib.sha256(content).digest():
                _copy(board, port, path, content)
            done += len(content)
            progress(done, total)
        board.exec_raw_no_follow(_RESTART)


def is_blank(port: str) -> bool:
    """Whether a MicroPython prompt answers: there is no node on this board yet. BoardLost when the port fails."""
    options = {"timeout": PROMPT_TIMEOUT_S, "write_timeout": WRITE_TIMEOUT_S, "exclusive": True}
    with _board_errors(port), serial.Serial(port, **options) as line:
        line.write(_TO_RAW_REPL)
        found = _PROMPT in line.read_until(_PROMPT)
        if not found:
            line.write(_END_OF_FRAME)  # a node took our bytes for the head of a frame
        return found


def runs_on(content: bytes, mpy: int) -> bool:
    """Whether a board whose sys.implementation._mpy is `mpy` loads this .mpy file.

    https://docs.micropython.org/en/latest/reference/mpyfiles.html: "M", version, sub-version and machine code, small
    ints. A Cortex-M runs the code of smaller ones.
    """
    version, code, board_code = mpy & 0xFF, (content[2] >> 2) & 0xF, (mpy >> 10) & 0xF
    if content[:1] != b"M" or content[1] != version:
        return False
    same = content[2] & 3 == (mpy >> 8) & 3
    return code == _BYTECODE or (same and (code == board_code or _ARMV6M <= code <= board_code <= _ARMV7EMDP))


@contextmanager
def _board(port: str) -> Iterator[SerialTransport]:
    """A board at its raw REPL. Every foreign error becomes BoardLost here."""
    with _board_errors(port):
        board = SerialTransport(port, timeout=ANSWER_TIMEOUT_S)
        try:
            board.serial.write_timeout = WRITE_TIMEOUT_S
            board.enter_raw_repl(soft_reset=False, timeout_overall=ANSWER_TIMEOUT_S)
            yield board
        finally:
            _close(board)


@contextmanager
def _board_errors(port: str) -> Iterator[None]:
    try:
        yield
    except (TransportError, OSError, termios.error, struct.error, ValueError, SyntaxError) as error:
        # SerialException is an OSError; ValueError and SyntaxError are mpremote's, for answers that are no Python.
        raise BoardLost(f"{port}: {_words(error)}") from None


def _close(board: SerialTransport) -> None:
    try:
        board.close()
    except (OSError, termios.error):
        board.serial.close()  # a pty has no RTS and DTR, and an unplugged port has nothing


def _check_machine_code(board: SerialTransport, port: str, files: list[tuple[str, bytes]]) -> None:
    """BoardLost before anything is written to a board that could not run it: it would never answer."""
    mpy = int(board.eval("getattr(__import__('sys').implementation, '_mpy', 0)"))
    unfit = next((path for path, content in files if path.endswith(".mpy") and not runs_on(content, mpy)), None)
    if unfit is not None:
        raise BoardLost(
            f"{port}: this board's MicroPython does not run {unfit}: --firmware is for another kind of board, or "
            f"for another MicroPython (this one's number is {mpy:#x})"
        )


def _copy(board: SerialTransport, port: str, path: str, content: bytes) -> None:
    target = _NEW_MAIN if path == MAIN else path
    try:
        board.fs_writefile(target, content, chunk_size=WRITE_BYTES)
    except OSError as error:
        if error.strerror != target:
            raise
        name = errno.errorcode.get(error.errno or 0, str(error.errno))  # the board's own error, not the port's
        raise BoardLost(f"{port}: {path}: the board answers {name}: is its flash full?") from None
    if _hash(board, target) != hashlib.sha256(content).digest():
        raise BoardLost(f"{port}: {path} does not read back as it was written: is the board's flash full?")
    if target != path:
        board.exec(f"import os\nos.rename({target!r}, {path!r})")


def _make_folder(board: SerialTransport, path: str) -> None:
    """Make `path` and what is above it, unless it is there."""
    for end in range(1, len(path.split("/")) + 1):
        part = "/".join(path.split("/")[:end])
        if not board.fs_exists(part):
            board.fs_mkdir(part)


def _hash(board: SerialTransport, path: str) -> bytes | None:
    """SHA-256 of a file on the board; None when it is not there."""
    try:
        return bytes(board.fs_hashfile(path, "sha256"))
    except OSError as error:
        if error.errno == errno.ENOENT and error.strerror == path:
            return None
        raise


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    said = lines[-1] if lines else type(error).__name__
    return port_trouble.words(error) or f"the board does not answer as MicroPython does: {said}"
