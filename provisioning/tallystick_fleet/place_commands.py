"""`tallystick node place`: where a node hangs: typed, or scanned and tapped, one node after the other."""

from pathlib import Path
from typing import Literal

from rich.console import Console

from tallystick_fleet import node_table, place_marks
from tallystick_fleet.node_day import now_ms
from tallystick_fleet.node_table import DEFAULT_TABLE, NodeTable
from tallystick_fleet.place_input import Inputs
from tallystick_fleet.place_loop import PlaceLoop
from tallystick_fleet.place_marks import Marks
from tallystick_fleet.place_view import PlaceView
from tallystick_fleet.unseen_typing import unseen_typing
from tallystick_provisioning import screen_words, sound
from tallystick_provisioning.errors import UsageError
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting


@reporting()
def place(
    node: str | None = None,
    where: str | None = None,
    *,
    tap: bool = False,
    reader: str | None = None,
    marks: Path | None = None,
    table: Path = DEFAULT_TABLE,
    patience: float | None = None,
    silent: bool = False,
    lang: Literal["en", "zh"] | None = None,
    dry_run: bool = False,
) -> int:
    """Write down where a node hangs. It stays in the site's list: the ledger knows a commitment only.

    With --tap it goes on until Ctrl-C, hands free: scan the node's label, scan the place's, the next one. A scanner
    types into it; with --reader tags may be tapped as well. High beep: taken. Two low ones: wrong, and nothing is
    written. `undo` (typed, or as a code of its own) takes the last one back.

    Exit code 1, with --tap: a node still waits for its place.

    Example:
        tallystick node place E66058388347A12B "Rotterdam / 3 / A12"
        tallystick node place --tap --reader usb --marks marks.csv

    Parameters
    ----------
    node
        Serial number, kid, thumbprint or name: what a scanner reads from the label.
    where
        The place: what a scanner reads from the shelf.
    tap
        Take one node and place after the other, as they are scanned and tapped.
    reader
        With --tap: the reader for tags: usb, tty:AMA0:pn532, pcsc:NAME or udp:HOST:PORT.
    marks
        With --tap: CSV with the columns mark, node, place: what each code or tag (its UID) stands for.
    table
        The site's list of nodes.
    patience
        With --tap: end after so many seconds without a mark.
    silent
        No sounds.
    lang
        Language of the view; default: the system's.
    dry_run
        Find nodes and places, change nothing.
    """
    if tap:
        if node is not None:
            raise UsageError("node, where: not with --tap, which takes them from the scanner")
        known = Marks() if marks is None else place_marks.read(marks)
        with NodeTable(node_table.existing(table)) as nodes:
            loop = PlaceLoop(nodes, known, now_ms, dry_run)
            return _until_told(loop, reader, patience, silent or dry_run, screen_words.choose(lang))
    if reader is not None or marks is not None:
        raise UsageError("reader, marks: only with --tap")
    if node is None or where is None:
        raise UsageError("give the node and its place, or --tap")
    return _typed(node, where, table, dry_run)


def _typed(word: str, where: str, table: Path, dry_run: bool) -> int:
    with NodeTable(node_table.existing(table)) as nodes:
        found = nodes.find(word)
        if not dry_run:
            nodes.place(found.serial, where, now_ms())
    verb = "would hang" if dry_run else "hangs"
    print(f"{found.name} ({found.serial}): {verb} at {where}, before: {found.place or '-'}")
    return DONE


def _until_told(
    loop: PlaceLoop, reader: str | None, patience_s: float | None, silent: bool, language: screen_words.Language
) -> int:
    """Ctrl-C is how a person ends the round: no error."""
    beeper = sound.choose(silent)
    view = PlaceView(Console(), language, beeper, loop)
    inputs = Inputs(reader, view.trouble)
    try:
        with unseen_typing(), view:
            while (mark := inputs.next(patience_s)) is not None:
                view.show(loop.take(mark))
    except KeyboardInterrupt:
        pass
    finally:
        inputs.close()
        beeper.close()
    if loop.waiting is not None:
        print(f"{loop.waiting.name} ({loop.waiting.serial}) still waits for its place")
    print(f"{len(loop.steps)} nodes placed")
    return DONE if loop.waiting is None else REFUSED
