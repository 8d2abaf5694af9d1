"""The link over a cable: frames over a pair of byte streams, without ever blocking."""

import select

from tallystick_wire import frame as framing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

READ_LIMIT_BYTES = 2048  # a turn of the loop takes no more: a talkative host cannot stop the measuring


RESEND_AFTER_MS = 2000  # a gateway commits every 50 ms; a busy one may take a second


class StreamLink:
    """board.Link. The streams should be non-blocking (a pty of `unix_node` and a board's USB port are).

    `dropped`: frames of which nothing was sent; `partial`: frames that were cut short by a full pipe.
    """

    resend_after_ms = RESEND_AFTER_MS
    losses = 0

    def __init__(self, reader: "BinaryIO", writer: "BinaryIO") -> None:
        self._reader = reader
        self._writer = writer
        self._readable = select.poll()
        self._readable.register(reader, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(writer, select.POLLOUT)
        self._decoder = framing.Decoder()
        self._cut_short = False
        self.hung_up = False
        self.dropped = 0
        self.partial = 0

    def receive(self) -> "list[bytes]":
        """The payloads that have arrived whole; takes at most READ_LIMIT_BYTES off the line."""
        return self._decoder.feed(self._read())

    def send(self, payload: bytes) -> bool:
        """True when all of it went out. What does not fit is lost; the reading is sent again later."""
        return self._write(framing.encode(payload))

    def wait(self, wait_ms: int) -> None:
        """Until something arrives, at most `wait_ms`."""
        self._readable.poll(wait_ms)

    def counts(self) -> "dict[str, int]":
        """What went wrong so far."""
        decoder = self._decoder
        found = {"link_dropped": self.dropped, "link_partial": self.partial}
        found.update({"junk": decoder.junk, "bad_crc": decoder.bad_crc, "oversize": decoder.oversize})
        return found

    def power(self, on: bool) -> None:
        """A cable needs none."""

    def log_in(self, kid: bytes, link_key: bytes) -> None:
        """A cable asks nobody."""

    def is_up(self) -> bool:
        """A cable is always there; whether somebody listens shows in the acks."""
        return True

    def _read(self) -> bytes:
        data = bytearray()
        while len(data) < READ_LIMIT_BYTES and self._readable.poll(0):
            try:
                byte = self._reader.read(1)  # one at a time: a longer read would wait for the rest
            except OSError:  # a pty says EIO when its last user is gone
                byte = b""
            if not byte:
                self.hung_up = byte is not None  # None: nothing there after all
                break
            data += byte
        return bytes(data)

    def _write(self, frame: bytes) -> bool:
        if not self._writable.poll(0):
            self.dropped += 1
            return False
        if self._cut_short:
            frame = b"\0" + frame  # ends the torn frame, so that it does not swallow this one
        written = self._writer.write(frame)
        if written == len(frame):
            self._cut_short = False
            return True
        if written:
            self._cut_short = True
            self.partial += 1
        else:
            self.dropped += 1
        return False
