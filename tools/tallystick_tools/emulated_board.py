"""A blank board on this computer: MicroPython's REPL behind a pty, and later the node that was copied onto it.

Provisioning treats it like any other board: mpremote fills its file system, machine.reset() starts what lies there.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tallystick_tools import board_rom
from tallystick_tools.unix_node import UnixNode

_LOOK_EVERY_S = 0.05
_ROM = Path(board_rom.__file__)


class EmulatedBoard:
    """`plug(folder)` puts a link to the port into a folder of links, as udev does for a board's USB serial number."""

    def __init__(self, serial: str, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.serial = serial
        self.node = _Board(folder, settings)
        self._links: list[Path] = []
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._restart_after_reset, name=f"board {serial}", daemon=True)
        self.node.start()
        self._watcher.start()

    def plug(self, folder: Path) -> None:
        link = folder / self.serial
        link.symlink_to(self.node.port)
        self._links.append(link)

    def close(self) -> None:
        """Unplug it: the port is gone, the power too."""
        self._stop.set()
        self._watcher.join()
        for link in self._links:
            link.unlink(missing_ok=True)
        self.node.close()

    def _restart_after_reset(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            if self.node.was_reset():
                self.node.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Board(UnixNode):
    """A UnixNode that runs from its own file system, `folder`/files, and starts in the board's ROM."""

    @property
    def files(self) -> Path:
        path = self.folder / "files"
        path.mkdir(exist_ok=True)
        return path

    def arguments(self) -> list[str]:
        return [str(_ROM)]

    def environment(self) -> dict[str, str]:
        # Nothing but the board's own files can be imported.
        return super().environment() | {"MICROPYPATH": f".frozen:{self.files}"}

    def was_reset(self) -> bool:
        return self._process is not None and self._process.poll() == board_rom.RESET
