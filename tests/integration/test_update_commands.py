"""Updates as an operator brings them: site, enrolment, signing and pushing by command, to a real node on a pty."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import tallystick
from update_support import whole_image

from tallystick_emulators.unix_node import UnixNode
from tallystick_tools.practice_site import make_site

NOWHERE = "http://127.0.0.1:9"  # no ledger there: the enrolment waits, the node works


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_site(tmp_path)


@pytest.fixture
def node(tmp_path: Path, site: Path) -> Iterator[UnixNode]:
    with UnixNode(tmp_path / "node", {"TALLYSTICK_INTERVAL_MS": "200"}) as made:
        made.start()
        tallystick("node", "enrol", "--port", made.port, "--authority", str(site / "authorities/node.key"),
                   "--site-key", str(site / "site.key"), "--trust", str(site / "trust.toml"),
                   "--ledger", NOWHERE, "--model", "unix", "--serial", "1")  # fmt: skip
        yield made


def push(site: Path, node: UnixNode, offer: Path, code: int = 0) -> dict[str, object]:
    text = tallystick("node", "update", "--port", node.port, "--offer", str(offer),
                      "--site-key", str(site / "site.key"), "--json", code=code)  # fmt: skip
    found: dict[str, object] = json.loads(text)
    return found


def test_a_configuration_and_firmware(tmp_path: Path, site: Path, node: UnixNode) -> None:
    settings, cold = tmp_path / "cold.toml", tmp_path / "cold.offer"
    settings.write_text('interval_ms = 1000\nname = "cold room 2"\n', "utf-8")
    tallystick("node", "sign-config", str(settings), "--key", str(site / "downlink.key"),
               "--trust", str(site / "trust.toml"), "--out", str(cold))  # fmt: skip
    assert push(site, node, cold)["outcome"] == "kept"
    assert push(site, node, cold)["outcome"] == "current"

    content, new = tmp_path / "x64.image", tmp_path / "new.offer"
    content.write_bytes(whole_image("\n# by command\n"))
    tallystick("node", "sign-firmware", str(content), "--key", str(site / "firmware.key"),
               "--trust", str(site / "trust.toml"), "--out", str(new), "--version", "7")  # fmt: skip
    pushed = push(site, node, new)
    assert (pushed["outcome"], pushed["pieces_sent"]) == (
        "loaded",
        -(-content.stat().st_size // 1024) + pieces(content),
    )
    assert push(site, node, new)["outcome"] == "on-trial"

    old = tmp_path / "old.offer"
    tallystick("node", "sign-config", str(settings), "--key", str(site / "downlink.key"),
               "--trust", str(site / "trust.toml"), "--out", str(old), "--version", "1")  # fmt: skip
    assert push(site, node, old, code=1)["outcome"] == "updates_old"


def pieces(content: Path) -> int:
    """Of the list of hashes."""
    chunks = -(-content.stat().st_size // 1024)
    return -(-chunks * 32 // 1024)
