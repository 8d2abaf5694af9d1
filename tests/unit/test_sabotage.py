"""Every sabotage patch fits the tree as it is, so that a stale one is noticed here and not at the next full run."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted((ROOT / "tests" / "sabotage").glob("*.patch"))
# The product, and the one file beside it that makes promises: no test may be bent to make a patch red.
MAY_BREAK = re.compile(r"(firmware|edge|cloud-sync|provisioning|tools)/.+|conftest\.py")
MAX_CHANGED_LINES = 24  # a patch breaks one promise in one place; more than this is another program


def headers(patch: Path) -> dict[str, str]:
    """`Name: value` lines before the diff."""
    head = patch.read_text("utf-8").partition("diff --git ")[0]
    return dict(line.split(": ", 1) for line in head.splitlines() if line)


def test_there_are_patches() -> None:
    assert len(PATCHES) > 100


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_headers(patch: Path) -> None:
    found = headers(patch)
    assert list(found) == ["Promise", "Test"]
    assert re.fullmatch(r"[A-Z].{10,160}\.", found["Promise"]), "one sentence"
    for node in found["Test"].split(" "):
        name, *inside = node.split("::")
        assert (ROOT / name).is_file(), f"{name} does not exist"
        assert re.match(r"(tests|hil-tests)/.*test_\w+\.py$", name), f"{name} is no file of tests"
        defined = {
            item.name
            for item in ast.walk(ast.parse((ROOT / name).read_text("utf-8")))
            if isinstance(item, ast.FunctionDef | ast.ClassDef)
        }
        for part in inside:
            assert part.partition("[")[0] in defined, f"{node} does not exist"


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_touches_the_product_only(patch: Path) -> None:
    lines = patch.read_text("utf-8").splitlines()
    touched = {line[4:].strip() for line in lines if line.startswith(("--- ", "+++ "))}
    assert touched
    assert all(name[:2] in ("a/", "b/") and MAY_BREAK.fullmatch(name[2:]) for name in touched)
    assert sum(re.match(r"[+-](?![+-]{2} )", line) is not None for line in lines) <= MAX_CHANGED_LINES


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_applies(patch: Path) -> None:
    command = ["git", "apply", "--check", "--whitespace=nowarn", "-C1", str(patch)]  # as break_promises.py
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"{patch.name} is stale:\n{checked.stderr}"


def test_no_two_patches_are_the_same() -> None:
    bodies = [patch.read_text("utf-8").partition("diff --git ")[2] for patch in PATCHES]
    assert len(set(bodies)) == len(bodies)
