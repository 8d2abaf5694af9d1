"""The node on a pty: it needs MicroPython and says so, survives its gateways, and does not outlive its owner."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tallystick_tools import micropython
from tallystick_tools.errors import NodeError
from tallystick_tools.rig import Cable
from tallystick_tools.simulate import simulate
from tallystick_tools.unix_node import UnixNode


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_without_micropython_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(micropython.INTERPRETER_VARIABLE, str(tmp_path / "none"))
    with UnixNode(tmp_path) as node, pytest.raises(NodeError, match="no micropython: install"):
        node.start()
    assert simulate(tmp_path) == 2
    assert "no micropython" in capsys.readouterr().err


def test_a_node_keeps_its_port_and_its_key_over_a_power_cut(tmp_path: Path) -> None:
    with UnixNode(tmp_path) as node:
        node.start()
        port, pid = node.port, node.pid
        cable = Cable(port)
        key = cable.hello().public_key
        node.kill()
        assert not node.alive
        node.start()
        assert (node.port, node.alive) == (port, True)
        assert node.pid != pid
        assert cable.hello().public_key == key
        cable.close()
        pid = node.pid
    assert gone(pid)


def test_a_node_does_not_outlive_its_owner(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tallystick_tools.unix_node import UnixNode\n"
        "node = UnixNode(Path(sys.argv[1])); node.start(); print(node.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        deadline = time.monotonic() + 20
        while not (tmp_path / "node.log").exists() or "boot 1" not in (tmp_path / "node.log").read_text("utf-8"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(owner.pid, signal.SIGKILL)
    while not gone(pid):
        assert time.monotonic() < deadline, "the node runs on alone"
        time.sleep(0.02)
