"""A blank board on this computer: MicroPython's REPL behind a pty, and later the node that was copied onto it.

Provisioning treats it like any other board: mpremote fills its file system, machine.reset() starts what lies there.
"""

from collections.abc import Mapping
from pathlib import Path

from tallystick_tools import board_rom
from tallystick_tools.unix_node import HEAP, UnixNode

_ROM = Path(board_rom.__file__)


class EmulatedBoard(UnixNode):
    """A UnixNode that starts in a board's ROM and runs from its own file system, `folder`/files."""

    def __init__(self, serial: str, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, settings)
        self.serial = serial
        self._links: list[Path] = []
        self.files.mkdir(exist_ok=True)

    @property
    def files(self) -> Path:
        return self.folder / "files"

    def arguments(self) -> list[str]:
        return [*HEAP, str(_ROM)]

    def environment(self) -> dict[str, str]:
        # Nothing can be imported but what is frozen and the board's own files.
        return super().environment() | {"MICROPYPATH": f".frozen:{self.files}"}

    def plug(self, folder: Path) -> None:
        """Power on, and a link to the port in `folder`, as udev makes one for a board's USB serial number."""
        self.start()
        link = folder / self.serial
        link.symlink_to(self.port)
        self._links.append(link)

    def close(self) -> None:
        """Unplug it for good: the port is gone, the power too."""
        for link in self._links:
            link.unlink(missing_ok=True)
        super().close()
