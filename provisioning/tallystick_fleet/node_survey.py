"""Which nodes of a site a gateway hears: its `status --json` against the site's list. Pure but for reading the file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick_fleet.errors import PlanError
from tallystick_fleet.node_table import KnownNode
from tallystick_provisioning import text_file

# Below, Wi-Fi joins but repeats itself, which costs battery; and a full room or a shut steel door takes 10 dB more.
WEAK_DBM = -80
CLOCK_SLACK_MS = 60_000  # between two computers that set their clocks from time to time
MAX_STATUS_BYTES = 16 * 1024 * 1024  # ten thousand nodes with all their gaps


@dataclass(frozen=True, slots=True)
class Heard:
    """One node of the list. `age_s` since its last reading arrived, None for never; `missing` readings to come.

    `radio_dbm`: how strongly its radio hears the network, None where there is no radio.
    """

    serial: str
    name: str
    place: str
    age_s: int | None
    missing: int
    heard: bool
    radio_dbm: int | None = None

    @property
    def weak(self) -> bool:
        return self.radio_dbm is not None and self.radio_dbm < WEAK_DBM

    def value(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*self.__slots__, "weak")}

    def line(self) -> str:
        age = "never heard" if self.age_s is None else f"heard {self.age_s} s ago"
        missing = f", {self.missing} readings missing" if self.missing else ""
        radio = "" if self.radio_dbm is None else f", {self.radio_dbm} dBm"
        action = ": hang it higher or nearer, turn its antenna, or add an access point" if self.weak else ""
        word = "SILENT" if not self.heard else "WEAK  " if self.weak else "ok    "
        return f"{word} {self.name} ({self.serial}) at {self.place or '?'}: {age}{missing}{radio}{action}"


def summary(found: Sequence[Heard], within_s: int) -> str:
    """The last line: how many are heard, and the weakest of the radios."""
    heard = sum(one.heard for one in found)
    radios = [(one.radio_dbm, one.name) for one in found if one.radio_dbm is not None]
    worst = "" if not radios else ", worst {} dBm ({})".format(*min(radios))
    return f"{heard} of {len(found)} heard within {within_s} s{worst}"


def read_status(path: Path) -> dict[str, dict[str, Any]]:
    """thumbprint -> what a gateway says of the node; PlanError when the file is not such a status."""
    try:
        nodes = json.loads(text_file.read(path, MAX_STATUS_BYTES))["nodes"]
        return {node["thumbprint"]: _checked(node) for node in nodes if node["thumbprint"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"{path}: not the output of `tallystick gateway status --json` ({error!r})") from None


def _checked(node: dict[str, Any]) -> dict[str, Any]:
    """TypeError or ValueError where it is not what `compare` counts with."""
    received_ms = node.get("received_ms")
    gaps = [(int(first), int(last)) for first, last in node.get("gaps", [])]
    radio_dbm = node.get("radio_dbm")
    return {
        "received_ms": None if received_ms is None else int(received_ms),
        "gaps": gaps,
        "radio_dbm": None if radio_dbm is None else int(radio_dbm),
    }


def compare(
    nodes: Sequence[KnownNode], status: Mapping[str, Mapping[str, Any]], now_ms: int, within_s: int
) -> list[Heard]:
    """Every provisioned node of the list, the silent ones first, then those that hear their network badly.

    PlanError when the gateway heard something in this computer's future: silent nodes would count as heard.
    """
    newest_ms = max((told["received_ms"] for told in status.values() if told.get("received_ms") is not None), default=0)
    if newest_ms > now_ms + CLOCK_SLACK_MS:
        behind_s = (newest_ms - now_ms) // 1000
        raise PlanError(f"this computer's clock is {behind_s} s or more behind the gateway's: set it, then ask again")
    found = [_one(node, status.get(node.thumbprint, {}), now_ms, within_s) for node in nodes if node.thumbprint]
    return sorted(found, key=lambda one: (one.heard, not one.weak, one.name))


def _one(node: KnownNode, told: Mapping[str, Any], now_ms: int, within_s: int) -> Heard:
    received_ms = told.get("received_ms")
    age_s = None if received_ms is None else max(0, (now_ms - received_ms) // 1000)
    missing = sum(last - first + 1 for first, last in told.get("gaps", []))
    heard = age_s is not None and age_s <= within_s
    return Heard(node.serial, node.name, node.place, age_s, missing, heard, told.get("radio_dbm"))
