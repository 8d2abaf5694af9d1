"""A skip that nobody listed is a failure: a test that does not run must not look like one that passes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = 'skip = [{ test = "test_x.py::test_listed", reason = "a program that is not everywhere" }]\n'
TESTS = '''
import pytest


def test_listed():
    pytest.skip("listed")


def test_runs():
    pass


def test_known_fault():
    pytest.xfail("known")


@pytest.mark.skipif(True, reason="by mark")
def test_by_mark():
    pass


def test_in_the_middle():
    pytest.importorskip("no_such_package")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "skips.toml").write_text(LISTED, "utf-8")
    (tmp_path / "test_x.py").write_text(TESTS, "utf-8")
    (tmp_path / "test_whole.py").write_text("import pytest\n\npytest.importorskip('no_such_package')\n", "utf-8")
    return tmp_path


def outcome(folder: Path, *names: str) -> tuple[int, str]:
    """(exit code, the last line without the time) of a pytest run of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, re.sub(r" in [0-9.]+s.*", "", done.stdout.splitlines()[-1])


def test_a_skip_that_is_not_listed_fails(folder: Path) -> None:
    unlisted = ("test_x.py::test_by_mark", "test_x.py::test_runs", "test_x.py::test_in_the_middle")
    assert outcome(folder, *unlisted) == (1, "1 failed, 1 passed, 1 error")


def test_a_module_that_skips_itself_fails(folder: Path) -> None:
    code, last = outcome(folder, "test_whole.py", "test_x.py::test_runs")
    assert (code != 0, last) == (True, "1 error")


def test_a_listed_skip_and_a_known_fault_are_none(folder: Path) -> None:
    names = ("test_x.py::test_listed", "test_x.py::test_runs", "test_x.py::test_known_fault")
    assert outcome(folder, *names) == (0, "1 passed, 1 skipped, 1 xfailed")
