"""`tallystick node provision --dry-run`: what would be done to which board."""

import json as json_module
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from tallystick_fleet import boards as board_sources
from tallystick_fleet import bootsel_drives, esp_erase, flash_board
from tallystick_fleet import interpreter as interpreters
from tallystick_fleet.boards import Board
from tallystick_fleet.enrol_node import say_hello
from tallystick_fleet.erasing import Erasing, all_agreed
from tallystick_fleet.errors import InterpreterError
from tallystick_fleet.esp_tool import Line, Speeds
from tallystick_fleet.provision_asked import Asked, Python
from tallystick_fleet.uf2_image import Uf2Image
from tallystick_proof import keys
from tallystick_provisioning.errors import NodeRefused, PortError, ProvisioningError
from tallystick_provisioning.exit_codes import DONE
from tallystick_provisioning.serial_port import SerialPort
from tallystick_wire.errors import WireError

HELLO_TIMEOUT_S = 3.0  # a node answers in milliseconds


def say(asked: Asked) -> int:
    """No board is reset, but with --erase those that are silent: only their loaders know what they hold."""
    connected, files = asked.find(), asked.shared.files
    size = sum(len(content) for _, content in files)
    with ThreadPoolExecutor(asked.parallel) as pool:  # what is silent takes a second
        told = pool.map(lambda board: _state(board, connected, asked), connected)
        states = list(zip(connected, told, strict=True))
    missing = sorted(set(asked.planned) - {board.serial for board in connected})
    drives = _drive_states(asked.python)
    if asked.json:
        found = [{"serial": board.serial, "port": board.port, "state": state} for board, state in states]
        report: dict[str, Any] = {"boards": found, "missing": missing, "files": len(files), "bytes": size}
        report["drives"] = [{"drive": name, "state": state} for name, state in drives]
        report["interpreter"] = None if asked.python.file is None else interpreters.in_words(asked.python.file)
        print(json_module.dumps(report))
        return DONE
    if asked.python.file is not None:
        print(f"would put {interpreters.in_words(asked.python.file)}, onto boards without MicroPython")
    origin = asked.shared.job.trust.origin
    print(f"would copy {len(files)} files, {size} bytes, to blank boards and enrol them in {origin}")
    for board, state in states:
        row = asked.planned.get(board.serial)
        print(f"{board.serial} on {board.port}: {state}; {'not in the plan' if row is None else row.name or 'no name'}")
    for name, state in drives:
        print(f"{name}: {state}")
    if asked.python.folders and not drives:
        print(f"no drive of a Pico in {' or '.join(map(str, asked.python.folders))}: hold BOOTSEL while plugging it in")
    print(f"{len(connected)} boards connected; {len(missing)} of the plan are not")
    print("\n".join(f"  {one}" for one in missing), end="\n" if missing else "")
    return DONE


def _state(board: Board, connected: list[Board], asked: Asked) -> str:
    if board.serial in board_sources.twins(connected):
        return board_sources.TWINS
    try:
        if flash_board.is_blank(board.port):
            return "blank"
        if asked.erase is None:
            return "runs a program" if asked.python.esp is None else "runs a program, or needs MicroPython"
        return _would_erase(board, Erasing(all_agreed, asked.erase.nodes))
    except ProvisioningError as error:
        return str(error)


def _would_erase(board: Board, erasing: Erasing) -> str:
    """For a board that is no MicroPython: whether it would be erased, and what it holds."""
    node = _node(board)
    if node:
        return f"{node}, would be ERASED: it was named" if erasing.wants(board.serial) else f"{node}, stays"
    found = esp_erase.look(Line(board.port, board.serial, Speeds()))
    if found.is_blank:
        return "needs MicroPython"
    refusal = erasing.refusal(board.serial, found)
    return refusal or f"would be ERASED: {found.chip}, {'a Tallystick node' if found.is_node else found.program}"


def _node(board: Board) -> str:
    """What a running node says that it is; empty when none answers."""
    try:
        with closing(SerialPort(board.port)) as port:
            key = say_hello(port, timeout_s=HELLO_TIMEOUT_S).public_key
    except (NodeRefused, PortError, WireError):
        return ""
    return f"a Tallystick node, kid {keys.kid(key).hex()}"


def _drive_states(python: Python) -> list[tuple[str, str]]:
    """(drive, what it is) of every Pico whose BOOTSEL is held."""
    if python.uf2 is None:
        return []
    return [(drive.name, _drive_state(drive, python.uf2)) for drive in bootsel_drives.connected(python.folders)]


def _drive_state(drive: bootsel_drives.Drive, image: Uf2Image) -> str:
    try:
        bootsel_drives.check(drive, image)
        return "needs MicroPython"
    except InterpreterError as error:
        return str(error)
