"""Makes the pictures of the documents: docs/pictures/*.svg. Terminals are real runs of the real commands.

    .venv/bin/python tools/pictures.py
    .venv/bin/python tools/pictures.py --tags    those that need no chain

The demo's chain runs for about a minute, on loopback and in a temporary folder, until the bank has decided.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tallystick_tools import demo_build, demo_view, node_pictures, tag_pictures, wiring_picture
from tallystick_tools.demo_keep import wait_for
from tallystick_tools.demo_parts import tallystick
from tallystick_tools.demo_plan import plan
from tallystick_tools.demo_story import first_decision
from tallystick_tools.demo_world import World
from tallystick_tools.errors import DemoError

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SEED = 7
VIEW_COLUMNS, TEXT_COLUMNS = 94, 112
DECISION_TIMEOUT_S = 120.0  # on a loaded machine
GLYPH_WIDTH = 0.602  # of its height, in the usual fixed-width fonts
_KEEP_SPACES = "<style>text { white-space: pre }"  # else a browser closes the gaps and stretches the letters
_FONT_ADDRESS = re.compile(r',?\s*url\("https?://[^"]*"\) format\("[^"]*"\)')  # a picture loads nothing


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/pictures.py", description="Makes docs/pictures/*.svg anew.")
    parser.add_argument("--tags", action="store_true", help="only those of tags, boards and wiring: seconds, no chain")
    chosen = parser.parse_args()
    wiring_picture.save()
    for name, title, console in tag_pictures.pictures(recorder):
        save(name, title, console)
    save(*node_pictures.picture(recorder))
    if not chosen.tags:
        chain_pictures()
    return 0


def chain_pictures() -> None:
    """The demo's live view and a verification: a whole chain, and a minute."""
    with tempfile.TemporaryDirectory() as name:
        world = demo_build.build(Path(name), plan(SEED, calm=False))
        try:
            identity = wait_for_decision(world)
            save("demo", "tallystick demo", live_view(world))
            wait_for("the decision's publication", lambda: is_published(world, identity))
            save("verify", "tallystick verify decision.zip --trust trust.toml", verification(world, identity))
        finally:
            world.stop()


def wait_for_decision(world: World) -> str:
    """The identity of the loan's first decision."""
    deadline = time.monotonic() + DECISION_TIMEOUT_S
    while time.monotonic() < deadline:
        if decision := first_decision(world):
            return str(decision["identity"])
        time.sleep(0.2)
    raise DemoError(f"no decision within {DECISION_TIMEOUT_S:.0f} s")


def is_published(world: World, identity: str) -> bool:
    index = world.api("GET", f"/entries/{identity}")["index"]
    return index is not None and bool(world.api("GET", "/status")["published_size"] > index)


def live_view(world: World) -> Console:
    """One frame of the live view."""
    console = recorder(VIEW_COLUMNS)
    console.print(demo_view.screen(world, demo_view.recent_temperatures(world), plain=False))
    return console


def verification(world: World, identity: str) -> Console:
    """What `tallystick verify` prints in a terminal about that decision."""
    bundle = world.folder / "decision.zip"
    access = ["--url", world.url, "--token-file", str(world.token_file)]
    world.run("cloud", "evidence", "decision", identity, *access, "--out", bundle)
    done = subprocess.run(
        tallystick("verify", bundle, "--trust", world.trust),
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(TEXT_COLUMNS)},
        capture_output=True,
        text=True,
        check=True,
    )
    console = recorder(TEXT_COLUMNS)
    console.print(Text.from_ansi(done.stdout))
    return console


def recorder(columns: int) -> Console:
    """A terminal that only remembers."""
    return Console(record=True, width=columns, force_terminal=True, color_system="truecolor", file=io.StringIO())


def save(name: str, title: str, console: Console) -> None:
    svg = console.export_svg(title=title, theme=MONOKAI, font_aspect_ratio=GLYPH_WIDTH)
    # Not every viewer keeps a line's leading no-break spaces.
    svg = _FONT_ADDRESS.sub("", svg).replace("&#160;", " ").replace("<style>", _KEEP_SPACES, 1)
    path = PICTURES / f"{name}.svg"
    path.write_text(svg, "utf-8")
    print(path)


if __name__ == "__main__":
    sys.exit(main())
