"""`tallystick bench nfc` does what its figures claim to measure. How fast that is, no test says; counts are held."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_tools import bench_tags, bench_tags_figures
from tallystick_tools.bench_tags import CHIPS, ROUNDS, Spent
from tallystick_tools.errors import BenchError


def bench(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tallystick_tools", "bench", "nfc", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_json_has_its_shape_and_names_the_peer() -> None:
    done = bench("--tags", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told) == {"figures", "machine", "peer"}
    assert told["peer"].startswith("nfcpy ")
    figures = told["figures"]
    assert {"tags_per_minute_424", "tags_per_minute_215", "raw_per_minute", "apdus_per_424"} <= set(figures)
    assert all(math.isfinite(value) and value > 0 for value in figures.values())
    for kind in ("424", "215"):
        assert figures[f"waiting_share_{kind}"] + figures[f"journal_share_{kind}"] < 1
    assert "rounds" in done.stderr


def test_every_tag_of_a_kind_costs_the_same_commands(tmp_path: Path) -> None:
    steps: list[int] = []
    found = bench_tags.rounds(tmp_path, 2, lambda what, done, total: steps.append(done))
    assert steps == list(range(ROUNDS + 1))
    for chip in CHIPS:
        counts = {one[chip].commands for one in found}
        plain = {one[f"raw {chip}"].commands for one in found}
        assert len(counts) == len(plain) == 1
        assert 10 < plain.pop() < 100
        assert 10 < counts.pop() < 100


def test_a_tag_that_is_refused_stops_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_tags, "_tag", lambda chip, number: Ntag21x("NTAG213", bytes(7)))
    with pytest.raises(BenchError, match="ntag424: wrong-chip"):
        bench_tags.rounds(tmp_path, 2, lambda what, done, total: None)


def test_the_figures_are_medians_and_the_ratios_lie_within_a_round() -> None:
    rounds = [
        {chip: Spent(0.1 * load, 0.05 * load, 0.01 * load, 30, {"keys": 0.02 * load}) for chip in CHIPS}
        | {f"raw {chip}": Spent(0.01 * load, commands=10) for chip in CHIPS}
        for load in (1, 2, 10)
    ]
    figures = bench_tags.figures(rounds)
    assert figures["tags_per_minute_424"] == pytest.approx(300)
    assert figures["raw_per_minute"] == pytest.approx(3000)
    assert figures["ratio_215"] == pytest.approx(0.1)
    assert figures["waiting_share_424"] == pytest.approx(0.5)
    assert figures["journal_share_424"] == pytest.approx(0.1)
    assert figures["keys_ms_424"] == pytest.approx(40)
    written = io.StringIO()
    bench_tags_figures.show(Console(file=written, width=100), figures)
    assert "x 0.100" in written.getvalue()
    assert "40.00 ms" in written.getvalue()


@pytest.mark.parametrize("count", ["1", "1001"])
def test_too_few_and_too_many_tags_are_refused(count: str) -> None:
    done = bench("--tags", count)
    assert done.returncode == 2
    assert "from 2 to 1000" in done.stderr
