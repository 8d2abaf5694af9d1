"""The least heap in which a whole node lives, on qemu's Cortex-M3 (32 bits), with a link to a broker.

    python -m tallystick_tools.node_heap [--frozen]

From .mpy files, which a board reads into its heap; with --frozen the code is part of the program, as in the flash of a
board whose MicroPython was built with firmware/manifest.py. Files lie outside the heap, as on a board. Three lives:
nothing but readings; firmware is offered, loaded, verified and installed between them; firmware is on trial. Not in it:
TLS, Wi-Fi and LittleFS, which the test port does not have.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tallystick_emulators.micropython import firmware_root
from tallystick_fleet import update_manifest
from tallystick_proof import keys
from tallystick_provisioning import offers
from tallystick_tools import build_firmware, port
from tallystick_tools.errors import ToolError
from tallystick_wire import transfer

STEP_KB = 4
LEAST_KB, MOST_KB = 32, 288  # where it is looked for
SCRIPTS = ("__init__", "port_files", "port_world", "port_node")
PLAIN, OFFER, TRIAL = "plain", "offer", "trial"  # lives, as port_node knows them
LIVES = {PLAIN: "readings only", OFFER: "with firmware loaded", TRIAL: "on trial"}
ARCHITECTURE = "armv7m"
LINK_KEY = bytes(32)  # as port_node's
ORDER = update_manifest.Order("ledger.example/cold-store", 7, expires_ms=2)
HOST_TIME_MS = 1


@dataclass(frozen=True, slots=True)
class Life:
    """Bytes of heap that the node keeps after import and at the end of its life, and its readings that were acked."""

    after_import_bytes: int
    alive_bytes: int
    acked: int


@dataclass(frozen=True, slots=True)
class Program:
    """What runs a life: the script and the modules beside it, and those that are frozen into the port."""

    script: Path
    frozen: Path | None


def compile_node(folder: Path, is_frozen: bool = False) -> Program:
    """The node as a board has it, its lives, and an update for it. Nothing is compiled on the board."""
    modules, whole = folder / "modules", folder / "whole"
    build_firmware.compile_tree(ARCHITECTURE, whole, build_firmware.installed())
    modules.mkdir()
    if is_frozen:
        _compile_frozen(folder / "frozen")
    else:
        build_firmware.compile_tree(ARCHITECTURE, modules, build_firmware.everything())
    package = modules / Path(__file__).parent.name
    package.mkdir()
    for name in SCRIPTS:
        build_firmware.compile_file(ARCHITECTURE, Path(__file__).with_name(f"{name}.py"), package / f"{name}.mpy")
    _write_update(modules, build_firmware.image_of(whole, ARCHITECTURE))
    script = modules / "start.py"
    script.write_text(f"import sys\nfrom {package.name} import port_node\nport_node.main(sys.argv[1])\n", "utf-8")
    return Program(script, folder / "frozen" if is_frozen else None)


def live(program: Program, heap_kb: int, kind: str = PLAIN) -> Life:
    """A whole life in that heap; ToolError when it is too small."""
    modules, heap_bytes = program.script.parent, heap_kb * 1024
    line = port.run(
        port.CORTEX_M3, program.script, [kind], modules=modules, heap_bytes=heap_bytes, frozen=program.frozen
    )
    return Life(*map(int, line.split()))


def least_kb(program: Program, kind: str = PLAIN) -> int:
    """In steps of STEP_KB. One step more may by chance be too small all the same: memory breaks in other places."""
    return _least(lambda heap_kb: _fits(program, heap_kb, kind))


def _least(fits: Callable[[int], bool]) -> int:
    too_small, enough = LEAST_KB, MOST_KB
    while enough - too_small > STEP_KB:
        middle = (too_small + enough) // 2 // STEP_KB * STEP_KB
        if fits(middle):
            enough = middle
        else:
            too_small = middle
    return enough


def _fits(program: Program, heap_kb: int, kind: str) -> bool:
    try:
        live(program, heap_kb, kind)
    except ToolError as error:
        if "MemoryError" not in str(error):
            raise
        return False
    return True


def _compile_frozen(folder: Path) -> None:
    for module in build_firmware.installed():
        if "/" in module:  # main.py is no module: the life starts the node itself
            target = (folder / module).with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            build_firmware.compile_file(ARCHITECTURE, firmware_root() / module, target, module)


def _write_update(folder: Path, image: bytes) -> None:
    """The messages that a host would send, each in a file: the offer, and a chunk for every want."""
    signer = keys.generate(keys.FIRMWARE, lambda count: bytes(count))
    one = offers.offer(update_manifest.firmware(signer, ORDER, image, lambda count: bytes(count)), [image])
    folder.joinpath("key").write_bytes(signer.public_key)
    folder.joinpath("offer").write_bytes(transfer.build_offer(LINK_KEY, HOST_TIME_MS, one.data))
    for index in range(-transfer.list_pieces(one.manifest.chunk_count), one.manifest.chunk_count):
        piece = one.piece(index)
        if piece is not None:
            folder.joinpath(f"want{index}").write_bytes(transfer.build_chunk(one.manifest.identity, index, piece))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tallystick_tools.node_heap", description=__doc__)
    parser.add_argument("--frozen", action="store_true", help="the node's code is part of the program")
    is_frozen = parser.parse_args().frozen
    try:
        with tempfile.TemporaryDirectory() as folder:
            program = compile_node(Path(folder), is_frozen)
            for kind, text in LIVES.items():
                life, least = live(program, MOST_KB, kind), least_kb(program, kind)
                kept = f"after import {life.after_import_bytes:,} bytes, alive {life.alive_bytes:,}"
                print(f"{text}: least heap {least} KB; {kept}", flush=True)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
