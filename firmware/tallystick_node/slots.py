"""Where an update waits, and how it becomes what runs: behind the board, because boards keep firmware in two ways.

FileSlots keeps it as folders of modules on the file system (loader boots them); slots_partition keeps it as the
partitions of an ESP32. Nothing in here decides anything: update does.
"""

import os
import sys

from tallystick_node import loader
from tallystick_node.errors import StorageError
from tallystick_node.files import refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, Protocol

    class Slots(Protocol):
        """Every call raises StorageError when the flash refuses.

        `granule`: writing begins at multiples of it only (an erase block, or 1).
        """

        granule: int

        def fits(self, board: str) -> bool:
            """Whether an image for this board can run here."""

        def target(self) -> str:
            """The slot that the next image goes to: never the one that runs, nor the one to go back to."""

        def state(self, slot: str) -> str:
            """CONFIRMED, TRIAL, FAILED or WAITING: what became of that slot, seen from this boot."""

        def read(self, part: str, offset: int, size: int) -> bytes:
            """What lies there of LIST or IMAGE, shorter at its end; b"" when there is nothing."""

        def write(self, part: str, offset: int, data: bytes) -> None: ...

        def size(self, part: str) -> int: ...

        def remove(self, part: str) -> None: ...

        def has_room(self, size: int) -> bool:
            """Whether an image of that size can be loaded and installed."""

        def install(self, size: int, stored: Callable[[], None]) -> None:
            """The image of that size is whole and verified: the next boot is its trial. Again from the start after a
            crash. `stored()` after each file: it takes longer than a watchdog waits. ManifestError when it is no image
            for this board.
            """

        def confirm(self) -> None:
            """What runs on trial is what runs from now on."""


WAITING, TRIAL, CONFIRMED, FAILED = "waiting", "trial", "confirmed", "failed"
LIST, IMAGE = "list", "image"  # the parts of an update that is being loaded
COPY_BYTES = 512  # what is copied at once: small beside the smallest heap
# An image of sixty modules, unpacked, takes up to three times its size: each file begins a block of its own.
_ROOM_FOR_EACH_BYTE = 4  # the image, and three for what comes out of it

# sys.implementation._mpy >> 10, as mpy-cross numbers them.
_ARCHITECTURES = (
    "none", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa", "xtensawin",
    "rv32imc", "rv64imc",
)
# Each of these runs the machine code of those before it.
_CORTEX_M = ("armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp")


class Parts:
    """What is being loaded, as files in the folder `root`."""

    def __init__(self, root: str) -> None:
        self._root = root
        _make_folder(root)

    def read(self, part: str, offset: int, size: int) -> bytes:
        try:
            with open(self._path(part), "rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError:
            return b""

    def size(self, part: str) -> int:
        try:
            return int(os.stat(self._path(part))[6])
        except OSError:
            return 0

    def write(self, part: str, offset: int, data: bytes) -> None:
        # A crash in here: the file ends where it ended before, or later. Whoever goes on looks at the content.
        try:
            with open(self._path(part), "r+b" if self.size(part) else "wb") as file:
                file.seek(offset)
                file.write(data)
        except OSError as error:
            raise refusal(error)("%s: %s" % (part, error)) from None

    def remove(self, part: str) -> None:
        try:
            if self.size(part):
                os.remove(self._path(part))
        except OSError as error:
            raise StorageError("%s: %s" % (part, error)) from None

    def _path(self, part: str) -> str:
        return self._root + "/" + part


class FileSlots(Parts):
    """The folders 0 and 1 in `root`, and beside them what is being loaded."""

    granule = 1

    def __init__(self, root: str, mpy: "int | None" = None) -> None:
        """`mpy`: sys.implementation._mpy of the interpreter that will run the images."""
        super().__init__(root)
        number = mpy if mpy is not None else getattr(sys.implementation, "_mpy", 0)
        self._format = "mpy%d.%d" % (number & 0xFF, number >> 8 & 3)
        self._architecture = _ARCHITECTURES[number >> 10]

    @property
    def board(self) -> str:
        """The name that an image for this board bears, like mpy6.3-armv6m."""
        return self._format + "-" + self._architecture

    def fits(self, board: str) -> bool:
        name, _, architecture = board.partition("-")
        if name != self._format:
            return False
        if self._architecture in _CORTEX_M and architecture in _CORTEX_M:
            return _CORTEX_M.index(architecture) <= _CORTEX_M.index(self._architecture)
        return architecture == self._architecture

    def target(self) -> str:
        record = loader.load(self._root)
        return "1" if record.confirmed == "0" else "0"

    def state(self, slot: str) -> str:
        record = loader.load(self._root)
        if record.trial == slot and record.state == loader.TRIED:
            return TRIAL
        if record.trial == slot and record.state == loader.FAILED:
            return FAILED
        return CONFIRMED if record.confirmed == slot else WAITING

    def has_room(self, size: int) -> bool:
        try:
            _, fragment_bytes, _, _, available = os.statvfs(self._root)[:5]
            free = fragment_bytes * available + self.size(LIST) + self.size(IMAGE)
            return _ROOM_FOR_EACH_BYTE * size <= free + self._given_back(fragment_bytes)
        except OSError:
            return False

    def install(self, size: int, stored: "Callable[[], None]") -> None:
        slot = self.target()
        try:
            # 1. The record stops naming this slot as the one that failed: from here on its content is unfinished.
            record = loader.load(self._root)
            if record.trial == slot:
                loader.save(self._root, record.confirmed, loader.FACTORY, loader.OK)
            # 2. A crash from here to the record: the slot is unfinished, nothing boots it, and all of this comes again.
            self._unpack(slot, size, stored)
            # 3. The switch. A crash before it: the old firmware; after it: the new one, once.
            loader.save(self._root, record.confirmed, slot, loader.TRY)
        except OSError as error:
            raise refusal(error)("slot %s: %s" % (slot, error)) from None

    def confirm(self) -> None:
        try:
            record = loader.load(self._root)
            loader.save(self._root, record.trial, loader.FACTORY, loader.OK)
        except OSError as error:
            raise StorageError("record: %s" % error) from None

    def _given_back(self, block_bytes: int) -> int:
        """What the files take that the next image will replace."""
        total = 0
        for package in loader.PACKAGES:
            folder = self._root + "/" + self.target() + "/" + package
            try:
                sizes = [int(os.stat(folder + "/" + name)[6]) for name in os.listdir(folder)]
            except OSError:  # nothing was ever there
                sizes = []
            total += sum([-(-size // block_bytes) * block_bytes for size in sizes])
        return total

    def _unpack(self, slot: str, size: int, stored: "Callable[[], None]") -> None:
        from tallystick_wire import image, manifest  # only now: while an image is loaded, memory is short

        folder = self._root + "/" + slot
        _make_folder(folder)
        for package in loader.PACKAGES:
            _make_folder(folder + "/" + package)
            for name in os.listdir(folder + "/" + package):
                os.remove(folder + "/" + package + "/" + name)
                stored()
        with open(self._path(IMAGE), "rb") as file:
            head = file.read(len(image.MAGIC) + 1 + manifest.MAX_BOARD_CHARACTERS)
            named = image.board_of(head) or ""
            unpacker = image.Unpacker(_Folder(folder, stored), named if self.fits(named) else self.board)
            file.seek(0)
            while size:
                piece = file.read(min(size, COPY_BYTES))
                if not piece:
                    raise StorageError("the image is shorter than it was")
                unpacker.feed(piece)
                size -= len(piece)
        unpacker.finish()


class _Folder:
    """image.Sink: files in a folder."""

    def __init__(self, path: str, stored: "Callable[[], None]") -> None:
        self._path = path
        self._stored = stored
        self._file: "BinaryIO | None" = None

    def open(self, path: str) -> None:
        self._file = open(self._path + "/" + path, "wb")

    def write(self, piece: bytes) -> None:
        if self._file is not None:
            self._file.write(piece)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._stored()


def _make_folder(path: str) -> None:
    try:
        os.stat(path)
    except OSError:
        os.mkdir(path)
