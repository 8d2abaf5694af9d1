"""The hardware's watchdog: who does not feed it in time is reset, and nobody can stop it once it runs.

The loader starts it before firmware on trial is imported, so that whatever hangs, at its first line too, has an end. A
computer has none: there whoever runs the node stands over it (unix_node), where the environment says so:

    TALLYSTICK_WATCHDOG_MS      how long it waits (for ever)
    TALLYSTICK_WATCHDOG_FILE    written by every feeding
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Watchdog(Protocol):
        def feed(self) -> None: ...


PATIENCE_MS = 8000  # an RP2040 counts to 8388; signing a batch takes a board some 3 s
PATIENCE_MS_ESP32 = 30_000  # a name look-up that nobody answers takes longer than 8 s


def start() -> "Watchdog":
    """It runs from now on. There is one: starting it again feeds it."""
    platform: str = sys.platform
    if platform in ("linux", "darwin"):
        return FileWatchdog(os.getenv("TALLYSTICK_WATCHDOG_FILE"), os.getenv("TALLYSTICK_WATCHDOG_MS"))
    import machine  # type: ignore[import-not-found]

    return machine.WDT(timeout=PATIENCE_MS_ESP32 if platform == "esp32" else PATIENCE_MS)  # type: ignore[no-any-return]


class FileWatchdog:
    """A file that is as old as the last feeding. Without `patience_ms` nobody looks at it, and there is none."""

    def __init__(self, path: "str | None", patience_ms: "str | None") -> None:
        self._path = path if patience_ms else None
        self.feed()

    def feed(self) -> None:
        if self._path:
            with open(self._path, "w") as file:
                file.write("fed")
