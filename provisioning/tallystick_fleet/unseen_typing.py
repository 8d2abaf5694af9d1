"""A screen that stays in place while somebody types: what is typed does not appear on it, nor move it."""

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_LOCAL_FLAGS = 3  # where tcgetattr has them


@contextmanager
def unseen_typing(descriptor: int = 0) -> Iterator[None]:
    """Meanwhile the terminal does not echo. What is no terminal is left as it is."""
    if not os.isatty(descriptor):
        yield
        return
    before, quiet = termios.tcgetattr(descriptor), termios.tcgetattr(descriptor)
    quiet[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ECHONL)
    termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
