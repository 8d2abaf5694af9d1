"""The commands of a day with boards, and an offer of firmware made with them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_S = 600  # of one command with some boards: the product itself waits minutes for one before it gives it up
CALM, HURRY = 1 / 2, 30  # how many times as fast as the clock a BenchClock runs


def tallystick(*words: str, code: int = 0) -> str:
    """The output of a command that must end with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "tallystick_tools", *words],
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@contextmanager
def running(*words: object, stdin: int | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A command while it runs. However the test ends, it ends too: no test waits for a command for ever."""
    command = [sys.executable, "-m", "tallystick_tools", *map(str, words)]
    with subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def make_offer(site: Path, folder: Path, name: str, image: bytes) -> Path:
    """`image` signed for every node of the site; the offer's file, the image beside it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.image"
    path.write_bytes(image)
    offer = path.with_suffix(".offer")
    words = ["--key", str(site / "firmware.key"), "--trust", str(site / "trust.toml"), "--out", str(offer)]
    tallystick("node", "sign-firmware", str(path), *words)
    return offer


class BenchClock:
    """By it the product loses patience with a board: late, on a busy machine; and soon, once its time `ends`."""

    def __init__(self) -> None:
        self._end_s: float | None = None

    def ends(self) -> None:
        """Nobody answers any more."""
        self._end_s = time.monotonic()

    def __call__(self) -> float:
        now_s = time.monotonic()
        end_s = now_s if self._end_s is None else self._end_s
        return CALM * end_s + HURRY * (now_s - end_s)
