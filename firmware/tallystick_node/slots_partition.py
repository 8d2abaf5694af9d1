"""Updates as the two application partitions of an ESP32 (`ota_0`, `ota_1`), for firmware that is frozen into them.

Not run on hardware yet: tests run it on partitions in RAM. The ESP-IDF bootloader does what loader does elsewhere: it
boots the new partition once, and goes back when nobody marked it as valid before the next reset
(CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE, which MicroPython's builds set).
"""

import sys

from tallystick_node.errors import StorageError
from tallystick_node.slots import FAILED, IMAGE, TRIAL, WAITING, Parts
from tallystick_wire.errors import ManifestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAME = "esp32-ota"  # the name that an image for it is signed with
BLOCK_BYTES = 4096
_ERASE = 6  # what ioctl of a block device calls it
_SIZE, _LABEL = 3, 4  # where info() has them


def here(root: str) -> "PartitionSlots | None":
    """Of this board; None unless it is an ESP32 with two partitions for applications that runs frozen firmware."""
    platform: str = sys.platform
    if platform != "esp32" or __file__.startswith("/"):
        return None
    import esp32  # type: ignore[import-not-found]

    try:
        return PartitionSlots(esp32.Partition, root)
    except OSError:  # no second partition
        return None


class PartitionSlots(Parts):
    """slots.Slots. `partition` is the class esp32.Partition; the list of hashes is a file in the folder `root`."""

    granule = BLOCK_BYTES

    def __init__(self, partition: "Any", root: str) -> None:
        super().__init__(root)
        self._partition = partition
        self._running = partition(partition.RUNNING)
        self._next = self._running.get_next_update()

    def fits(self, board: str) -> bool:
        return board == NAME

    def target(self) -> str:
        return str(self._next.info()[_LABEL])

    def state(self, slot: str) -> str:
        """A slot that runs is on trial until confirm(): to confirm it once more does no harm."""
        if self._running.info()[_LABEL] == slot:
            return TRIAL
        # The bootloader left it, or the power went before the switch: nothing tells these two apart.
        boots_next = self._partition(self._partition.BOOT).info()[_LABEL] == slot
        return WAITING if boots_next else FAILED

    def read(self, part: str, offset: int, size: int) -> bytes:
        if part != IMAGE:
            return super().read(part, offset, size)
        data = bytearray(size)
        try:
            self._next.readblocks(offset // BLOCK_BYTES, data, offset % BLOCK_BYTES)
        except OSError:
            return b""
        return bytes(data)

    def write(self, part: str, offset: int, data: bytes) -> None:
        if part != IMAGE:
            super().write(part, offset, data)
            return
        block, within = offset // BLOCK_BYTES, offset % BLOCK_BYTES
        try:
            if not within:
                self._next.ioctl(_ERASE, block)
                # A crash here: the block is empty, its chunks are asked for again.
            self._next.writeblocks(block, data, within)
        except OSError as error:
            raise StorageError("partition: %s" % error) from None

    def remove(self, part: str) -> None:
        if part != IMAGE:
            super().remove(part)

    def has_room(self, size: int) -> bool:
        return size <= int(self._next.info()[_SIZE])

    def install(self, size: int, stored: "Callable[[], None]") -> None:
        try:
            # The switch, which ESP-IDF makes whole or not at all. It looks at the image first.
            self._next.set_boot()
        except OSError as error:
            raise ManifestError("partition: %s" % error) from None

    def confirm(self) -> None:
        try:
            self._partition.mark_app_valid_cancel_rollback()
        except OSError as error:
            raise StorageError("partition: %s" % error) from None
