"""A Pico whose BOOTSEL button is held, on this computer: a drive, and a board once MicroPython was copied onto it.

The drive is a folder with what the boot loader shows in it. Whatever file is written there is looked through for UF2
blocks of the chip's family; when all that they announce are there, the drive is gone and the board is a port.
"""

import shutil
import struct
import threading
from collections.abc import Mapping
from pathlib import Path

from tallystick_emulators.emulated_board import EmulatedBoard

# Family in UF2 files, name of the drive, what INFO_UF2.TXT says: RP2040 and RP2350 in their ROMs.
RP2040 = (0xE48BFF56, "RPI-RP2", "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n")
RP2350 = (0xE48BFF59, "RP2350", "UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\nBoard-ID: RP2350\n")
_LOOK_EVERY_S = 0.05
_BLOCK = struct.Struct("<8s6I476s4s")


class EmulatedPico(EmulatedBoard):
    """Plugged in with `hold_bootsel`, it waits for its file; let go, or given the file, it is a board as any other."""

    def __init__(
        self,
        serial: str,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        chip_rom: tuple[int, str, str] = RP2040,
    ) -> None:
        super().__init__(serial, folder, settings)
        self._family, self._drive_name, self._info = chip_rom
        self._drive = folder / "no drive"
        self._pulled = threading.Event()
        self._waiting: threading.Thread | None = None

    def hold_bootsel(self, drives: Path, ports: Path) -> Path:
        """Plug it in with the button held; its drive. It will be a port in `ports`."""
        self._drive = drives / self._drive_name
        self._drive.mkdir()
        (self._drive / "INFO_UF2.TXT").write_text(self._info, "ascii")
        self._waiting = threading.Thread(target=self._wait, args=(ports,), daemon=True)
        self._waiting.start()
        return self._drive

    def close(self) -> None:
        self._pulled.set()
        if self._waiting is not None:
            self._waiting.join()
        shutil.rmtree(self._drive, ignore_errors=True)
        super().close()

    def _wait(self, ports: Path) -> None:
        while not self._pulled.wait(_LOOK_EVERY_S):
            if self._is_whole():
                shutil.rmtree(self._drive)
                self.plug(ports)
                return

    def _is_whole(self) -> bool:
        """Whether as many blocks of this family arrived as each of them announces."""
        arrived: set[int] = set()
        announced = 0
        for path in self._drive.glob("*.uf2"):
            data = path.read_bytes()
            for at in range(0, len(data) - _BLOCK.size + 1, _BLOCK.size):
                start, flags, _, _, number, total, family, _, end = _BLOCK.unpack_from(data, at)
                is_block = (start, end) == (b"UF2\nWQ]\x9e", b"\x30\x6f\xb1\x0a")
                if is_block and flags & 0x2000 and family == self._family:
                    arrived.add(number)
                    announced = total
        return announced > 0 and arrived == set(range(announced))
