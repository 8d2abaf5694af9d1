"""The tag loop in a real terminal of 80x24 (tmux): in colour and without, in dumb terminals, in Chinese."""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import until
from tag_support import MAKER_FILE, blank, make_job, make_master, tallystick

from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_udp import UdpTagServer

LONGEST_S = 600  # of one terminal
COLOUR = re.compile(r"\x1b\[[0-9;]*4[1-7]")  # a background


class Terminal:
    """A tmux of its own, 80 columns and 24 rows, with one command in it."""

    def __init__(self, folder: Path, words: list[str], **environment: str) -> None:
        self._socket = str(folder / "tmux")
        told = {name: value for name, value in os.environ.items() if name not in ("TMUX", "LC_ALL", "NO_COLOR")}
        told |= {"LANG": "C.UTF-8", **environment}
        line = f"env {shlex.join(f'{name}={value}' for name, value in environment.items())} {shlex.join(words)}"
        command = f"{line}; echo ended with $?; sleep {LONGEST_S}"
        tmux = ["tmux", "-S", self._socket, "-f", "/dev/null", "-u", "new-session", "-d", "-x", "80", "-y", "24"]
        subprocess.run([*tmux, command], check=True, env=told)

    def lines(self, *more: str) -> list[str]:
        return self._tmux("capture-pane", "-p", *more).splitlines()

    def wait(self, *texts: str) -> str:
        """A picture with all of these in it: a look may fall into the middle of one that is being drawn."""

        def whole() -> str:
            seen = "\n".join(self.lines())
            return seen if all(text in seen for text in texts) else ""

        return str(until(whole, lambda: "\n".join(self.lines())))

    def is_in_colour(self) -> bool:
        return COLOUR.search("\n".join(self.lines("-e"))) is not None

    def press(self, key: str) -> None:
        self._tmux("send-keys", key)

    def close(self) -> None:
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        return subprocess.run(["tmux", "-S", self._socket, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def field() -> Field:
    return Field()


@pytest.fixture
def words(tmp_path: Path, field: Field) -> Iterator[list[str]]:
    """The command line of a job with three rows."""
    make_job(tmp_path / "job", 3)
    make_master(tmp_path)
    (tmp_path / "maker").write_text(MAKER_FILE)
    with UdpTagServer(field) as server:
        yield tallystick(
            "tag", "write", tmp_path / "job", "--reader", server.path, "--keys", tmp_path / "master", "--secret-file",
            tmp_path / "words", "--maker", tmp_path / "maker",
        )  # fmt: skip


def test_a_day_on_an_80x24_terminal(tmp_path: Path, field: Field, words: list[str]) -> None:
    """Hands free: nothing is pressed until the end of the day."""
    first, second = blank("ntag424", 1), blank("ntag424", 2)
    terminal = Terminal(tmp_path, words)
    try:
        terminal.wait("PUT A TAG DOWN", "row 2  serial S0", "冻虾")
        field.put(first)
        terminal.wait("DONE - TAKE IT AWAY", "tag 04000000000001")
        until(terminal.is_in_colour, "green is green here")
        field.remove(None)
        terminal.wait("PUT A TAG DOWN", "done 1/3")
        field.put(first)
        wrong = ("WRONG - TAKE IT AWAY", "this tag is row 2 already: serial S0", "do: take another tag")
        terminal.wait(*wrong, "rejects: duplicate 1")
        time.sleep(1)
        terminal.wait("WRONG - TAKE IT AWAY")  # it holds until the tag is gone
        field.remove(None)
        terminal.wait("PUT A TAG DOWN")
        field.put(second)
        terminal.wait("DONE - TAKE IT AWAY", "s per tag", "left 1")
        terminal.press("C-c")
        seen = terminal.wait("ended with 1")
        assert "2 of 3 written, 1 left, 0 statements wait for the ledger" in seen.splitlines()[:4]
    finally:
        terminal.close()


def test_colours_are_left_out_where_nobody_wants_them(tmp_path: Path, field: Field, words: list[str]) -> None:
    terminal = Terminal(tmp_path, words, NO_COLOR="1")
    try:
        terminal.wait("PUT A TAG DOWN")
        field.put(blank("ntag424", 1))
        terminal.wait("DONE - TAKE IT AWAY")
        assert not terminal.is_in_colour()
    finally:
        terminal.close()


def test_a_dumb_terminal_gets_a_line_a_tag(tmp_path: Path, field: Field, words: list[str]) -> None:
    terminal = Terminal(tmp_path, words, TERM="dumb")
    try:
        terminal.wait("..... 0/3  PUT A TAG DOWN")
        field.put(blank("ntag424", 1))
        terminal.wait("ok    1/3  row 2  serial S0")
    finally:
        terminal.close()


def test_a_chinese_system_gets_a_chinese_screen(tmp_path: Path, field: Field, words: list[str]) -> None:
    terminal = Terminal(tmp_path, words, LANG="zh_CN.UTF-8", PYTHONUTF8="1")
    try:
        terminal.wait("请放上标签")
        field.put(blank("ntag424", 1))
        terminal.wait("完成，请取走", "已完成 1/3")
    finally:
        terminal.close()
