"""The commands of a day with boards, and an offer of firmware made with them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def tallystick(*words: str, code: int = 0) -> str:
    """The output of a command that must end with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "tallystick_tools", *words], capture_output=True, text=True, timeout=540, check=False
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
