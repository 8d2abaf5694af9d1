"""The page that `tallystick verify --report` writes, in a real Chromium: it needs nothing else, in both languages."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tallystick_tools.verify import verify

if TYPE_CHECKING:
    from small_world import Story

PROGRAM = "chromium"
# No first-run traffic: the page's own requests are what is looked at.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
)


@pytest.fixture(scope="module")
def page(world: "Story", tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "trust.toml").write_text(world.trust.format(), "utf-8")
    (folder / "decision.zip").write_bytes(world.decision_bundle(world.loan, 1))
    assert verify(folder / "decision.zip", trust=folder / "trust.toml", report=folder / "report.html") == 0
    return folder / "report.html"


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Chromium without any network, on an empty profile."""
    program = shutil.which(PROGRAM)
    assert program, "missing program chromium: apt-get install chromium"
    command = ["unshare", "-rn", program, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_page_needs_no_network_and_no_script(page: Path, tmp_path: Path) -> None:
    done = chromium(tmp_path, "--dump-dom", page.as_uri())
    assert done.returncode == 0, done.stderr
    dom = done.stdout
    assert "<polyline" in dom
    assert "What is NOT proved" in dom
    assert "未证明的内容" in dom
    assert "margin call of 300,000.00 CNY" in dom
    assert not re.search(r"<(script|link|iframe|img)\b", dom)
    assert not re.search(r"(src|href)=\"https?:", dom)
    assert "CONSOLE" not in done.stderr, "the browser complained about the page"


def test_page_fits_a_narrow_screen(page: Path, tmp_path: Path) -> None:
    """On a phone the page itself never scrolls sideways; its tables do, inside their own box."""
    frame = tmp_path / "frame.html"
    # The page runs no script: a frame around it, of a phone's width, measures it from outside.
    frame.write_text(
        f"""<iframe id="page" src="{page.as_uri()}" style="width:400px;height:800px;border:0"></iframe>
        <script>onload = () => {{ const d = document.getElementById("page").contentDocument.documentElement;
        document.title = d.scrollWidth + " of " + d.clientWidth; }};</script>""",
        "utf-8",
    )
    done = chromium(tmp_path, "--allow-file-access-from-files", "--dump-dom", frame.as_uri())
    measured = re.search(r"<title>(\d+) of (\d+)</title>", done.stdout)
    assert measured, done.stdout[:500]
    assert int(measured[1]) <= int(measured[2])
