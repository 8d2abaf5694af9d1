"""The root command: help pages that show examples, and packages that are not installed."""

import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tallystick_tools import command
from tallystick_tools.command_help import page

DOCSTRING = """Do a thing.

    More words.

    Example:
        tallystick thing one --with a
        --and b
        tallystick thing two

    Parameters
    ----------
    name
        Its name.
    """


def test_examples_are_whole_lines_and_no_section() -> None:
    shown = page(DOCSTRING)
    assert "- `tallystick thing one --with a --and b`\n- `tallystick thing two`" in shown
    assert "Example:\n" not in shown.replace("For example:\n", "")
    assert shown.endswith("Parameters\n----------\nname\n    Its name.")


def test_a_docstring_without_examples_stays() -> None:
    assert page("Do a thing.\n\n    More words.") == "Do a thing.\n\nMore words."


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["gateway", "run"], "tallystick gateway run --config gw/gateway.toml"),
        (["gateway", "run"], "The gateway.toml."),
        (["bench", "chain"], "tallystick bench chain --readings 10000"),
        (["demo", "--seed", "7"], "tallystick demo --once --calm"),
    ],
)
def test_a_command_shows_its_whole_page(
    words: list[str], shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tallystick", *words, "--help"])
    with pytest.raises(SystemExit):
        command.main()
    assert shown in capsys.readouterr().out


def run_without(module: str) -> "subprocess.CompletedProcess[str]":
    """`tallystick cloud status` in a process in which `module` cannot be imported."""
    program = (
        f"import sys; sys.modules[{module!r}] = None; from tallystick_tools import command; "
        "sys.argv = ['tallystick', 'cloud', 'status', '--token-file', 'api.token']; command.main()"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_a_missing_package_is_named_with_its_extra() -> None:
    done = run_without("apsw")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "this command needs the package apsw: pip install 'tallystick[cloud]'\n"


def test_another_fault_is_not_taken_for_a_missing_package() -> None:
    assert "Traceback" in run_without("tallystick_web.show").stderr


def tallystick(*words: str, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tallystick_tools", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["verify"], "tallystick verify: BUNDLE needs a value (see tallystick verify --help)"),
        (["verify", "a", "--trust"], "tallystick verify: --trust needs a value (see tallystick verify --help)"),
        (["verify", "a", "b", "--trust", "t"], "tallystick verify: too many arguments: b (see tallystick"),
        (["verify", "--no-json"], "tallystick verify: Unknown option: --no-json. Did you mean --json?"),
        (["bench", "chain", "--readings", "x"], 'Invalid value for --readings: unable to convert "x" into int'),
        (["trust", "enrol", "node", "k"], 'Invalid value "node" for ROLE'),
        (["clout"], 'tallystick: Unknown command "clout". Did you mean "cloud"?'),
    ],
)
def test_a_wrong_call_is_one_line(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tallystick", *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert "\x1b" not in err


def test_the_version_is_that_of_the_package() -> None:
    assert tallystick("--version").stdout == f"{metadata.version('tallystick')}\n"


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for words in (["node", "simulate", "file"], ["node", "simulate", "file/x"], ["demo", "--once", "--keep", "file/x"]):
        done = tallystick(*words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert done.stderr.startswith("could not run: file"), done.stderr
        assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    program = "import sys; sys.stdout.write('x' * 100_000); raise BrokenPipeError"
    patched = (
        f"from tallystick_tools import command; command._run = lambda words: exec({program!r}); command.main()"
    )
    with subprocess.Popen([sys.executable, "-c", patched], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"the output was closed\n"
        assert process.wait() == 2


@pytest.mark.parametrize(("words", "code"), [(["node", "simulate", "x"], 0), (["demo"], 2), (["verify", "x"], 2)])
def test_told_to_stop_before_it_is_up(words: list[str], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: list[str]) -> None:
        raise KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(command, "_run", interrupted)
    monkeypatch.setattr(sys, "argv", ["tallystick", *words])
    try:
        with pytest.raises(SystemExit) as ended:
            command.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert ended.value.code == code


@pytest.mark.parametrize("line", ["--help", "gateway enrol --help", "verify --help", "verify \u00e9"])
def test_a_terminal_without_unicode_gets_plain_text(line: str) -> None:
    words = line.split()
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "tallystick_tools", *words]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == (0 if "--help" in words else 2), done.stderr
    assert b"Traceback" not in done.stderr
    assert (done.stdout + done.stderr).isascii()
