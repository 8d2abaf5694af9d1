"""Where the real MicroPython is on this machine, and how a program is started in it."""

import os
import shutil
import sys
from pathlib import Path

import tallystick_wire

INTERPRETER_VARIABLE = "TALLYSTICK_MICROPYTHON"


def find() -> str | None:
    """The interpreter: named by the variable, beside this Python, or on PATH; None when there is none."""
    named = os.environ.get(INTERPRETER_VARIABLE)
    candidates = [named] if named else [str(Path(sys.executable).with_name("micropython")), "micropython"]
    return next((path for path in map(shutil.which, candidates) if path), None)


def firmware_root() -> Path:
    """The folder that a node mounts: it holds tallystick_wire and tallystick_node."""
    return Path(tallystick_wire.__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """This process's environment, with the node's own packages on MicroPython's path, behind what is frozen into it."""
    return {**os.environ, "MICROPYPATH": f".frozen:{firmware_root()}"}
