"""Traces a real process, and kills it right before one system call that the trace found.

strace counts only calls on the paths that it is told (-P), in each thread by itself, and SIGKILL is there before the
call runs. -D makes the tracer a grandchild: the process that was started is the traced one, so its pid and its exit
code are the real ones. Without --seccomp-bpf in the killing run: with it strace 6.1 injects no signal.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from patience import until

CALLS = ("fsync", "fdatasync", "pwrite64", "write", "rename", "unlink", "ftruncate", "mkdir")
_CALL = re.compile(r'(\d+) +(\w+)\((?:\d+<([^>]*)>|"([^"]*)")')  # a file descriptor with its path, or a path
_ENDED = re.compile(r"\+\+\+ (exited|killed)[^\n]*\n\Z")

Label = Callable[[str], str | None]  # path -> what kind of file it is; None: not the part's own state


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that changes something; of a rename, `path` is the old name."""

    thread: int
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Point:
    """Where to kill: before the n-th call `name` on one of `paths` in a thread; `label` is for people."""

    name: str
    label: str
    paths: tuple[str, ...]
    n: int

    def __str__(self) -> str:
        return f"{self.name} {self.label} #{self.n}"


def tracer(report: Path) -> list[str]:
    """The words before a command that make strace write every call of CALLS into `report`."""
    return [*_strace(report), "--seccomp-bpf", "-e", f"trace={','.join(CALLS)}"]


def killer(report: Path, point: Point) -> list[str]:
    """The words before a command that kill it at `point`."""
    paths = [word for path in point.paths for word in ("-P", path)]
    inject = f"inject={point.name}:signal=KILL:when={point.n}"
    return [*_strace(report), *paths, "-e", f"trace={point.name}", "-e", inject]


def _strace(report: Path) -> list[str]:
    return ["strace", "-DD", "-f", "-y", "-q", "-e", "signal=KILL,TERM", "-o", str(report)]


def written(report: Path) -> str:
    """All that strace wrote, once it has written the end: the process must have exited."""

    def text() -> str:
        return report.read_text("utf-8", "replace") if report.exists() else ""

    until(lambda: _ENDED.search(text()), lambda: f"strace does not end: {text()[-500:]}")
    return text()


def read(report: Path) -> list[Call]:
    """The calls in the order in which they began, once strace has written the end: the process must have exited."""
    found = map(_CALL.match, written(report).splitlines())
    return [Call(int(one[1]), one[2], one[3] or one[4]) for one in found if one]


def points(calls: Sequence[Call], label: Label) -> list[Point]:
    """Every point that the trace found, kind by kind."""
    paths: dict[tuple[str, str], dict[str, None]] = {}
    counts: Counter[tuple[str, str, int]] = Counter()
    for call in calls:
        if what := label(call.path):
            paths.setdefault((call.name, what), {})[call.path] = None
            counts[call.name, what, call.thread] += 1
    reach: dict[tuple[str, str], int] = {}
    for (name, what, _), count in counts.items():
        reach[name, what] = max(count, reach.get((name, what), 0))
    return [Point(*kind, tuple(paths[kind]), n) for kind, most in reach.items() for n in range(1, most + 1)]


def sample(found: Sequence[Point], size: int, chance: random.Random) -> list[Point]:
    """`size` points in any order: one of every kind, as far as that goes, then others by chance."""
    mixed = chance.sample(found, len(found))
    of_each = {(point.name, point.label): point for point in mixed}
    others = [point for point in mixed if point not in of_each.values()]
    chosen = [*of_each.values(), *others][:size]
    return chance.sample(chosen, len(chosen))
