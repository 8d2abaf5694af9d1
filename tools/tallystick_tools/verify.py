"""`tallystick verify`: reads two files, opens no socket, and answers with an exit code.

0 verified (remarks are listed), 1 not verified (the first broken link is named), 2 cannot tell (what is missing).
"""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from json import dumps
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TaskID
from rich.text import Text

from tallystick_proof.archive import MAX_ARCHIVE_BYTES
from tallystick_proof.errors import CannotTell, TrustError
from tallystick_proof.evidence import Progress, no_progress
from tallystick_proof.trust import MAX_TRUST_BYTES, Trust
from tallystick_provisioning import whole_file
from tallystick_provisioning.errors import FileError
from tallystick_tools import verify_report, verify_text
from tallystick_tools.outcome import CANNOT_TELL, Expectation, Outcome, walk
from tallystick_tools.verify_text import plain

_STYLES = {0: "bold green", 1: "bold red", 2: "bold yellow"}


def verify(
    bundle: Path,
    *,
    trust: Path,
    expect: str | None = None,
    json: bool = False,
    report: Path | None = None,
    force: bool = False,
    unwitnessed_ok: bool = False,
) -> int:
    """Check a bundle offline, back to the sensor's signature.

    Exit code 0: verified, perhaps with remarks. 1: not verified, the first broken link is named. 2: cannot tell.

    Example:
        tallystick verify reading.zip --trust trust.toml
        tallystick verify decision.zip --trust trust.toml --report report.html

    Parameters
    ----------
    bundle
        The bundle, a ZIP file.
    trust
        trust.toml: the authorities and witnesses you believe. Nothing inside the bundle is believed.
    expect
        What it must be about: reading=THUMBPRINT/SEQ, decision=IDENTITY or item=NAME.
    json
        Print one JSON object instead of text.
    report
        Also write one HTML page that needs nothing else.
    force
        Write over a file that is there already.
    unwitnessed_ok
        Accept a ledger for which no witnesses vouch, with a remark.
    """
    # A terminal without the letters of a name must not turn a verdict into a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        outcome = _outcome(bundle, trust, expect, unwitnessed_ok)
        if report is not None:
            outcome = _written(report, outcome, force)
        if json:
            print(dumps(verify_text.as_json(outcome)))
        else:
            _show(outcome)
        sys.stdout.flush()
        return outcome.code
    except KeyboardInterrupt:
        reason = "interrupted"
    except OSError as error:
        # Standard output is closed or full: nobody has seen the verdict. Python must not try again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reason = f"the verdict could not be written: {error.strerror}"
    except Exception as error:  # noqa: BLE001 (the last line: a defect of this program must not look like a verdict)
        reason = f"this program failed: {type(error).__name__}: {error}"
    print(f"cannot tell: {plain(reason)}", file=sys.stderr)
    if json:
        print(dumps(verify_text.as_json(Outcome(missing=reason))))
    return CANNOT_TELL


def _outcome(bundle: Path, trust: Path, expect: str | None, unwitnessed_ok: bool) -> Outcome:
    """The verdict on the file, also when a file cannot be read."""
    try:
        expectation = None if expect is None else Expectation.parse(expect)
        trusted = _trust(trust)
        data = _read(bundle, MAX_ARCHIVE_BYTES)
    except CannotTell as error:
        return Outcome(missing=error.what)
    with _progress(len(data)) as progress:
        return walk(
            data,
            trusted,
            expect=expectation,
            unwitnessed_ok=unwitnessed_ok,
            now_ms=time.time_ns() // 1_000_000,
            progress=progress,
        )


def _trust(path: Path) -> Trust:
    try:
        return Trust.parse(_read(path, MAX_TRUST_BYTES).decode())
    except UnicodeDecodeError:
        raise CannotTell(f"{path} is not UTF-8") from None
    except TrustError as error:
        raise CannotTell(f"{path}: {error}") from None


def _read(path: Path, most: int) -> bytes:
    """The file, or one byte more than `most` of it, which its reader then refuses."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except (OSError, ValueError) as error:
        raise CannotTell(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def _written(path: Path, outcome: Outcome, force: bool) -> Outcome:
    """The outcome, or why its page could not be written: then nobody may rely on what was asked for."""
    try:
        whole_file.write_output(path, [verify_report.page(outcome).encode()], force=force)
    except FileError as error:
        return Outcome(missing=str(error))
    except (OSError, ValueError) as error:
        return Outcome(missing=f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
    return outcome


@contextmanager
def _progress(size: int) -> Iterator[Progress]:
    """A bar on the error stream while a person waits: from a megabyte on, which takes about a second."""
    if size < 1 << 20 or not sys.stderr.isatty():
        yield no_progress
        return
    with Bar(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def step(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield step


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """rich would exit with 1 here, which means "not verified"."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _show(outcome: Outcome) -> None:
    """Text objects only: markup in a name stays text."""
    console = _Console(highlight=False, soft_wrap=True, emoji=False)

    def line(text: str, style: str = "") -> None:
        console.print(Text(text, style=style))

    line(outcome.headline, _STYLES[outcome.code])
    if outcome.broken is not None:
        line(f"broken link: {outcome.broken[0]}", "red")
        line(f"  {plain(outcome.broken[1])}")
    if outcome.missing is not None:
        line(f"  {plain(outcome.missing)}")
    if outcome.verified is None:
        return
    verified = outcome.verified
    line(f"{verify_text.subject(verified)}\n")
    for step in verified.steps:
        line(f"  ok  {step.link:<12} {plain(step.text)}")
    for title, lines in (
        ("proved", verify_text.proved(outcome)),
        ("remarks", [plain(remark.text) for remark in verified.remarks]),
        ("NOT proved", verify_text.not_proved(verified)),
    ):
        if lines:
            line(f"\n{title}", "bold")
        for text in lines:
            line(f"  {text}" if text.startswith(" ") else f"- {text}")
