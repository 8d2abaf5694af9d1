"""A board's way to its broker over Wi-Fi. Not run on hardware yet.

/network.json beside the firmware: {"ssid": "...", "password": "...", "mqtt": "host:port", "ca": "/ca.crt"}
"""

import json

from tallystick_node import mqtt_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

JOIN_AGAIN_MS = 30_000  # some ports give up for good after one attempt


def link(
    text: "str | None", now_ms: "Callable[[], int]", note: "Callable[[str], None]", others: "list[Any]"
) -> "mqtt_link.MqttLink | None":
    """What network.json describes. None without it, or when it cannot be used: then the cable carries the readings."""
    if text is None:
        return None
    try:
        told = json.loads(text)
        host, port = mqtt_link.address(told["mqtt"])
        radio = Wlan(told["ssid"], told["password"], now_ms)
        return mqtt_link.MqttLink(host, port, told["ca"], now_ms, note, radio, others)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        note("network.json cannot be used: %r" % error)
        return None


class Wlan:
    """mqtt_link.Radio."""

    def __init__(self, ssid: str, password: str, now_ms: "Callable[[], int]") -> None:
        import network  # type: ignore[import-not-found]

        self._wlan = network.WLAN(network.STA_IF)
        self._ssid, self._password, self._now_ms = ssid, password, now_ms
        self._is_on = True
        self._asked_ms: "int | None" = None

    def power(self, on: bool) -> None:
        """On only as soon as somebody asks whether it is up: a board that wakes may go back to sleep before that."""
        self._is_on = on
        if not on:
            self._asked_ms = None
            self._wlan.active(False)

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
