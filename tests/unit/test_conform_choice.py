"""The conformance port answers in the interpreter that it was asked for, or not at all."""

from pathlib import Path

import pytest

from tallystick_emulators import micropython
from tallystick_tools import conform, conform_node
from tallystick_tools.errors import ConformError


@pytest.mark.parametrize("suite", conform_node.SUITES)
def test_without_micropython_nothing_answers_in_its_place(
    suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(micropython.INTERPRETER_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(ConformError, match="no MicroPython found"):
        conform.choose(suite, "micropython")
    assert conform.main([suite, "--on", "micropython"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no MicroPython found" in shown.err
