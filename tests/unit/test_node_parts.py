"""The node's small parts: cold room, clock, link, firmware hash, and the lists of files to install."""

import json
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

import tallystick_node
from tallystick_emulators import micropython
from tallystick_node.board_unix import _excursion
from tallystick_node.clock import Uptime
from tallystick_node.cold_room import ColdRoom
from tallystick_node.firmware import firmware_hash
from tallystick_node.link import READ_LIMIT_BYTES, StreamLink
from tallystick_wire import frame

FIRMWARE = Path(tallystick_node.__file__).parents[1]
FOR_COMPUTERS = {"board_memory", "board_unix", "cold_room", "emulated_i2c", "emulated_onewire", "room_sensors"}
MINUTE_MS = 60_000
WARM_CENTI_CELSIUS = 800

# --- cold room


@pytest.mark.parametrize("seed", range(16))
def test_a_calm_room_stays_cold(seed: int) -> None:
    """An hour outside is 60 hours in the room: compressor and doors, and never above 8 degrees."""
    room = ColdRoom(seed, None)
    measured = [room.measure(ms) for ms in range(0, 60 * MINUTE_MS, 500)]
    temperatures = [one.temperature_centi_celsius for one in measured]
    assert 200 < min(temperatures) < max(temperatures) < WARM_CENTI_CELSIUS
    assert max(temperatures) - min(temperatures) > 150, "it lives"
    assert any(one.door_open for one in measured)


@pytest.mark.parametrize("seed", range(10))
def test_an_excursion_is_warm_and_ends(seed: int) -> None:
    room = ColdRoom(seed, (12_000, 12_000))
    warm = [ms for ms in range(0, 60_000, 250) if room.measure(ms).temperature_centi_celsius > WARM_CENTI_CELSIUS]
    assert 12_000 < warm[0] < 15_000, "soon after it starts"
    assert warm == list(range(warm[0], warm[-1] + 1, 250)), "warm without a break"
    assert 24_000 <= warm[-1] < 45_000, "the room recovers"


def test_the_room_is_the_same_on_micropython() -> None:
    program = (
        "from tallystick_node.cold_room import ColdRoom\n"
        "room = ColdRoom(7, (5000, 5000))\n"
        "print([(m.temperature_centi_celsius, m.humidity_percent, m.battery_mv) for m in"
        " [room.measure(ms) for ms in range(0, 20000, 400)]])"
    )
    interpreter = micropython.find()
    assert interpreter is not None
    done = subprocess.run(
        [interpreter, "-c", program], env=micropython.environment(), capture_output=True, text=True, check=True
    )
    room = ColdRoom(7, (5000, 5000))
    here = [room.measure(ms) for ms in range(0, 20000, 400)]
    assert done.stdout.strip() == str(
        [(one.temperature_centi_celsius, one.humidity_percent, one.battery_mv) for one in here]
    )


def test_the_excursion_setting() -> None:
    assert _excursion("12.5,3") == (12_500, 3_000)
    assert _excursion("") is None
    assert _excursion(None) is None


# --- clock


def test_uptime_does_not_wrap() -> None:
    ticks = iter([2**30 - 10, 2**30 - 5, 3, 3, 2**29])

    def diff(later: int, earlier: int) -> int:
        return ((later - earlier + 2**29) % 2**30) - 2**29

    uptime = Uptime(lambda: next(ticks), diff)
    assert [uptime.ms() for _ in range(4)] == [5, 13, 13, 2**29 + 10]


# --- link


class Pipe:
    """A StreamLink whose other end the test holds."""

    def __init__(self) -> None:
        node_in, self.into_node = os.pipe()
        self.from_node, node_out = os.pipe()
        for number in (node_in, node_out):
            os.set_blocking(number, False)
        # Unbuffered files answer None and short counts like MicroPython's.
        self.reader = cast(BinaryIO, os.fdopen(node_in, "rb", buffering=0))
        self.writer = cast(BinaryIO, os.fdopen(node_out, "wb", buffering=0))
        self.link = StreamLink(self.reader, self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.reader.close()
    made.writer.close()
    for number in (made.into_node, made.from_node):
        os.close(number)


def test_reading_never_waits(pipe: Pipe) -> None:
    assert pipe.link.receive() == []
    one = frame.encode(b"x" * 1000)
    os.write(pipe.into_node, b"\0" * (READ_LIMIT_BYTES - len(one)) + one + frame.encode(b"y"))
    assert pipe.link.receive() == [b"x" * 1000]
    assert pipe.link.receive() == [b"y"]
    assert not pipe.link.hung_up


def test_a_hang_up_is_noticed() -> None:
    made = Pipe()
    os.close(made.into_node)
    assert made.link.receive() == []
    assert made.link.hung_up
    made.reader.close()
    made.writer.close()
    os.close(made.from_node)


def test_a_full_pipe_drops_and_counts_and_never_waits(pipe: Pipe) -> None:
    payload = b"\x05" * 999
    whole = frame.encode(payload)
    sent = 0
    while pipe.link.send(payload):
        sent += 1
    assert pipe.link.dropped + pipe.link.partial == 1
    for _ in range(5):
        assert not pipe.link.send(payload)
    assert pipe.link.dropped + pipe.link.partial == 6
    drained = b""
    while select.select([pipe.from_node], [], [], 0)[0]:
        drained += os.read(pipe.from_node, 65536)
    assert drained.count(whole) == sent
    cut = len(drained) - sent * len(whole)
    assert pipe.link.send(payload)
    assert os.read(pipe.from_node, 65536) == (b"\0" + whole if cut else whole), "a torn frame is closed first"


def test_a_torn_frame_does_not_swallow_the_next() -> None:
    class Narrow:
        """Takes 10 bytes, then nothing, then everything."""

        def __init__(self) -> None:
            self.room = [10, 0, 10_000]
            self.got = b""

        def write(self, data: bytes) -> int:
            count = min(self.room.pop(0), len(data))
            self.got += data[:count]
            return count

        def fileno(self) -> int:
            return 1

    narrow = Narrow()
    reader, writer = os.pipe()
    link = StreamLink(cast(BinaryIO, os.fdopen(reader, "rb", buffering=0)), cast(BinaryIO, narrow))
    assert [link.send(payload) for payload in (b"a" * 19, b"b", b"c")] == [False, False, True]
    assert narrow.got == frame.encode(b"a" * 19)[:10] + b"\0" + frame.encode(b"c")
    assert (link.counts()["link_partial"], link.counts()["link_dropped"]) == (1, 1)
    link._reader.close()
    os.close(writer)


# --- what is installed


def test_the_firmware_hash_tells_every_byte(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.mpy").write_text("2")
    first = firmware_hash([str(tmp_path)])
    (tmp_path / "notes.txt").write_text("not code")
    assert firmware_hash([str(tmp_path)]) == first
    (tmp_path / "a.py").write_text("3")
    assert len({first, firmware_hash([str(tmp_path)]), firmware_hash([str(tmp_path / "none")])}) == 3


def test_package_json_lists_what_a_board_needs() -> None:
    listed = [name for name, _ in json.loads((FIRMWARE / "package.json").read_text("utf-8"))["urls"]]
    packages = [path for name in ("tallystick_wire", "tallystick_node") for path in (FIRMWARE / name).glob("*.py")]
    needed = {str(path.relative_to(FIRMWARE)) for path in packages if path.stem not in FOR_COMPUTERS}
    assert set(listed) == needed | {"main.py"}
    assert listed == [*sorted(listed[:-1]), "main.py"]


def test_a_board_needs_nothing_of_what_it_is_not_given() -> None:
    """No module that is installed imports one that is not, but for the choice of the board."""
    for path in (FIRMWARE / "tallystick_node").glob("*.py"):
        text = path.read_text("utf-8")
        if path.stem not in FOR_COMPUTERS | {"board"}:
            assert not [name for name in FOR_COMPUTERS if name in text], path.name


def test_the_manifest_freezes_what_package_json_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    """makemanifest's rules: a manifest runs in its own folder, and these names are there."""
    monkeypatch.chdir(FIRMWARE)
    frozen: list[str] = []
    required: list[str] = []
    names = {
        "metadata": lambda **_: None,
        "require": required.append,
        "package": lambda folder, files, opt: frozen.extend(f"{folder}/{name}" for name in files),
        "module": frozen.append,
    }
    exec((FIRMWARE / "manifest.py").read_text("utf-8"), names)
    package = json.loads((FIRMWARE / "package.json").read_text("utf-8"))
    assert frozen == [name for name, _ in package["urls"]]
    assert required == [name for name, _ in package["deps"]]
    assert all((FIRMWARE / name).is_file() for name in frozen)
    code = "".join((FIRMWARE / name).read_text("utf-8") for name in frozen)
    assert all(f"import {name}" in code for name in required)
