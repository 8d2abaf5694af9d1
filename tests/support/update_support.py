"""A site that sends updates: its two keys, what they sign, and images of firmware that the unix port can run."""

import random
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

from tallystick_emulators.micropython import firmware_root
from tallystick_fleet import update_manifest
from tallystick_proof import keys
from tallystick_provisioning import offers
from tallystick_provisioning.offers import Offer
from tallystick_wire import image, message

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
BOARD, MPY = "mpy6.3-x64", 2 << 10 | 3 << 8 | 6  # of the unix port, and sys.implementation._mpy of it
CHANCE = random.Random(26)
DOWNLINK = keys.generate(keys.DOWNLINK, CHANCE.randbytes)
FIRMWARE = keys.generate(keys.FIRMWARE, CHANCE.randbytes)
LINK = message.build_link(LINK_KEY, ORIGIN, PEN, DOWNLINK.public_key, FIRMWARE.public_key)
HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def order(
    version: int = 1, *, target: bytes | None = None, days: float = 1, origin: str = ORIGIN
) -> update_manifest.Order:
    return update_manifest.Order(origin, version, now_ms() + int(days * 24 * HOUR_MS), target)


def config(
    settings: str = "interval_ms = 1000",
    ordered: update_manifest.Order | None = None,
    signer: keys.Signer = DOWNLINK,
) -> Offer:
    return offers.offer(update_manifest.config(signer, ordered or order(), settings, CHANCE.randbytes))


def firmware(
    content: bytes,
    ordered: update_manifest.Order | None = None,
    signer: keys.Signer = FIRMWARE,
    board: str | None = None,
) -> Offer:
    data = update_manifest.firmware(signer, ordered or order(), content, CHANCE.randbytes, board)
    return offers.offer(data, [content])


def small_image(count: int = 5, board: str = BOARD, seed: int = 1) -> bytes:
    """An image of some files that are no firmware: for everything but running it."""
    chance = random.Random(seed)
    files = [(f"tallystick_node/part_{number}.py", chance.randbytes(700 + 100 * number)) for number in range(count)]
    return image.build(board, files)


@cache
def whole_image(change: str = "") -> bytes:
    """The firmware of this checkout, as sources; `change` is added to app.py."""
    root = firmware_root()
    paths = sorted(path for package in image.PACKAGES for path in (root / package).glob("*.py"))
    files = []
    for path in paths:
        content = path.read_bytes()
        if path.stem == "app":
            content += change.encode()
        files.append((path.relative_to(root).as_posix(), content))
    return image.build(BOARD, files)


class Slots:
    """A folder for slots that can be looked at."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp())

    def content(self) -> dict[str, bytes]:
        """Every file in it."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}

    def close(self) -> None:
        shutil.rmtree(self.root)
