"""A board's way to its broker over Wi-Fi. Not run on hardware yet.

/network.json beside the firmware: {"ssid": "...", "password": "...", "mqtt": "host:port", "ca": "/ca.crt"}
"""

import json

from tallystick_node import mqtt_link
from tallystick_node.sensor import Channel
from tallystick_wire import senml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

JOIN_AGAIN_MS = 30_000  # some ports give up for good after one attempt
# What a radio can say that it hears: no receiver hears less, and ports that do not know say 0 or 127.
WEAKEST_DBM, STRONGEST_DBM = -120, -1


def link(
    text: "str | None", now_ms: "Callable[[], int]", note: "Callable[[str], None]", others: "list[Any]"
) -> "tuple[mqtt_link.MqttLink | None, list[Channel]]":
    """What network.json describes, and what that radio measures.

    (None, []) without it, or when it cannot be used: then the cable carries the readings.
    """
    if text is None:
        return None, []
    try:
        told = json.loads(text)
        host, port = mqtt_link.address(told["mqtt"])
        radio = Wlan(told["ssid"], told["password"], now_ms)
        return mqtt_link.MqttLink(host, port, told["ca"], now_ms, note, radio, others), [strength(radio.strength_dbm)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        note("network.json cannot be used: %r" % error)
        return None, []


def strength(read_dbm: "Callable[[], int | None]") -> Channel:
    """How strongly the radio hears its network: for whoever decides where nodes hang, so the first to be left out."""

    def read() -> "int | None":
        dbm = read_dbm()
        return None if dbm is None else dbm - senml.DBM_OF_ZERO_DBW

    lowest, highest = WEAKEST_DBM - senml.DBM_OF_ZERO_DBW, STRONGEST_DBM - senml.DBM_OF_ZERO_DBW
    return Channel(senml.RADIO, read, lowest, highest, low_priority=True, may_rest=True)


class Wlan:
    """mqtt_link.Radio."""

    def __init__(self, ssid: str, password: str, now_ms: "Callable[[], int]") -> None:
        import network  # type: ignore[import-not-found]

        self._wlan = network.WLAN(network.STA_IF)
        self._ssid, self._password, self._now_ms = ssid, password, now_ms
        self._is_on = True
        self._asked_ms: "int | None" = None
        self._strength_dbm: "int | None" = None

    def strength_dbm(self) -> "int | None":
        """As the network was heard while it was last joined; None when it never was since power-on."""
        if self._is_on and self._wlan.isconnected():
            try:
                found = self._wlan.status("rssi")
            except (OSError, ValueError):  # it went just now; a port that does not tell
                found = None
            if isinstance(found, int) and WEAKEST_DBM <= found <= STRONGEST_DBM:
                self._strength_dbm = found
        return self._strength_dbm

    def power(self, on: bool) -> None:
        """On only as soon as somebody asks whether it is up: a board that wakes may go back to sleep before that."""
        if not on:
            self.strength_dbm()  # the last moment to hear anything
            self._asked_ms = None
            self._wlan.active(False)
        self._is_on = on

    def is_up(self) -> bool:
        if not self._is_on:
            return False
        if self._wlan.isconnected():
            return True
        if self._asked_ms is None or self._now_ms() - self._asked_ms >= JOIN_AGAIN_MS:
            self._join()
        return False

    def _join(self) -> None:
        self._asked_ms = self._now_ms()
        self._wlan.active(True)
        try:
            self._wlan.connect(self._ssid, self._password)
        except OSError:
            pass  # busy with the attempt before: asked again later
