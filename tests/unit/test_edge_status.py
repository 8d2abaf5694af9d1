"""The status: read from a log beside a running gateway, and told with and without colours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tallystick_edge import status, status_text
from tallystick_edge.clock import ClockReading
from tallystick_edge.control import Control
from tallystick_edge.entries import EntryMaker
from tallystick_edge.errors import StateError
from tallystick_edge.journal import Journal
from tallystick_edge.log import Head, Log
from tallystick_proof import entry
from tallystick_wire.senml import Record

START_MS = 1_760_000_000_000
MINUTE_MS = 60_000


class HandClock:
    def __init__(self) -> None:
        self.ms = 0

    def read(self) -> ClockReading:
        return ClockReading(START_MS + self.ms, entry.CLOCK_NTP, 20)

    def mono_ms(self) -> int:
        return self.ms


class Story:
    """A log that is filled by hand."""

    def __init__(self, folder: Path, world: Any) -> None:
        self.folder, self.world, self.clock = folder, world, HandClock()
        self.log = Log.open(folder / "log.db")
        self.log.confirm(1, 0, None, [world.statements[world.enrolments["node-a"]][0]], Head(None, 0, START_MS))
        self.maker = EntryMaker(1, self.clock)

    def note(self, number: int, **says: object) -> None:
        self.log.commit([self.maker.note(number, says)], ())

    def minutes(self, count: int) -> None:
        """A reading a minute, received at once."""
        for _ in range(count):
            self.clock.ms += MINUTE_MS
            self.log.commit([self.maker.reading(self.world.nodes["node-a"].measure().data, "serial:x")], ())

    def read(self) -> status.Status:
        return status.read(self.folder, bytes(32), self.world.trust, Journal())

    def lines(self) -> list[status_text.Line]:
        return status_text.lines(self.read(), START_MS + self.clock.ms)


@pytest.fixture
def story(tmp_path: Path, make_world: Callable[..., Any]) -> Story:
    return Story(tmp_path, make_world("status"))


def test_links_are_those_of_the_latest_boot(story: Story) -> None:
    story.note(entry.NOTE_BOOT, rows=0)
    story.note(entry.NOTE_LINK, link="serial:/dev/old", up=1, why=None)
    story.maker = EntryMaker(2, story.clock)
    story.note(entry.NOTE_BOOT, rows=2)
    story.note(entry.NOTE_LINK, link="serial:/dev/a", up=1, why=None)
    story.note(entry.NOTE_LINK, link="mqtt:b:8883", up=1, why=None)
    story.note(entry.NOTE_LINK, link="mqtt:b:8883", up=0, why="b: no route")
    found = story.read()
    assert [(one.link, one.up, one.why) for one in found.links] == [
        ("serial:/dev/a", True, ""),
        ("mqtt:b:8883", False, "b: no route"),
    ]
    assert not found.running
    assert ("not running", status_text.NOW) in story.lines()
    control = Control(story.folder)
    assert story.read().running
    told = story.lines()
    assert ("running", status_text.GOOD) in told
    assert ("link serial:/dev/a: up", status_text.GOOD) in told
    assert ("link mqtt:b:8883: down: b: no route", status_text.LATER) in told
    control.close()


def test_a_node_shows_its_clock_and_what_it_gave_up(story: Story) -> None:
    story.minutes(20)
    node = story.read().nodes[0]
    assert node.drift is not None
    assert abs(node.drift.ppm) <= node.drift.uncertainty_ppm
    kid = story.world.signers["node-a"].kid.hex()
    assert story.lines()[-1][0].startswith(f"node {kid}: up to 20, clock ")
    assert story.lines()[-1][1] == status_text.GOOD
    story.world.nodes["node-a"].seq += 5
    story.world.nodes["node-a"].gap = (21, 24)
    story.minutes(1)
    text, style = story.lines()[-1]
    assert "missing 25-25, gave up 21-24, clock " in text
    assert style == status_text.LATER
    told = json.loads(story.read().json())["nodes"][0]
    assert (told["given_up"], told["gaps"]) == ([21, 24], [[25, 25]])
    assert set(told["drift"]) == {"ppm", "uncertainty_ppm", "points", "span_ms"}


def test_a_node_shows_how_its_newest_reading_says_that_its_radio_hears(story: Story) -> None:
    """A backlog comes later than what was measured later; a reading without it takes nothing back."""

    def said(dbw: int) -> bytes:
        return bytes(story.world.nodes["node-a"].measure(also=[Record("rs", "dBW", dbw)]).data)

    story.minutes(1)
    assert story.read().nodes[0].radio_dbm is None
    older, newer = said(-100), said(-121)
    for data in (newer, older):
        story.log.commit([story.maker.reading(data, "serial:x")], ())
    story.minutes(1)
    assert story.read().nodes[0].radio_dbm == -91
    assert ", hears its network at -91 dBm, heard " in story.lines()[-1][0]


def test_a_new_boot_has_a_new_clock(story: Story) -> None:
    story.minutes(20)
    story.world.nodes["node-a"].restart()
    story.minutes(2)
    assert story.read().nodes[0].drift is None


@pytest.mark.parametrize("colour", [True, False], ids=["colour", "plain"])
def test_colours_go_where_they_are_not_understood(
    story: Story, colour: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORCE_COLOR" if colour else "NO_COLOR", "1")
    status_text.show(story.read(), START_MS)
    told = capsys.readouterr().out
    assert ("\x1b[" in told) is colour
    assert "not running" in told


def test_a_gateway_that_never_ran(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    with pytest.raises(StateError, match="does not exist; has this gateway run"):
        status.read(tmp_path, bytes(32), make_world("status").trust, Journal())
