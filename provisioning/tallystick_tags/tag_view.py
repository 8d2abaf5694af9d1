"""What the person at the reader sees: a full screen of 80x24, or one line a tag where there is no such terminal."""

import os
import sys
from types import TracebackType
from typing import TextIO

from rich.align import Align
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tallystick_chips.personalise import STEPS
from tallystick_provisioning.screen_words import Words
from tallystick_provisioning.sound import Sound
from tallystick_tags import refusal_words
from tallystick_tags.tag_run import Kind, Moment, Progress

COLUMNS, ROWS = 80, 24  # a small laptop's terminal: all of it fits, nothing scrolls
_SHOWN_REJECTS = 4
_SHOWN_TAGS = 5
# Never colour alone: the word says it, and the sign does.
_SIGNS: dict[Kind, tuple[str, str, str]] = {  # sign, the same in ASCII, colours
    "waiting": ("…", "...", "bold white on blue"),
    "working": ("●", "(o)", "bold black on yellow"),
    "planned": ("?", "?", "bold white on blue"),
    "done": ("✓", "OK", "bold black on green"),
    "wrong": ("✗", "XX", "bold white on red"),
    "reader": ("!", "!!", "bold white on red"),
    "finished": ("■", "--", "bold white on blue"),
}


class Lines:
    """One line for each thing that happened; for pipes, dumb terminals and logs."""

    def __init__(self, words: Words, sound: Sound, out: TextIO | None = None) -> None:
        self._words, self._sound = words, sound
        self._out = out or sys.stdout
        self._last: Kind | None = None

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, moment: Moment) -> None:
        _make_heard(self._sound, moment)
        text = self._line(moment)
        if text and not (moment.kind == self._last and moment.kind in ("waiting", "reader")):
            print(text, file=self._out, flush=True)
        self._last = moment.kind

    def _line(self, moment: Moment) -> str | None:
        """None for what needs no line: each step of a tag."""
        done = f"{moment.progress.written}/{moment.progress.total}"
        if moment.kind == "done" and moment.item is not None:
            pace = f"{moment.seconds or 0:.1f} s, {self._words['left']} {moment.progress.left}"
            return f"ok    {done}  {_named(self._words, moment)}  {pace}"
        if moment.kind == "planned":
            return f"{self._words['planned'].lower()}  {_named(self._words, moment)}"
        if moment.kind == "wrong" and moment.outcome is not None:
            reason, action = refusal_words.of_outcome(moment.outcome, self._words.language)
            return f"WRONG {done}  {_named(self._words, moment)}  {moment.outcome.code}: {reason}; {action}"
        if moment.kind in ("waiting", "reader", "finished"):
            return f"..... {done}  {self._words[moment.kind]}"
        return None


class Screen:
    """The full screen: a big word, the item, steps, counts, rejects, the last tags."""

    def __init__(self, words: Words, sound: Sound, title: str, console: Console | None = None) -> None:
        self._words, self._sound, self._title = words, sound, title
        self._console = console or Console()
        self._plain = not self._console.encoding.lower().startswith("utf")
        self._tags: list[Text] = []
        self._live = Live(console=self._console, screen=True, auto_refresh=False, transient=True)

    def __enter__(self) -> "Screen":
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, moment: Moment) -> None:
        _make_heard(self._sound, moment)
        self.remember(moment)
        self._live.update(self.picture(moment), refresh=True)

    def remember(self, moment: Moment) -> None:
        """Keep a tag's line for the list of the last tags."""
        if moment.kind in ("done", "wrong"):
            self._tags = [*self._tags, self._tag(moment)][-_SHOWN_TAGS:]

    def picture(self, moment: Moment) -> Group:
        """The whole screen for this moment."""
        return Group(
            Text(f" {self._title}", style="bold", no_wrap=True, overflow="ellipsis"),
            self._big_word(moment),
            self._counts(moment.progress),
            *self._rejects(moment.progress),
            Text(""),
            *self._tags,
            Text(self._words["stop"], style="dim"),
        )

    def _big_word(self, moment: Moment) -> Panel:
        rich_sign, ascii_sign, style = _SIGNS[moment.kind]
        sign = ascii_sign if self._plain else rich_sign
        lines = [Text(f"{sign}  {self._words[moment.kind]}  {sign}", style="bold"), Text("")]
        lines.append(Text(_named(self._words, moment) if moment.item or moment.uid else " ", overflow="ellipsis"))
        lines.append(Text(moment.item.name if moment.item else "", no_wrap=True, overflow="ellipsis"))
        if moment.outcome is not None and not moment.outcome.good:
            reason, action = refusal_words.of_outcome(moment.outcome, self._words.language)
            lines += [Text(reason, overflow="ellipsis"), Text(f"{self._words['do']}: {action}", overflow="ellipsis")]
        else:
            lines += [self._steps(moment.step), Text("")]
        return Panel(Align.center(Group(*map(Align.center, lines))), style=style, height=10, padding=(0, 1))

    def _steps(self, step: str | None) -> Text:
        """Which steps are behind, which one runs."""
        if step is None or step not in STEPS:
            return Text("")
        text = Text()
        for name in STEPS[: STEPS.index(step)]:
            text.append(f"{self._words[name]} ", style="not bold")
        return text.append(f"[{self._words[step]}]", style="bold reverse")

    def _counts(self, progress: Progress) -> Table:
        words, table = self._words, Table.grid(padding=(0, 2), expand=True)
        pace = "-" if progress.seconds_per_tag is None else f"{progress.seconds_per_tag:.1f}"
        row = [
            f"{words['written']} {progress.written}/{progress.total}",
            f"{words['left']} {progress.left}",
            f"{words['unfinished']} {progress.unfinished}",
            f"{pace} {words['per_tag']}",
            f"{words['time_left']} {_clock(progress.seconds_left)}",
        ]
        table.add_row(*(Text(cell, style="bold", no_wrap=True) for cell in row))
        bar = ProgressBar(total=max(1, progress.total), completed=progress.written, width=COLUMNS - 2)
        whole = Table.grid()
        whole.add_row(bar)
        whole.add_row(table)
        return whole

    def _rejects(self, progress: Progress) -> list[Text]:
        shown = ", ".join(f"{self._short(code)} {count}" for code, count in progress.rejects[:_SHOWN_REJECTS])
        more = len(progress.rejects) - _SHOWN_REJECTS
        rejects = f"{self._words['rejects']}: {shown or 0}" + (f" +{more}" if more > 0 else "")
        return [
            Text(rejects, no_wrap=True, overflow="ellipsis"),
            Text(
                self._words.statements(progress.sent, progress.queued, progress.refused),
                style="bold red" if progress.refused else "",
                no_wrap=True,
            ),
        ]

    def _short(self, code: str) -> str:
        """A reason in a table: its code, which is a word in English."""
        return code if self._words.language == "en" else refusal_words.of_code(code, self._words.language)[0]

    def _tag(self, moment: Moment) -> Text:
        rich_sign, ascii_sign, _ = _SIGNS[moment.kind]
        told = f"{moment.seconds or 0:.1f} s"
        if moment.kind == "wrong" and moment.outcome is not None:
            told = self._short(moment.outcome.code)
        line = f"{ascii_sign if self._plain else rich_sign} {_named(self._words, moment)}  {told}"
        return Text(line, style="green" if moment.kind == "done" else "red", no_wrap=True, overflow="ellipsis")


def choose(words: Words, sound: Sound, title: str, unattended: bool) -> Lines | Screen:
    """The full screen on a terminal that can show one."""
    able = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")
    return Screen(words, sound, title) if able and not unattended else Lines(words, sound)


def _named(words: Words, moment: Moment) -> str:
    parts = []
    if moment.item is not None:
        parts.append(f"{words['row']} {moment.item.row}  {words['serial']} {moment.item.item.serial}")
    if moment.uid is not None:
        parts.append(f"{words['tag']} {moment.uid.hex().upper()}")
    return "  ".join(parts)


def _make_heard(sound: Sound, moment: Moment) -> None:
    if moment.kind == "done":
        sound.good()
    elif moment.kind == "wrong":
        sound.wrong()


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
