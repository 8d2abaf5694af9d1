"""The root command: help pages that show examples, and packages that are not installed."""

import subprocess
import sys

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
