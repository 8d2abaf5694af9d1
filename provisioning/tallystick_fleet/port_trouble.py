"""What the operating system says of a serial port, in words for the person who holds the cable."""

import errno
import termios


def words(error: Exception) -> str | None:
    """For errors of a port itself; None for what the other end said. SerialException is an OSError."""
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EWOULDBLOCK):
        return "in use by another program (a running gateway?): stop it first"
    if isinstance(error, OSError | termios.error):
        return f"the board is gone ({errno.errorcode.get(number, number) if isinstance(number, int) else error})"
    return None
