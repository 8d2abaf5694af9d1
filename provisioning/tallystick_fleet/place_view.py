"""What a person with a scanner sees: what to scan next, in one big word, and what was placed. A beep says the rest."""

from collections.abc import Sequence

from rich.align import Align
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from tallystick_fleet import place_words
from tallystick_fleet.live_view import LiveView
from tallystick_fleet.place_loop import PlaceLoop, Step
from tallystick_fleet.place_words import WORDS
from tallystick_provisioning.screen_words import Language
from tallystick_provisioning.sound import Sound

SHOWN = 8  # the last ones, of a terminal of 24 lines


class PlaceView(LiveView):
    """On a terminal one picture that stays; elsewhere a line for each step."""

    def __init__(self, console: Console, language: Language, sound: Sound, loop: PlaceLoop) -> None:
        super().__init__(console)
        self._sound, self._loop = sound, loop
        self._language, self._words = language, WORDS[language]
        self._last: Step | None = None
        self._trouble = ""

    def show(self, step: Step) -> None:
        """Seen and heard: high for what was taken, low for what is wrong."""
        self._last, self._trouble = step, ""
        (self._sound.wrong if step.kind == "wrong" else self._sound.good)()
        self._draw(self.line(step))

    def trouble(self, text: str) -> None:
        """At the reader."""
        self._trouble = text
        self._sound.wrong()
        self._draw(text)

    def line(self, step: Step) -> str:
        """A step in one line."""
        words, nowhere = self._words, self._words["nowhere"]
        if step.kind == "wrong":
            return words["wrong"].format(reason=self._reason(step))
        if step.kind == "node":
            told = f"{words['place'].format(node=step.node)} ({step.serial})"
            return told + (f"; {words['before'].format(before=step.before)}" if step.before else "")
        told = words[step.kind].format(node=step.node, place=step.place or nowhere)
        if step.kind == "placed" and step.before not in ("", step.place):
            told += f"; {words['before'].format(before=step.before)}"
        return told + (f"; {words['also'].format(also=', '.join(step.also))}" if step.also else "")

    def _reason(self, step: Step) -> str:
        """Why it is wrong; empty when it is not."""
        return place_words.reason(self._language, step.code, *step.about) if step.code else step.reason

    def picture(self) -> Group:
        """The whole screen as it stands."""
        waiting, words = self._loop.waiting, self._words
        big = words["node"] if waiting is None else words["place"].format(node=waiting.name)
        wrong = self._trouble or ("" if self._last is None else self._reason(self._last))
        style = "bold white on red" if wrong else "bold white on blue" if waiting is None else "bold black on yellow"
        said = Text(f"\n✗ {words['wrong'].format(reason=wrong)}" if wrong else "")
        panel = Panel(Group(Align.center(Text(big)), said), style=style, padding=(1, 2, 0, 2))
        return Group(panel, *self._placed(), self._totals())

    def _placed(self) -> Sequence[Text]:
        return [Text(f"✓ {self.line(step)}", no_wrap=True, overflow="ellipsis") for step in self._loop.steps[-SHOWN:]]

    def _totals(self) -> Text:
        left = sum(not node.place for node in self._loop.nodes.nodes())
        text = Text("\n" + self._words["count"].format(done=len(self._loop.steps), left=left), style="bold")
        if self._loop.dry_run:
            text.append(f"\n{self._words['dry']}", style="bold")
        return text.append(f"\n{self._words['keys']}", style="dim")

    def _draw(self, line: str) -> None:
        if not self._redraw():
            self._console.print(line, highlight=False, soft_wrap=True, markup=False)
