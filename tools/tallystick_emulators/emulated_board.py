"""A blank board on this computer: MicroPython's REPL behind a pty, and later the node that was copied onto it.

Provisioning treats it like any other board: mpremote fills its file system, machine.reset() starts what lies there.
With a `chip` it is wholly blank at first: the loader in its ROM answers esptool, and MicroPython starts when the flash
holds a whole image of it. An image that calls itself otherwise is a maker's demo: it talks, and hears nothing but the
loader's call.
"""

import os
import select
import termios
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tallystick_emulators import board_rom, esp_chip
from tallystick_emulators.esp_chip import Chip
from tallystick_emulators.esp_rom import CALL, ROM_BAUD, ROM_HEARS, SECTOR_BYTES, Loader
from tallystick_emulators.flash_disk import FlashDisk, PowerCut
from tallystick_emulators.unix_node import HEAP, UnixNode

_ROM = Path(board_rom.__file__)
_LOCKS = Path("/proc/locks")
_LOOK_EVERY_MS = 50
_CHATTER = b"Hello world! Restarting in 10 seconds...\r\n"
Cable = Callable[[int, bytes], bytes]  # speed, what is sent -> what arrives


def good_cable(baud: int, data: bytes) -> bytes:
    return data


def short_of_breath(baud: int, data: bytes) -> bytes:
    """A cable that carries the ROM's speed and damages what is faster."""
    return data if baud <= ROM_BAUD else bytes(byte ^ 0x10 if at % 61 == 60 else byte for at, byte in enumerate(data))


def deaf_when_fast(baud: int, data: bytes) -> bytes:
    """A cable, or a USB bridge, at whose other end nothing fast arrives."""
    return data if baud <= ROM_BAUD else b""


class EmulatedBoard(UnixNode):
    """A UnixNode that starts in a board's ROM and runs from its own file system, `folder`/files.

    `chip`: its flash is kept in `folder`/chip.flash; None: MicroPython is on it already. `cut_at`: the power fails at
    that write or erase of the flash. `holds_boot`: BOOT is held while it is plugged in: the loader answers at first.
    `cable`: what it lies on.
    """

    def __init__(
        self,
        serial: str,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        chip: Chip | None = None,
        cut_at: int = 0,
        holds_boot: bool = False,
        cable: Cable = good_cable,
    ) -> None:
        super().__init__(folder, settings)
        self._cable = cable
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
        if self.chip is None or (self._boots_python(self.chip) and not self._holds_boot):
            super().start()
        elif self._loading is None:
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
        """The loader answers until the chip is reset with MicroPython in its flash, or the power is cut.

        A pty has no RTS, by which esptool resets a board: here it is reset when esptool lets go of the port, and when
        it calls at another speed than before. The ROM takes on the speed of the call.
        """
        loader, talks = self._reset(chip), self._runs_demo(chip) and not self._holds_boot
        self._holds_boot = False
        port = select.poll()
        port.register(self._master, select.POLLIN)
        try:
            while not self._stopping.is_set():
                if port.poll(_LOOK_EVERY_MS):
                    heard = self._heard()
                    if CALL in heard and not self._host_has(loader.baud):
                        loader = self._reset(chip)
                        loader.listens_at(self._host_baud())
                    self._answer(loader, heard)
                elif talks and not loader.commands:
                    self._say(_CHATTER)
                if loader.wants_reset or (loader.commands and not self._is_held()):
                    if self._boots_python(chip):
                        super().start()
                        return
                    loader, talks = self._reset(chip), self._runs_demo(chip)
        except PowerCut:
            self.close()

    def _answer(self, loader: Loader, heard: bytes) -> None:
        """Each byte goes over the cable at the speed of its sender, and is noise where the other has another speed."""
        baud = loader.baud
        if self._host_has(baud):
            self._say(self._cable(baud, loader.take(self._cable(baud, heard))))

    def _host_has(self, baud: int) -> bool:
        """Whether the port is set to this speed."""
        return bool(termios.tcgetattr(self._slave)[5] == getattr(termios, f"B{baud}"))

    def _host_baud(self) -> int:
        """What the ROM measures at the host's call."""
        return next((baud for baud in ROM_HEARS if self._host_has(baud)), ROM_BAUD)

    def _is_held(self) -> bool:
        """Whether a program has the port for itself, as every program does that talks to a board."""
        port = os.stat(self.port)
        place = f"{os.major(port.st_dev):02x}:{os.minor(port.st_dev):02x}:{port.st_ino}"
        return any(place in line.split() for line in _LOCKS.read_text("ascii").splitlines())

    def _boots_python(self, chip: Chip) -> bool:
        return esp_chip.boots(chip, self.flash.image) and not self._runs_demo(chip)

    def _runs_demo(self, chip: Chip) -> bool:
        flash = self.flash.image
        return esp_chip.boots(chip, flash) and esp_chip.project(flash) not in ("", esp_chip.MICROPYTHON)

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
