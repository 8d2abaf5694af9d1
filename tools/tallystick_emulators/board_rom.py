"""What lies in a blank board's ROM: MicroPython's raw REPL, so that mpremote can fill the board and start it.

A program for the real MicroPython of this machine; the current folder is the board's file system. Where a main.py lies
there it runs; otherwise the raw REPL answers on standard input and output, with raw paste, as
https://docs.micropython.org/en/latest/reference/repl.html describes them. `machine.reset()` ends the process with
RESET, and whoever holds the board starts it again.
"""

import io
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RESET = 42
MAIN = "main.py"
WINDOW_BYTES = 1024  # of raw paste: the host sends no more than this ahead
_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
_RAW, _FRIENDLY, _INTERRUPT, _END, _PASTE = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
_PASTE_REST = b"A\x01"


class Reset(BaseException):
    """machine.reset() was called; no handler of the code that runs may catch it."""


class Machine:
    """The one call of the module `machine` that a computer can offer."""

    def reset(self) -> None:
        raise Reset


class Terminal:
    """Single bytes in, whole byte strings out, over the board's only port."""

    def __init__(self) -> None:
        self._readable = select.poll()
        self._readable.register(sys.stdin.buffer, select.POLLIN)

    def read(self) -> bytes:
        """The next byte; ends the program when nobody holds the other end any more."""
        while True:
            self._readable.poll(-1)
            try:
                byte = sys.stdin.buffer.read(1)
            except OSError:
                sys.exit(0)
            if byte:
                return byte
            if byte is not None:
                sys.exit(0)

    def write(self, data: bytes) -> None:
        while data:
            written = sys.stdout.buffer.write(data)
            data = data[written or 0 :]


def raw_repl(terminal: Terminal) -> None:
    """Until machine.reset(): take programs, run each, say what it printed and how it failed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    terminal.write(b"MicroPython\r\n>>> ")
    while True:
        byte = terminal.read()
        if byte == _RAW:
            terminal.write(b"\r\n" + _BANNER)
        elif byte == _PASTE:
            if terminal.read() + terminal.read() == _PASTE_REST:
                run(_pasted(terminal), names, terminal, _END)
        elif byte == _FRIENDLY:
            terminal.write(b"\r\nMicroPython\r\n>>> ")
        elif byte not in (_INTERRUPT, _END, b"\r", b"\n"):
            run(_typed(byte, terminal), names, terminal, b"OK")


def run(program: "bytes | None", names: "dict[str, Any]", terminal: Terminal, accepted: bytes) -> None:
    """`program` is None when the host broke it off."""
    if program is None:
        return
    terminal.write(accepted)
    failure = b""
    try:
        exec(program.decode(), names)  # noqa: S102  (that is what a REPL is for)
    except Exception as error:  # noqa: BLE001  (whatever it is, the host is told)
        text = io.StringIO()
        sys.print_exception(error, text)  # type: ignore[attr-defined]
        failure = text.getvalue().encode()
    terminal.write(_END + failure + _END + b">")


def _typed(first: bytes, terminal: Terminal) -> "bytes | None":
    """A program as it is typed, up to the end of transmission; None after Ctrl-C."""
    program = bytearray(first)
    while True:
        byte = terminal.read()
        if byte in (_END, _INTERRUPT):
            return bytes(program) if byte == _END else None
        program += byte


def _pasted(terminal: Terminal) -> "bytes | None":
    """A program in windows, each of which is asked for; None after Ctrl-C."""
    terminal.write(b"R\x01" + WINDOW_BYTES.to_bytes(2, "little"))
    program = bytearray()
    while True:
        byte = terminal.read()
        if byte in (_END, _INTERRUPT):
            return bytes(program) if byte == _END else None
        program += byte
        if len(program) % WINDOW_BYTES == 0:
            terminal.write(b"\x01")


def main() -> None:
    try:
        if MAIN in os.listdir():
            with open(MAIN) as file:
                exec(file.read(), {"__name__": "__main__"})  # noqa: S102  (the board's own program)
            return
        sys.modules["machine"] = Machine()  # type: ignore[assignment]
        raw_repl(Terminal())
    except Reset:
        sys.exit(RESET)


if __name__ == "__main__":
    main()
