"""Runs inside MicroPython: the node's link to a broker, for a while. One line of JSON comes out.

    micropython hostile_broker_life.py HOST PORT CA_FILE MS PAYLOAD_BYTES

A payload of that size is sent as soon as the link takes it, and again after each connection.
"""

import json
import sys
import time

from tallystick_node.mqtt_link import MqttLink

KID, LINK_KEY = bytes(range(8)), bytes(range(32))


def main(host: str, port: str, ca_path: str, ms: str, payload_bytes: str) -> None:
    notes: list[str] = []
    heard: list[str] = []
    link = MqttLink(host, int(port), ca_path, time.ticks_ms, notes.append)  # type: ignore[attr-defined]
    link.log_in(KID, LINK_KEY)
    taken, losses = 0, -1
    until_ms = time.ticks_ms() + int(ms)  # type: ignore[attr-defined]
    while time.ticks_ms() < until_ms:  # type: ignore[attr-defined]
        heard += [payload.hex() for payload in link.receive()]
        if link.is_up() and link.losses != losses and link.send(bytes(int(payload_bytes))):
            losses = link.losses
            taken += 1
        link.wait(20)
    print(json.dumps({"counts": link.counts(), "heard": heard, "taken": taken, "up": link.is_up(), "notes": notes}))


main(*sys.argv[1:])
