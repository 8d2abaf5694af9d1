"""What `tools/test` runs: style and types, every test, and on request the sabotage patches.

Each stage yields (passed, failed, skipped); the last line printed is their sum, `N passed, N failed, N skipped`.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SABOTAGE = ROOT / "tests" / "sabotage"
SOURCE_FOLDERS = ("firmware", "cloud-sync", "provisioning", "edge", "tools")
SABOTAGE_TIMEOUT_S = 600  # a named test that hangs under its patch counts as "did not go red"
SABOTAGE_WORKERS = 2  # patches at a time: most of what they name runs on one core
# One line of context is enough: a change nearby does not make a patch stale, a change of what it breaks does.
GIT_APPLY = ("git", "apply", "--whitespace=nowarn", "-C1")

Counts = tuple[int, int, int]


def run(*command: str) -> bool:
    print(f"\n== {' '.join(command)}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def single(*command: str) -> Counts:
    """One command that counts as one test."""
    return (1, 0, 0) if run(*command) else (0, 1, 0)


def pytest(*arguments: str) -> Counts:
    """One pytest run, counted from its own JUnit report; a run that died counts as one failure."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        ended_well = run(sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments)
        if not report.exists():
            return 0, 1, 0
        passed, failed, skipped = counts(report)
    if not ended_well and not failed:
        failed = 1
    return passed, failed, skipped


def counts(report: Path) -> Counts:
    # Our own file, written a moment ago by pytest.
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total, failures, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return total - failures - errors - skipped, failures + errors, skipped


def everything(full: bool) -> list[Callable[[], Counts]]:
    storms = () if full else ("not full",)
    # Tests that start whole chains want both cores: they run alone afterwards.
    return [
        partial(single, sys.executable, "-m", "ruff", "check", "."),
        partial(single, sys.executable, "-m", "mypy"),
        partial(single, sys.executable, "-m", "mypy", "conftest.py"),  # hil-tests has a conftest too
        partial(pytest, "-n", "2", "--dist", "loadscope", "-m", " and ".join(["not alone", *storms])),
        partial(pytest, "-m", " and ".join(["alone", *storms])),
    ]


def patches() -> list[Path]:
    return sorted(SABOTAGE.glob("*.patch"))


def header(patch: Path, name: str) -> str:
    """The value of a `Name: value` line at the head of a patch."""
    for line in patch.read_text("utf-8").splitlines():
        if line.startswith(f"{name}: "):
            return line.partition(": ")[2].strip()
    raise SystemExit(f"{patch.name}: no line `{name}: ...` at its head")


def copy_tree(destination: Path) -> None:
    """What git tracks, as it stands in the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0")
    for name in filter(None, names):
        source, target = ROOT / name.decode(), destination / name.decode()
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def sabotage(chosen: list[Path]) -> Counts:
    """Break one promise after the other, two at a time, each in a copy of its own; its named test must go red."""
    print(f"\n== sabotage: {len(chosen)} patches", flush=True)
    with ThreadPoolExecutor(SABOTAGE_WORKERS) as pool:
        unbroken = pool.submit(green_when_unbroken, chosen)
        verdicts = list(pool.map(sabotage_one, chosen))
    return verdicts.count(True), verdicts.count(False) + (not unbroken.result()), 0


def green_when_unbroken(chosen: list[Path]) -> bool:
    """Whether the named tests pass in a copy without any patch: else their red would say nothing about a promise."""
    tests = sorted({test for patch in chosen for test in header(patch, "Test").split()})
    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder:
        copy = Path(folder) / "copy"
        copy_tree(copy)
        code, seconds, output = run_in_copy(copy, *tests)
    if code == 0:
        say(f"green {seconds:5.1f} s  {len(tests)} named tests without any patch")
        return True
    say(f"RED UNBROKEN pytest exit {code} after {seconds:.1f} s without any patch\n{gist(output)}")
    return False


def sabotage_one(patch: Path) -> bool:
    """Whether the test that the patch names goes red (pytest exit 1) because of it. One line says so, whole at once."""
    test = header(patch, "Test")
    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder:
        copy = Path(folder) / "copy"
        copy_tree(copy)
        applied = subprocess.run(
            [*GIT_APPLY, str(patch)], cwd=copy, check=False, capture_output=True, text=True
        )
        if applied.returncode:
            say(f"STALE        {patch.stem}: does not apply any more\n{applied.stderr}")
            return False
        code, seconds, output = run_in_copy(copy, "-x", *test.split())
    if code == 1:
        say(f"red   {seconds:5.1f} s  {patch.stem}: {header(patch, 'Promise')}")
        return True
    say(f"NOT RED      {patch.stem}: pytest exit {code} after {seconds:.1f} s of {test}\n{gist(output)}")
    return False


def say(text: str) -> None:
    """One write for each patch, so that the lines of two at a time do not mix."""
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def gist(output: str) -> str:
    """What a reader of a pytest run wants first: what failed and why, then how it ended."""
    lines = output.splitlines()
    why = [line for line in lines if line.startswith(("E  ", "FAILED ", "ERROR "))]
    return "\n".join([*why[:40], "...", *lines[-20:]])


def run_in_copy(copy: Path, *arguments: str) -> tuple[int, float, str]:
    """(pytest's exit code, seconds, output); code -1 when it had to be stopped, with all that it had started."""
    # PYTHONPATH stands before the editable install, so the copy's code is the code under test, in subprocesses too.
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(copy / name) for name in SOURCE_FOLDERS),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    folder = f"--basetemp={copy.parent / 'tmp'}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder, *arguments]
    start = time.monotonic()
    with subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=SABOTAGE_TIMEOUT_S)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, code = process.communicate()[0], -1
    return code, time.monotonic() - start, output.decode(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/test",
        description="Sets itself up and runs every test. The last line is `N passed, N failed, N skipped`.",
        epilog="examples: tools/test | tools/test --full | tools/test --sabotage ack | tools/test -- -k merkle",
    )
    parser.add_argument("--full", action="store_true", help="with the slow storms")
    parser.add_argument("--sabotage", nargs="?", const="", metavar="NAME", help="only the patches (named like NAME)")
    parser.add_argument("pytest", nargs="*", help="arguments for one pytest run instead of everything")
    chosen = parser.parse_args()
    stages: list[Callable[[], Counts]]
    if chosen.sabotage is not None:
        named = [patch for patch in patches() if chosen.sabotage in patch.name]
        stages = [partial(sabotage, named)] if named else []
    elif chosen.pytest:
        stages = [partial(pytest, *chosen.pytest)]
    else:
        stages = everything(chosen.full)
    totals = [stage() for stage in stages]
    passed, failed, skipped = (sum(column) for column in zip(*totals, strict=True)) if totals else (0, 1, 0)
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
