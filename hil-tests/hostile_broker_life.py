"""Runs inside MicroPython: the node's link to a broker, until its standard input ends.

    micropython hostile_broker_life.py HOST PORT CA_FILE PAYLOAD_BYTES

A payload of that size is sent as soon as the link takes it, and again after each connection. How things stand is a line
of JSON, a new one after each change.
"""

import json
import select
import sys
import time

from tallystick_node.mqtt_link import MqttLink

KID, LINK_KEY = bytes(range(8)), bytes(range(32))


def main(host: str, port: str, ca_path: str, payload_bytes: str) -> None:
    notes: list[str] = []
    heard: list[str] = []
    link = MqttLink(host, int(port), ca_path, time.ticks_ms, notes.append)  # type: ignore[attr-defined]
    link.log_in(KID, LINK_KEY)
    taken, losses, told = 0, -1, ""
    end = select.poll()
    end.register(sys.stdin, select.POLLIN)
    while not end.poll(0):
        heard += [payload.hex() for payload in link.receive()]
        if link.is_up() and link.losses != losses and link.send(bytes(int(payload_bytes))):
            losses = link.losses
            taken += 1
        state = {"counts": link.counts(), "heard": heard, "taken": taken, "up": link.is_up(), "notes": notes}
        if json.dumps(state) != told:
            told = json.dumps(state)
            print(told)
        link.wait(20)


main(*sys.argv[1:])
