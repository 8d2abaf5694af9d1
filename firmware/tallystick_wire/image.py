"""A firmware image for boards that keep modules as files: a head with the board's name, then file after file.

    "tallystick/image/v1" 00 | length (1 byte) board | { length (1 byte) path | size (4 bytes, big-endian) content } ...

It unpacks with the RAM of one piece. Paths are package/module, so that nothing else on a board can be overwritten.
"""

from tallystick_wire.errors import ManifestError
from tallystick_wire.manifest import MAX_BOARD_CHARACTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Sink(Protocol):
        """Where the files go, one at a time."""

        def open(self, path: str) -> None: ...
        def write(self, piece: bytes) -> None: ...
        def close(self) -> None: ...


MAGIC = b"tallystick/image/v1\0"
PACKAGES = ("tallystick_node", "tallystick_wire")
MAX_PATH_CHARACTERS = 64
_SUFFIXES = (".py", ".mpy")
_SIZE_BYTES = 4


def build(board: str, files: "list[tuple[str, bytes]]") -> bytes:
    """The image with these files, (path, content) each."""
    out = bytearray(MAGIC)
    out += _counted(board, MAX_BOARD_CHARACTERS)
    for path, content in files:
        check_path(path)
        out += _counted(path, MAX_PATH_CHARACTERS)
        out += len(content).to_bytes(_SIZE_BYTES, "big")
        out += content
    return bytes(out)


def board_of(image: bytes) -> "str | None":
    """The board that an image says it is for; None when it has no such head."""
    start = len(MAGIC) + 1
    if image[: len(MAGIC)] != MAGIC or len(image) < start:
        return None
    try:
        return image[start : start + image[start - 1]].decode()
    except UnicodeError:
        return None


def check_path(path: str) -> None:
    """ManifestError unless `path` is a module of one of the node's packages."""
    package, _, name = path.partition("/")
    stem = name.rsplit(".", 1)[0]
    plain = all(letter in "abcdefghijklmnopqrstuvwxyz0123456789_" for letter in stem)
    if package not in PACKAGES or not name.endswith(_SUFFIXES) or not stem or not plain:
        raise ManifestError("%s is no module of the node" % path[:MAX_PATH_CHARACTERS])


class Unpacker:
    """Takes an image piece by piece, of any size, and gives its files to `sink`. ManifestError when it is no image."""

    def __init__(self, sink: "Sink", board: str) -> None:
        self._sink = sink
        self._board = board
        self._head = bytearray()  # of the file that comes, or of the image
        self._left = 0  # of the content of the file that is open
        self._started = False

    def feed(self, piece: bytes) -> None:
        position = 0
        while position < len(piece):
            if self._left:
                part = piece[position : position + self._left]
                self._sink.write(part)
                position += len(part)
                self._left -= len(part)
                if not self._left:
                    self._sink.close()
            else:
                self._head.append(piece[position])
                position += 1
                self._take_head()

    def finish(self) -> None:
        """The image is over; ManifestError when it ends in the middle of a file."""
        if self._left or self._head or not self._started:
            raise ManifestError("the image ends too early")

    def _take_head(self) -> None:
        if not self._started:
            self._take_start()
            return
        size = self._head[0]
        if not 0 < size <= MAX_PATH_CHARACTERS:
            raise ManifestError("a path has 1 to %d characters" % MAX_PATH_CHARACTERS)
        if len(self._head) < 1 + size + _SIZE_BYTES:
            return
        try:
            path = bytes(self._head[1 : 1 + size]).decode()
        except UnicodeError:
            raise ManifestError("a path is no text") from None
        check_path(path)
        self._left = int.from_bytes(self._head[1 + size :], "big")
        self._head = bytearray()
        self._sink.open(path)
        if not self._left:
            self._sink.close()

    def _take_start(self) -> None:
        expected = MAGIC + _counted(self._board, MAX_BOARD_CHARACTERS)
        if self._head != expected[: len(self._head)]:
            raise ManifestError("no image for the board %s" % self._board)
        if len(self._head) == len(expected):
            self._head = bytearray()
            self._started = True


def _counted(text: str, limit: int) -> bytes:
    data = text.encode()
    if not 0 < len(data) <= limit:
        raise ManifestError("%s must be 1 to %d bytes" % (text[:limit], limit))
    return bytes([len(data)]) + data
