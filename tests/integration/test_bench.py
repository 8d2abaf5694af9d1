"""`tallystick bench chain` does what its figures claim to measure. How fast that is, no test says."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick_tools import bench_chain, bench_figures
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
            spend()
            spend()
    assert meter.costs["outer"].cpu_s < meter.costs["inner"].cpu_s


def test_blocks_of_one_step_add_up() -> None:
    meter = Meter(4)
    for _ in range(3):
        with meter.step("one", 1):
            spend()
    with meter.step("all"):
        spend()
    assert meter.costs["one"].cpu_s > meter.costs["all"].cpu_s


def spend() -> None:
    sum(number * number for number in range(200_000))


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
