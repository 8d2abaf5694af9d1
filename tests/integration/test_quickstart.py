"""docs/quickstart.md, word for word, in two directories: a stranger can start without the demo."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "quickstart.md"
TIMEOUT_S = 600  # the first block installs every package

pytestmark = pytest.mark.alone


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def follow(folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Every block of the page in one shell, in `folder`, which holds a checkout named `tallystick`."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "tallystick")], check=True)
    path = [item for item in os.environ["PATH"].split(os.pathsep) if ".venv" not in item]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"HOME": str(home), "PATH": os.pathsep.join(path)}
    # Job control, so that `jobs -p` means what it means at a prompt; stop at the first command that fails.
    script = "set -em\n" + "\n".join(blocks())
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


@pytest.mark.parametrize("name", ["first", pytest.param("second", marks=pytest.mark.full)])
def test_quickstart_word_for_word(name: str, tmp_path: Path) -> None:
    folder, home = tmp_path / name, tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    done = follow(folder, home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified" in done.stdout
    assert "signed reading 10" in done.stdout
    assert "Traceback" not in done.stderr
    other = subprocess.run(
        [folder / "venv/bin/tallystick", "verify", folder / "reading.zip", "--trust", ROOT / "README.md"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 2
    running = [link for link in living_processes() if Path(link).is_relative_to(folder)]
    assert not running, "something still runs"


def living_processes() -> list[str]:
    """Working directories of all processes that we may look at."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append(str((entry / "cwd").readlink()))
            except OSError:
                continue
    return found
