"""What `tools/test` runs: style and types, every test, and on request the sabotage patches (break_promises.py).

Each stage yields (passed, failed, skipped); the last line printed is their sum, `N passed, N failed, N skipped`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests import break_promises

ROOT = Path(__file__).resolve().parents[1]
WORKERS = max(2, os.cpu_count() or 2)

Counts = tuple[int, int, int]
Stage = Callable[[], Counts]


def run(*command: str, aside: bool = False) -> bool:
    """Whether it ended well. Aside, beside a run that shows its progress, it says all that it says at its end."""
    line = f"\n== {' '.join(command)}\n"
    if not aside:
        print(line, end="", flush=True)
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    sys.stdout.write(line + done.stdout.decode(errors="replace"))
    sys.stdout.flush()
    return done.returncode == 0


def single(*command: str) -> Counts:
    """One command that counts as one test."""
    return (1, 0, 0) if run(*command, aside=True) else (0, 1, 0)


def pytest(*arguments: str, aside: bool = False) -> Counts:
    """One pytest run, counted from its own JUnit report; a run that died counts as one failure."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        ended_well = run(sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments, aside=aside)
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


def everything(full: bool) -> list[Counts]:
    """Style, types and the tests of whole chains, one after the other, beside all other tests on as many workers."""
    storms = () if full else ("not full",)
    # Modules in the order of their folders: the long ones of hil-tests and tests/crash begin, short ones fill the end.
    spread = ("-n", str(WORKERS), "--dist", "loadscope", "--no-loadscope-reorder")
    in_front: list[Stage] = [partial(pytest, *spread, "-m", " and ".join(["not alone", *storms]))]
    beside: list[Stage] = [
        partial(single, sys.executable, "-m", "ruff", "check", "."),
        partial(single, sys.executable, "-m", "mypy"),
        partial(single, sys.executable, "-m", "mypy", "conftest.py"),  # hil-tests has a conftest too
        partial(pytest, "-m", " and ".join(["alone", *storms]), aside=True),
    ]
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda stages: [stage() for stage in stages], (in_front, beside))
        return [found for stages in done for found in stages]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/test",
        description="Sets itself up and runs every test. The last line is `N passed, N failed, N skipped`.",
        epilog="examples: tools/test | tools/test --full | tools/test --sabotage ack | tools/test -- -k merkle",
    )
    parser.add_argument("--full", action="store_true", help="with the slow storms")
    parser.add_argument("--sabotage", nargs="?", const="", metavar="NAME", help="only the patches (named like NAME)")
    parser.add_argument(
        "--shard", type=break_promises.shard, default=(1, 1), metavar="K/N", help="of the patches every N-th from K on"
    )
    parser.add_argument("pytest", nargs="*", help="arguments for one pytest run instead of everything")
    chosen = parser.parse_args()
    if chosen.sabotage is not None:
        named = break_promises.patches(chosen.sabotage, chosen.shard)
        totals = [break_promises.sabotage(named)] if named else []
    elif chosen.pytest:
        totals = [pytest(*chosen.pytest)]
    else:
        totals = everything(chosen.full)
    passed, failed, skipped = (sum(column) for column in zip(*totals, strict=True)) if totals else (0, 1, 0)
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
