"""A NOR flash in RAM, as LittleFS sees one: for programs in MicroPython that measure wear or cut the power.

Erasing sets every bit of a block; writing only clears bits, as on the chip. MicroPython subset.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What vfs asks an AbstractBlockDev for.
_BLOCK_COUNT, _BLOCK_SIZE, ERASE = 4, 5, 6


class PowerCut(BaseException):
    """The flash stopped. No handler of the node may catch this."""


class FlashDisk:
    """`image` to go on from, or an erased chip. Step number `cut_at` (each write and each erase is one) is the last.

    The cut tears what is in flight: of a page only the first half is written, of a block only the first half erased.
    """

    def __init__(self, block_bytes: int, blocks: int, image: "bytes | None" = None, cut_at: int = 0) -> None:
        self.image = bytearray(b"\xff" * (block_bytes * blocks) if image is None else image)
        self.erases = [0] * blocks
        self.writes = 0
        self.steps = 0
        self.is_dead = False
        self._block_bytes = block_bytes
        self._blocks = blocks
        self._cut_at = cut_at

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        start = block * self._block_bytes + offset
        buffer[:] = self.image[start : start + len(buffer)]

    def writeblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        self.writes += 1
        size = self._step(len(buffer))
        start = block * self._block_bytes + offset
        before = int.from_bytes(self.image[start : start + size], "big")
        self.image[start : start + size] = (before & int.from_bytes(buffer[:size], "big")).to_bytes(size, "big")
        self._stop_when_dead()

    def ioctl(self, request: int, argument: int) -> "Any":
        if request == ERASE:
            self.erases[argument] += 1
            size = self._step(self._block_bytes)
            start = argument * self._block_bytes
            self.image[start : start + size] = b"\xff" * size
            self._stop_when_dead()
        return {_BLOCK_COUNT: self._blocks, _BLOCK_SIZE: self._block_bytes}.get(request, 0)

    def _step(self, size: int) -> int:
        """How many of `size` bytes this step still reaches."""
        self._stop_when_dead()
        self.steps += 1
        if self.steps == self._cut_at:
            self.is_dead = True
            return size // 2
        return size

    def _stop_when_dead(self) -> None:
        if self.is_dead:
            raise PowerCut
