"""A blank board on this computer: MicroPython's REPL behind a pty, and later the node that was copied onto it.

Provisioning treats it like any other board: mpremote fills its file system, machine.reset() starts what lies there.
With a `chip` it is wholly blank at first: the loader in its ROM answers esptool, and MicroPython starts when the flash
holds a whole image of it, whatever is in that image.
"""

import os
import select
import threading
from collections.abc import Mapping
from pathlib import Path

from tallystick_emulators import board_rom, esp_chip
from tallystick_emulators.esp_chip import Chip
from tallystick_emulators.esp_rom import SECTOR_BYTES, Loader
from tallystick_emulators.flash_disk import FlashDisk, PowerCut
from tallystick_emulators.unix_node import HEAP, UnixNode

_ROM = Path(board_rom.__file__)
# A pty has no RTS, by which esptool resets a board: here somebody presses RESET when the loader is left alone so long.
RESET_AFTER_S = 0.5
_LOOK_EVERY_MS = 50


class EmulatedBoard(UnixNode):
    """A UnixNode that starts in a board's ROM and runs from its own file system, `folder`/files.

    `chip`: its flash is kept in `folder`/chip.flash; None: MicroPython is on it already. `cut_at`: the power fails at
    that write or erase of the flash. `holds_boot`: BOOT is held while it is plugged in: the loader answers at first.
    """

    def __init__(
        self,
        serial: str,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        chip: Chip | None = None,
        cut_at: int = 0,
        holds_boot: bool = False,
    ) -> None:
        super().__init__(folder, settings)
        self.serial = serial
        self.chip = chip
        sectors = 0 if chip is None else esp_chip.FLASH_BYTES // SECTOR_BYTES
        self.flash = FlashDisk(SECTOR_BYTES, sectors, self._kept(), cut_at)
        self._holds_boot = holds_boot
        self._links: list[Path] = []
        self._loading: threading.Thread | None = None
        self._stopping = threading.Event()
        self.files.mkdir(exist_ok=True)

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def chip_file(self) -> Path:
        """What lies in the flash outlives the board's power."""
        return self.folder / "chip.flash"

    def arguments(self) -> list[str]:
        return [*HEAP, str(_ROM)]

    def environment(self) -> dict[str, str]:
        # Nothing can be imported but what is frozen and the board's own files.
        return super().environment() | {"MICROPYPATH": f".frozen:{self.files}"}

    def start(self) -> None:
        """Power on: MicroPython, or the loader where the flash holds none."""
        if self.chip is None or (self._boots(self.chip) and not self._holds_boot):
            super().start()
        elif self._loading is None:
            self._holds_boot = False
            self._stopping.clear()
            self._loading = threading.Thread(target=self._load, args=(self.chip,), daemon=True)
            self._loading.start()

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

    def stop(self) -> None:
        self._stop_loading()
        super().stop()

    def kill(self) -> None:
        self._stop_loading()
        super().kill()

    def _stop_loading(self) -> None:
        self._stopping.set()
        thread, self._loading = self._loading, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        if self.chip is not None:
            self.chip_file.write_bytes(self.flash.image)

    def _kept(self) -> bytes | None:
        return self.chip_file.read_bytes() if self.chip_file.exists() else None

    def _load(self, chip: Chip) -> None:
        """The loader answers until the flash holds MicroPython and RESET is pressed, or the power is cut."""
        loader, idle_ms = self._reset(chip), 0
        port = select.poll()
        port.register(self._master, select.POLLIN)
        try:
            while not self._stopping.is_set():
                idle_ms += _LOOK_EVERY_MS
                if port.poll(_LOOK_EVERY_MS):
                    before = loader.commands
                    self._say(loader.take(self._heard()))
                    idle_ms = idle_ms if loader.commands == before else 0
                left_alone = loader.commands and idle_ms >= RESET_AFTER_S * 1000
                if loader.wants_reset or left_alone:
                    if self._boots(chip):
                        super().start()
                        return
                    loader = self._reset(chip) if loader.wants_reset else loader
        except PowerCut:
            self.close()

    def _boots(self, chip: Chip) -> bool:
        return esp_chip.boots(chip, self.flash.image)

    def _reset(self, chip: Chip) -> Loader:
        told = f"invalid header: {esp_chip.header(chip, self.flash.image):#010x}"
        self._say(f"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n{told}\r\n".encode())
        return Loader(chip, self.flash)

    def _heard(self) -> bytes:
        try:
            return os.read(self._master, 65536)
        except OSError:  # nothing was there after all
            return b""

    def _say(self, data: bytes) -> None:
        while data and not self._stopping.is_set():
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                select.select([], [self._master], [], _LOOK_EVERY_MS / 1000)
