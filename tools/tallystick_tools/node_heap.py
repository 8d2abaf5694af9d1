"""The least heap in which a whole node lives, on qemu's Cortex-M3 (32 bits), from .mpy files, with a link to a broker.

    python -m tallystick_tools.node_heap

Files lie outside the heap, as on a board. Not in it: TLS, Wi-Fi and LittleFS, which the test port does not have.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tallystick_tools import build_firmware, port
from tallystick_tools.errors import ToolError

STEP_KB = 4
LEAST_KB, MOST_KB = 96, 288  # where it is looked for
SCRIPTS = ("__init__", "port_world", "port_node")


@dataclass(frozen=True, slots=True)
class Life:
    """Bytes of heap that the node keeps after import and at the end of its life, and its readings that were acked."""

    after_import_bytes: int
    alive_bytes: int
    acked: int


def compile_node(folder: Path) -> Path:
    """The node as a board has it, and its life; the script that starts it. Nothing is compiled on the board."""
    build_firmware.compile_tree("armv7m", folder, build_firmware.everything())
    package = folder / Path(__file__).parent.name
    package.mkdir()
    for name in SCRIPTS:
        build_firmware.compile_file("armv7m", Path(__file__).with_name(f"{name}.py"), package / f"{name}.mpy")
    script = folder / "start.py"
    script.write_text(f"from {package.name} import port_node\nport_node.main()\n", "utf-8")
    return script


def live(script: Path, heap_kb: int) -> Life:
    """A whole life in that heap; ToolError when it is too small."""
    line = port.run(port.CORTEX_M3, script, modules=script.parent, heap_bytes=heap_kb * 1024)
    return Life(*map(int, line.split()))


def least_kb(script: Path) -> int:
    """In steps of STEP_KB. One step more may by chance be too small all the same: memory breaks in other places."""
    too_small, enough = LEAST_KB, MOST_KB
    while enough - too_small > STEP_KB:
        middle = (too_small + enough) // 2 // STEP_KB * STEP_KB
        try:
            live(script, middle)
            enough = middle
        except ToolError as error:
            if "MemoryError" not in str(error):
                raise
            too_small = middle
    return enough


def main() -> int:
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = compile_node(Path(folder) / "modules")
            life, least = live(script, MOST_KB), least_kb(script)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"least heap {least} KB; after import {life.after_import_bytes:,} bytes, alive {life.alive_bytes:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
