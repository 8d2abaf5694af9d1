"""`pip install .` without extras verifies bundles, decisions included, and names the extra that anything else needs."""

import subprocess
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from small_world import Story

ROOT = Path(__file__).resolve().parents[2]
NOT_IN_THE_BASE = ("apsw", "cbor2", "httpx", "litestar", "msgspec", "serial", "uvicorn", "zstandard")

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the base install of a clean clone."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "-c", "constraints.txt", "."]
    subprocess.run(pip, check=True, cwd=folder / "clone", timeout=600)
    return python


def run(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [python, "-m", "tallystick_tools", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=python.parent, timeout=120)


def test_base_is_small(base: Path) -> None:
    for name in NOT_IN_THE_BASE:
        assert subprocess.run([base, "-c", f"import {name}"], capture_output=True, check=False).returncode == 1, name


def test_base_verifies_every_kind_of_bundle(base: Path, world: "Story", tmp_path: Path) -> None:
    (tmp_path / "trust.toml").write_text(world.trust.format(), "utf-8")
    bundles = {
        "reading": world.reading_bundle("node-a", 2),
        "window": world.window_bundle("node-b", 3, 8),
        "decision": world.decision_bundle(world.loan, 1),
    }
    for kind, data in bundles.items():
        path = tmp_path / f"{kind}.zip"
        path.write_bytes(data)
        done = run(base, "verify", path, "--trust", tmp_path / "trust.toml")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith("verified")


@pytest.mark.parametrize(
    ("words", "extra"),
    [(["gateway", "run", "--config", "x"], "edge"), (["cloud", "init", "x", "--origin", "y"], "cloud")],
)
def test_what_is_missing_is_named(base: Path, words: list[str], extra: str) -> None:
    done = run(base, *words)
    assert done.returncode == 2
    assert f"tallystick[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


