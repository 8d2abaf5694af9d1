"""`tallystick node update` over many nodes: canaries first, and it stops where one fails."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet import make_offer, tallystick
from update_support import whole_image

from tallystick_emulators.emulated_board import EmulatedBoard
from tallystick_tools.practice_site import make_firmware, make_site

BOARDS = 5


class Site:
    """Provisioned nodes on ptys."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.path = folder, make_site(folder)
        self.links, self.table = folder / "by-id", folder / "nodes.db"
        self.links.mkdir()
        self.boards: list[EmulatedBoard] = []
        for number in range(BOARDS):
            settings = {"TALLYSTICK_INTERVAL_MS": "1500"}  # five nodes that sign more keep both cores busy
            board = stack.enter_context(EmulatedBoard(f"SN-{number}", folder / f"board-{number}", settings))
            board.plug(self.links)
            self.boards.append(board)
        self.common = ["--boards", str(self.links), "--table", str(self.table)]
        firmware = ["--firmware", str(make_firmware(folder)), "--model", "TS-1"]
        tallystick("node", "provision", str(self.path), *firmware, *self.common)

    def update(self, offer: Path, *more: str, code: int = 0) -> str:
        words = ["--offer", str(offer), "--site-key", str(self.path / "site.key"), "--canary", "2"]
        return tallystick("node", "update", *words, *self.common, *more, code=code)

    def versions(self, kind: str = "firmware") -> list[int]:
        listed = json.loads(tallystick("node", "list", "--table", str(self.table), "--json"))
        return [node[f"{kind}_version"] for node in listed]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path_factory.mktemp("site"), stack)


@pytest.mark.alone
def test_an_update_with_two_canaries_stops_when_a_canary_fails(site: Site) -> None:
    broken = whole_image("\n\ndef main(board):\n    raise ValueError('broken at work')\n")
    offer = make_offer(site.path, site.folder / "broken", "broken", broken)
    said = site.update(offer, "--dry-run")
    assert said.count("canary: ") == 2
    assert said.count("then: ") == BOARDS - 2
    told = json.loads(site.update(offer, "--dry-run", "--json"))
    assert [one["canary"] for one in told["todo"]] == [True, True, False, False, False]
    results = json.loads(site.update(offer, "--json", code=1))["results"]
    assert [result["canary"] for result in results] == [True, True, False, False, False]
    assert "updates_failed_before" in results[0]["reason"], "it went back by itself, and says so"
    assert all("left alone" in result["reason"] for result in results[1:])
    assert site.versions() == [0] * BOARDS


@pytest.mark.alone
def test_a_node_that_went_back_after_the_list_called_it_updated_is_updated_again(site: Site) -> None:
    """The list is what was seen last; the node is asked. Here somebody put back the flash of before the update."""
    board, kept = site.boards[3], site.folder / "before"
    shutil.copytree(board.folder / "flash", kept)
    settings, offer = site.folder / "slow.toml", site.folder / "slow.offer"
    settings.write_text("interval_ms = 1000\n", "utf-8")
    keys = ["--key", str(site.path / "downlink.key"), "--trust", str(site.path / "trust.toml")]
    tallystick("node", "sign-config", str(settings), *keys, "--out", str(offer))
    site.update(offer)
    [version] = set(site.versions("config"))
    assert version
    board.kill()
    shutil.rmtree(board.folder / "flash")
    shutil.copytree(kept, board.folder / "flash")
    board.start()
    dry = json.loads(site.update(offer, "--outdated", "--dry-run", "--json"))
    assert [one["serial"] for one in dry["todo"]] == ["SN-3"]
    assert sorted(site.versions("config")) == [0] + [version] * (BOARDS - 1), "the list was corrected"
    results = json.loads(site.update(offer, "--outdated", "--json"))["results"]
    assert [(one["serial"], one["reason"]) for one in results] == [("SN-3", "")]
    assert site.versions("config") == [version] * BOARDS


@pytest.mark.alone
def test_an_update_reaches_every_outdated_node_and_no_other(site: Site) -> None:
    offer = make_offer(site.path, site.folder / "good", "good", whole_image("\n# better\n"))
    results = json.loads(site.update(offer, "--json"))["results"]
    assert [result["reason"] for result in results] == [""] * BOARDS
    assert {result["word"] for result in results} == {"on-trial"}
    assert all(site.versions())
    again = site.update(offer, "--outdated")
    assert again.count("skipped: ") == BOARDS
    assert "0 of 0 nodes" in again
