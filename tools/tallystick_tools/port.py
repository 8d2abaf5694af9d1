"""The test port of MicroPython (tools/port): 32 bits, and on the Cortex-M3 every instruction is counted.

How it counts: with `-icount shift=10` each instruction takes 1024 ns of emulated time, 25.6 ticks of the board's
25 MHz timer. Read before and after a call it gives the exact number of instructions (tools/port/modules.c, port.count).
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tallystick_tools.errors import ToolError

CORTEX_M3, I386 = "cortex-m3", "i386"
BUILD = Path(__file__).parents[1] / "build-port"
QEMU = "qemu-system-arm"
TIMEOUT_S = 600  # a script of a few seconds on a busy machine
MACHINE = ("-M", "mps2-an385", "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=10")


def build(board: str, frozen: Path | None = None) -> Path:
    """The program, built when it has to be; ToolError names what is missing.

    `frozen`: a folder of .mpy files that become part of it. Each bears the path that it is imported by.
    """
    if not BUILD.exists():
        raise ToolError("the test port is built from a checkout (tools/build-port), not from an installed package")
    variables = os.environ if frozen is None else {**os.environ, "FROZEN": str(frozen)}
    done = subprocess.run([str(BUILD), board], env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"tools/build-port {board}: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def run(
    board: str,
    script: Path,
    arguments: Sequence[str] = (),
    *,
    modules: Path,
    heap_bytes: int,
    frozen: Path | None = None,
) -> str:
    """What the script prints; it imports from the folder `modules` first. ToolError with the output when it fails."""
    program = str(build(board, frozen))
    words = [str(heap_bytes), str(script), *arguments]
    command = _on_qemu(program, words) if board == CORTEX_M3 else [program, *words]
    try:
        done = subprocess.run(
            command,
            cwd=modules,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ToolError(f"missing program {QEMU}: apt-get install qemu-system-arm") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{script.name} on {board} takes longer than {TIMEOUT_S} s") from None
    if done.returncode:
        raise ToolError(f"{script.name} on {board}: {(done.stdout + done.stderr).strip()[-2000:]}")
    return done.stdout


def _on_qemu(program: str, words: Sequence[str]) -> list[str]:
    """Semihosting gives the words to the program, as options in a comma-separated list."""
    given = "".join(f",arg={word.replace(',', ',,')}" for word in ["micropython", *words])
    return [QEMU, *MACHINE, "-semihosting-config", f"enable=on,target=native{given}", "-kernel", program]
