"""Pictures of the installer's terminal, from a real run of the tag loop over emulated tags."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_originality import Originality
from tallystick_emulators import tag_signature
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_provisioning.item import Item
from tallystick_provisioning.screen_words import Words
from tallystick_provisioning.sound import Silent
from tallystick_tags import tag_job, tag_rows, tag_table, tag_view
from tallystick_tags.errors import TableError
from tallystick_tags.key_provider import DerivedKeys, FileMaster
from tallystick_tags.tag_job import Job, JobHead
from tallystick_tags.tag_rows import Planned
from tallystick_tags.tag_run import Moment, Run
from tallystick_tags.tag_view import Screen

GTIN = "09506000134352"
ITEMS = 12
WRITTEN_BEFORE = 8  # tags before the one that comes twice
WRONG_ROWS = f"GTIN,serial,name\n{GTIN},A-001,虾仁\n09506000134353,A-002,虾仁\n{GTIN},A-001,虾仁\n{GTIN},A 004,虾仁\n"


class Camera:
    """A view that keeps what happened, and puts down the next tag."""

    def __init__(self, field: Field) -> None:
        self.moments: list[Moment] = []
        self._field = field
        tags: list[EmulatedTag] = [Ntag424(b"\x04" + number.to_bytes(6, "big")) for number in range(1, ITEMS + 1)]
        self._tags = iter([*tags[:WRITTEN_BEFORE], tags[2], *tags[WRITTEN_BEFORE:]])

    def show(self, moment: Moment) -> None:
        self.moments.append(moment)
        if moment.kind in ("waiting", "done", "wrong"):
            self._field.remove(None)
            tag = next(self._tags, None)
            if tag is not None:
                self._field.put(tag)


def pictures(recorder: Callable[[int], Console]) -> Iterator[tuple[str, str, Console]]:
    """(name, title, a terminal with the picture)."""
    yield (
        "tag-rows",
        "tallystick tag job new shrimp.job --from rows.csv --chip ntag424 --host item.example",
        refused(recorder),
    )
    moments = day()
    title = "tallystick tag write shrimp.job --reader usb --keys shrimp.tally"
    done = next(number for number, one in enumerate(moments) if one.kind == "wrong") - 1
    while moments[done].kind != "done":
        done -= 1
    yield "tag-write", title, screen(recorder, moments[: done + 1])
    yield "tag-wrong", title, screen(recorder, moments[: [one.kind for one in moments].index("wrong") + 1])


def day() -> list[Moment]:
    """A short job, with one tag that comes a second time."""
    with tempfile.TemporaryDirectory() as folder:
        path, field = Path(folder) / "shrimp.job", Field()
        planned = [Planned(row + 2, Item(GTIN, f"A-{row + 1:03d}"), "frozen shrimp 5 kg") for row in range(ITEMS)]
        tag_job.create(path, JobHead("00" * 16, "ntag424", "item.example", "2026-07", 1, True, 0), planned)
        maker = Originality([], [tag_signature.ORIGINALITY_PUBLIC_KEY_424])
        keys = DerivedKeys(FileMaster(bytes(range(16))), "2026-07", 1)
        camera = Camera(field)
        with Job(path) as job:
            journal = Journal(Path(folder) / "journal")
            Run(job, lambda: EmulatedReader(field), keys, journal, camera, None, 1.0, maker).go()
    return camera.moments


def screen(recorder: Callable[[int], Console], moments: list[Moment]) -> Console:
    """The last frame after these moments."""
    console = recorder(tag_view.COLUMNS)
    view = Screen(Words("en"), Silent(), "shrimp.job  ntag424  usb", console)
    for moment in moments:
        view.remember(moment)
    console.print(view.picture(moments[-1]))
    return console


def refused(recorder: Callable[[int], Console]) -> Console:
    """What a table with wrong rows gets."""
    console = recorder(tag_view.COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text(WRONG_ROWS, "utf-8")
        try:
            tag_rows.check(tag_table.read(path), lambda planned: None)
        except TableError as error:
            console.print(Text(f"refused: {error}"))
    return console
