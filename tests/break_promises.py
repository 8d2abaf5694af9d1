"""What `tools/test --sabotage` runs: break one promise after the other in a copy; its named test must go red.

The patches in tests/sabotage say at their head which promise they break and which test must notice.
"""

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SABOTAGE = ROOT / "tests" / "sabotage"
SOURCE_FOLDERS = ("firmware", "cloud-sync", "provisioning", "edge", "tools")
TIMEOUT_S = 600  # a named test that hangs under its patch counts as "did not go red"
UNBROKEN_S = 10  # more for each named test that runs unbroken beside the others: most take one, some fifty
WORKERS = 2  # patches at a time: most of what they name runs on one core
# One line of context is enough: a change nearby does not make a patch stale, a change of what it breaks does.
GIT_APPLY = ("git", "apply", "--whitespace=nowarn", "-C1")


def patches(name: str, shard: tuple[int, int] = (1, 1)) -> list[Path]:
    """Those whose names contain `name`; of them every N-th, from the K-th on, for a shard (K, N)."""
    which, of = shard
    return [path for path in sorted(SABOTAGE.glob("*.patch")) if name in path.name][which - 1 :: of]


def shard(text: str) -> tuple[int, int]:
    """(2, 3) of "2/3". ValueError for anything else."""
    which, of = (int(part) for part in text.split("/"))
    if not 1 <= which <= of:
        raise ValueError(text)
    return which, of


def header(patch: Path, name: str) -> str:
    """The value of a `Name: value` line at the head of a patch."""
    for line in patch.read_text("utf-8").splitlines():
        if line.startswith(f"{name}: "):
            return line.partition(": ")[2].strip()
    raise SystemExit(f"{patch.name}: no line `{name}: ...` at its head")


def sabotage(chosen: list[Path]) -> tuple[int, int, int]:
    """(red as they must be, not red, 0). Two patches at a time, and all named tests once where nothing is broken."""
    print(f"\n== sabotage: {len(chosen)} patches", flush=True)
    numbers = itertools.count(1)

    def told(red: bool, seconds: float, text: str) -> None:
        say(f"{'red' if red else 'NOT RED':7} {seconds:5.1f} s  [{next(numbers)}/{len(chosen)}] {text}")

    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder, ThreadPoolExecutor(WORKERS) as pool:
        tree = Path(folder) / "tree"
        copy_tree(tree)
        unbroken = pool.submit(green_when_unbroken, tree, chosen)
        verdicts = list(pool.map(lambda patch: sabotage_one(tree, patch, told), chosen))
        green = unbroken.result()
    wrong = [patch.stem for patch, red in zip(chosen, verdicts, strict=True) if not red]
    if wrong:
        say(f"not red: {' '.join(wrong)}")
    return verdicts.count(True), len(wrong) + (not green), 0


def copy_tree(destination: Path) -> None:
    """What git tracks, as it stands in the working tree, with the bytecode that lies beside it."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0")
    for name in filter(None, names):
        source, target = ROOT / name.decode(), destination / name.decode()
        if source.exists():
            copy_file(source, target)
            if source.suffix == ".py":
                # Python takes it only while time and size of the source are the same, so never for what a patch broke.
                compiled, beside = (Path(importlib.util.cache_from_source(str(path))) for path in (source, target))
                if compiled.exists():
                    copy_file(compiled, beside)


def copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def green_when_unbroken(tree: Path, chosen: list[Path]) -> bool:
    """Whether the named tests pass in a copy without any patch: else their red would say nothing about a promise."""
    tests = sorted({test for patch in chosen for test in header(patch, "Test").split()})
    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder:
        copy, timeout_s = Path(folder) / "copy", TIMEOUT_S + UNBROKEN_S * len(tests)
        code, seconds, output = run_in_copy(tree, copy, None, *tests, timeout_s=timeout_s)
    if code == 0:
        say(f"green   {seconds:5.1f} s  {len(tests)} named tests without any patch")
        return True
    say(f"RED UNBROKEN pytest exit {code} after {seconds:.1f} s without any patch\n{gist(output)}")
    return False


def sabotage_one(tree: Path, patch: Path, told: Callable[[bool, float, str], None]) -> bool:
    """Whether the test that the patch names goes red (pytest exit 1) because of it. One line says so, whole at once."""
    test = header(patch, "Test")
    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder:
        code, seconds, output = run_in_copy(tree, Path(folder) / "copy", patch, "-x", *test.split())
    why = f"pytest exit {code} of {test}" if code is not None else "stale, it does not apply any more"
    told(code == 1, seconds, f"{patch.stem}: " + (header(patch, "Promise") if code == 1 else f"{why}\n{gist(output)}"))
    return code == 1


def run_in_copy(
    tree: Path, copy: Path, patch: Path | None, *arguments: str, timeout_s: float = TIMEOUT_S
) -> tuple[int | None, float, str]:
    """(pytest's exit code, seconds, output) in a copy of `tree` that is broken by `patch`.

    Code None when the patch does not apply, -1 when pytest had to be stopped, with all that it had started.
    """
    subprocess.run(["cp", "-a", "--reflink=auto", str(tree), str(copy)], check=True)
    if patch:
        applied = subprocess.run([*GIT_APPLY, str(patch)], cwd=copy, check=False, capture_output=True, text=True)
        if applied.returncode:
            return None, 0.0, applied.stderr
    # PYTHONPATH stands before the editable install, so the copy's code is the code under test, in subprocesses too.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(copy / name) for name in SOURCE_FOLDERS)}
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={copy.parent / 'tmp'}"]
    if not any(uses_hypothesis(copy / name.partition("::")[0]) for name in arguments):
        options += ["-p", "no:hypothesispytest"]  # it costs more than most of the tests that are named
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    start = time.monotonic()
    with subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, code = process.communicate()[0], -1
    return code, time.monotonic() - start, output.decode(errors="replace")


def uses_hypothesis(path: Path) -> bool:
    return path.is_file() and "hypothesis" in path.read_text("utf-8")


def say(text: str) -> None:
    """One write for each patch, so that the lines of two at a time do not mix."""
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def gist(output: str) -> str:
    """What a reader of a pytest run wants first: what failed and why, then how it ended."""
    lines = output.splitlines()
    why = [line for line in lines if line.startswith(("E  ", "FAILED ", "ERROR "))]
    return "\n".join([*why[:40], "...", *lines[-20:]])
