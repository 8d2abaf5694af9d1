"""Boards on ptys for the tests of `node provision`: blank ones, a site to enrol them in, compiled firmware."""

import subprocess
import sys
from pathlib import Path

from tallystick_proof import keys, note
from tallystick_tools import build_firmware

ORIGIN = "ledger.example/log"


def make_site(folder: Path) -> Path:
    """A site made by `trust init`, for a ledger that nobody serves: enrolments wait in the outbox."""
    ledger = keys.generate(keys.LEDGER, lambda count: bytes(range(count)))
    vkey = folder / "ledger.vkey"
    vkey.write_text(note.VerifierKey(ORIGIN, note.TYPE_ED25519, ledger.public_key).vkey + "\n", "utf-8")
    site = folder / "site"
    tallystick("trust", "init", str(site), "--ledger-vkey", str(vkey), "--unwitnessed")
    return site


def make_firmware(folder: Path) -> Path:
    """The node compiled for this computer, as tools/build-firmware does it for a board."""
    tree = folder / "x64"
    build_firmware.compile_tree("x64", tree, [*build_firmware.everything(), "main.py"])
    return tree


def tallystick(*words: str, code: int = 0) -> str:
    """The output of a command that must end with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "tallystick_tools", *words], capture_output=True, text=True, timeout=540, check=False
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def make_offer(site: Path, folder: Path, name: str, image: bytes) -> Path:
    """`image` signed for every node of the site; the offer's file, the image beside it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.image"
    path.write_bytes(image)
    offer = path.with_suffix(".offer")
    words = ["--key", str(site / "firmware.key"), "--trust", str(site / "trust.toml"), "--out", str(offer)]
    tallystick("node", "sign-firmware", str(path), *words)
    return offer
