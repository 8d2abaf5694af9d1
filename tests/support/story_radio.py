"""A radio that hears its network, and one that does not. MicroPython subset."""

import sys

from sensor_story import scenario, told

from tallystick_node import board_radio
from tallystick_node.sensor import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Station:
    """What network.WLAN gives: it is joined as soon as it is told to, while `in_reach`."""

    def __init__(self, heard: "Any" = -61) -> None:
        self.heard, self.in_reach = heard, True
        self.is_on = self.was_told = False

    def active(self, on: bool) -> None:
        self.is_on = on

    def isconnected(self) -> bool:
        return self.is_on and self.was_told and self.in_reach

    def connect(self, name: str, password: str) -> None:
        self.was_told = True

    def status(self, what: str) -> "Any":
        if isinstance(self.heard, Exception):
            raise self.heard
        return self.heard


class Network:
    """The module."""

    STA_IF = 0

    def __init__(self, station: Station) -> None:
        self._station = station

    def WLAN(self, kind: int) -> Station:
        return self._station


class Radio:
    """A board's radio on that station, up."""

    def __init__(self, heard: "Any" = -61) -> None:
        self.station = Station(heard)
        sys.modules["network"] = Network(self.station)  # type: ignore[assignment]
        self.wlan = board_radio.Wlan("yard", "secret", lambda: 0)
        del sys.modules["network"]
        self.wlan.is_up()
        self.channel = board_radio.strength(self.wlan.strength_dbm)

    def told(self) -> str:
        return told([Channel("t", lambda: 412, 0, 500), self.channel])


@scenario("radio well")
def _() -> str:
    return Radio().told()


@scenario("radio that was never joined")
def _() -> str:
    radio = Radio()
    radio.station.in_reach = False
    return radio.told()


@scenario("radio off")
def _() -> str:
    """What it heard last still holds; it was asked once more as it went down."""
    radio = Radio()
    first = radio.told()
    radio.station.heard = -70
    radio.wlan.power(False)
    radio.station.heard = -40
    return first + " | " + radio.told()


@scenario("radio off over a deep sleep")
def _() -> str:
    radio, woken = Radio(), Radio()
    radio.wlan.power(False)
    woken.station.in_reach = False
    woken.channel.belief.restore(radio.channel.save())
    return woken.told()


@scenario("radio of a port that does not tell")
def _() -> str:
    return Radio(ValueError("unknown status param")).told() + " | " + Radio(0).told() + " | " + Radio(127).told()


@scenario("radio goes as it is asked")
def _() -> str:
    radio = Radio()
    first = radio.told()
    radio.station.heard = OSError(1)
    return first + " | " + radio.told()
