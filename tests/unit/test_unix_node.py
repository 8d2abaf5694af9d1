"""The node on a pty: it needs MicroPython and says so, survives its gateways, and does not outlive its owner."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S, until

from tallystick_emulators import micropython
from tallystick_emulators.errors import NodeError
from tallystick_emulators.unix_node import UnixNode
from tallystick_tools.rig import Cable
from tallystick_tools.simulate import simulate
from tallystick_wire import message

MANY_S = 600.0  # for thousands of readings, each signed and written by itself


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


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"seed": 0}, "--seed must be"),
        ({"interval_ms": 0}, "--interval-ms must be from 10"),
        ({"sensors": ""}, "--sensors must be some of sht3x"),
        ({"sensors": "sht3x sht3x"}, "--sensors must be some of sht3x"),
        ({"sensors": "thermometer"}, "--sensors must be some of sht3x"),
        ({"fault": "broken,1,2"}, "--fault must be one of silent"),
        ({"fault": "silent"}, "--fault must be one of silent"),
        ({"fault": "silent,1,x"}, "--fault must be one of silent"),
        ({"interval_ms": -5}, "--interval-ms must be from 10"),
        ({"excursion": "30"}, "--excursion must be START_S,DURATION_S"),
        ({"excursion": "-1,5"}, "--excursion must be"),
    ],
)
def test_wrong_options_are_named(
    tmp_path: Path, options: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(tmp_path / "node", **options) == 2
    out, err = capsys.readouterr()
    assert (out, complaint in err) == ("", True)
    assert not (tmp_path / "node").exists()


def test_somebodys_file_is_not_replaced_by_the_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "port").write_text("mine")
    assert simulate(tmp_path) == 2
    assert "move it away" in capsys.readouterr().err
    assert (tmp_path / "port").read_text() == "mine"


def simulation(folder: Path) -> "subprocess.Popen[str]":
    """`node simulate` that has told its port."""
    command = [sys.executable, "-m", "tallystick_tools", "node", "simulate", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"port {folder}/port\n"
    return process


def test_sigterm_ends_it_with_0_and_leaves_no_link(tmp_path: Path) -> None:
    process = simulation(tmp_path)
    assert (tmp_path / "port").is_symlink()
    process.terminate()
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, ""), out
    assert not (tmp_path / "port").is_symlink()


def test_two_nodes_never_share_a_flash(tmp_path: Path) -> None:
    process = simulation(tmp_path)
    cable = Cable(os.readlink(tmp_path / "port"))  # as long as somebody listens, the node outlives a killed owner
    try:
        for _ in range(2):
            command = [sys.executable, "-m", "tallystick_tools", "node", "simulate", str(tmp_path)]
            second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
            assert (second.returncode, second.stdout) == (2, "")
            assert "a node runs in this folder already" in second.stderr
            process.kill()
            process.communicate()
    finally:
        cable.close()
    until(lambda: free(tmp_path / "lock"), "the node runs on")
    again = simulation(tmp_path)
    again.terminate()
    again.communicate(timeout=PATIENCE_S)


def free(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


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
        "import sys, time; from pathlib import Path; from tallystick_emulators.unix_node import UnixNode\n"
        "node = UnixNode(Path(sys.argv[1])); node.start(); print(node.pid, flush=True); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        log = tmp_path / "node.log"
        until(lambda: log.exists() and "boot 1" in log.read_text("utf-8"), "the node does not boot")
        os.kill(owner.pid, signal.SIGKILL)
    until(lambda: gone(pid), "the node runs on alone")


def test_thousands_of_readings_that_nobody_took_do_not_stop_the_next_boot(tmp_path: Path) -> None:
    """With a batch of 1 each lies in a file of its own."""
    many = 2_600
    with UnixNode(tmp_path, {"TALLYSTICK_INTERVAL_MS": "5"}) as node:
        node.start()
        cable = Cable(node.port)
        cable.ask(message.build_link(bytes(range(32)), "ledger.example/log", 32473), "linked")
        kept = tmp_path / "flash" / "s"
        until(lambda: len(list(kept.iterdir())) >= many, "too few readings", MANY_S)
        node.restart()
        assert cable.hello().state == message.STATE_ENROLLED
        cable.close()
        assert "Error" not in node.log.read_text("utf-8")
