"""The control socket: one answer for each question, whoever asks and however."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick_edge import control
from tallystick_edge.control import Control, ask
from tallystick_edge.errors import StateError


def do(word: str, about: str) -> tuple[bool, str]:
    return word == "identify", f"{word} {about}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Its path is longer than a socket's address may be."""
    made = tmp_path / ("long" * 30)
    made.mkdir()
    return made


@pytest.fixture
def ear(folder: Path) -> Iterator[Control]:
    made = Control(folder)
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.01):
            made.step(do)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield made
    stop.set()
    thread.join()
    made.close()


@pytest.mark.usefixtures("ear")
def test_an_answer(folder: Path) -> None:
    assert ask(folder, "identify", "x") == (True, "identify x")
    assert ask(folder, "explode", "x") == (False, "explode x")
    assert stat.S_IMODE((folder / control.NAME).stat().st_mode) == 0o700


@pytest.mark.usefixtures("ear")
@pytest.mark.parametrize("request_", [b"", b"{}", b"[1, 2]", b'["identify"]', b"\xff", b'["identify", "' + b"x" * 5000])
def test_junk_is_answered_and_does_no_harm(folder: Path, request_: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection, control._address(folder) as address:
        connection.bind("")
        connection.settimeout(60)
        connection.connect(address)
        connection.send(request_)
        assert json.loads(connection.recv(4096)) == {"done": False, "text": "not a request"}
    assert ask(folder, "identify", "x")[0]


def test_nobody_there(folder: Path, tmp_path: Path) -> None:
    for place in (folder, tmp_path / "none"):
        with pytest.raises(StateError, match="no gateway runs on this folder"):
            ask(place, "identify", "x")


def test_what_a_dead_gateway_left_is_in_nobodys_way(folder: Path) -> None:
    first = Control(folder)
    first._socket.close()
    with pytest.raises(StateError, match="no gateway runs"):
        ask(folder, "identify", "x")
    second = Control(folder)
    second.close()
    assert not (folder / control.NAME).exists()
