"""What an installer sees while boards are provisioned: one line a board, the totals, what to do next.

On a terminal a table that stays in place, at 80 columns; elsewhere one line for each change.
"""

import threading
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tallystick_provisioning.node_table import KnownNode
from tallystick_provisioning.provision_node import DONE, ENROL, FLASH, TEST, NodeReport

# Never colour alone: every state is a word too.
WORDS = {
    "en": {"done": "ok", "failed": "FAILED", "left": "left", "ending": "ending",
           "waiting": "plug in a board; Ctrl-C ends"},
    "zh": {"done": "正常", "failed": "失败", "left": "剩余", "ending": "正在结束",
           "waiting": "请接入电路板;按 Ctrl-C 结束"},
}
STEP_WORDS = {
    "en": {"connect": "connect", FLASH: "copy files", ENROL: "enrol", TEST: "first reading", DONE: "works"},
    "zh": {"connect": "连接", FLASH: "写入程序", ENROL: "登记", TEST: "首次读数", DONE: "正常"},
}
ROWS = 14  # of a terminal of 24 lines; finished boards scroll away first


class NodeView:
    """Threads call `tell` and `came`. `expected`: how many boards there will be, None when nobody knows."""

    def __init__(self, console: Console, language: str, expected: int | None) -> None:
        self._console, self._words, self._steps = console, WORDS[language], STEP_WORDS[language]
        self._expected = expected
        self._lock = threading.Lock()
        self._now: dict[str, tuple[str, int]] = {}
        self._names: dict[str, str] = {}
        self._reports: dict[str, NodeReport] = {}
        self._live = Live(self.picture(), console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> "NodeView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def named(self, serial: str, name: str) -> None:
        self._names[serial] = name

    def ending(self) -> None:
        """Told to stop: what runs is finished, nothing more begins."""
        self._console.print(self._words["ending"], style="dim")

    def tell(self, serial: str, step: str, percent: int) -> None:
        """A board is at `step`, so far of it done."""
        with self._lock:
            new = self._now.get(serial, ("", 0))[0] != step
            self._now[serial] = (step, percent)
            if self._live:
                self._live.update(self.picture(), refresh=True)
            elif new:
                self._console.print(f"{serial}: {self._steps[step]}", highlight=False, soft_wrap=True)

    def came(self, report: NodeReport) -> None:
        """A board is through, well or not."""
        with self._lock:
            self._reports[report.serial] = report
            self._now.pop(report.serial, None)
            if self._live:
                self._live.update(self.picture(), refresh=True)
            elif not report.done:
                text = f"{report.serial}: {self._words['failed']}: {report.reason}. {report.next_action}"
                self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def picture(self) -> Group:
        """The whole screen as it stands."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
        for title, ratio in (("board", 4), ("name", 5), ("step", 4), ("", 7)):
            table.add_column(title, ratio=ratio, no_wrap=True, overflow="ellipsis")
        failed = [report for report in self._reports.values() if not report.done]
        for serial, (step, percent) in list(self._now.items())[:ROWS]:
            bar = f"{'#' * (percent // 10):.<10} {percent:3d} %" if step == FLASH else ""
            table.add_row(serial, self._names.get(serial, ""), self._steps[step], bar)
        for report in failed[-(ROWS - min(ROWS, len(self._now))) :]:
            name = self._names.get(report.serial, "")
            table.add_row(report.serial, name, self._words["failed"], Text(report.reason), style="bold red")
        return Group(table, self._totals(len(failed)))

    def _totals(self, failed: int) -> Text:
        done = len(self._reports) - failed
        parts = [f"{done} {self._words['done']}", f"{failed} {self._words['failed']}"]
        if self._expected is not None:
            parts.append(f"{max(0, self._expected - done)} {self._words['left']}")
        text = Text(" | ".join(parts), style="bold")
        return text if self._now else text.append(f"\n{self._words['waiting']}", style="dim")


def show_list(console: Console, nodes: Sequence[KnownNode]) -> None:
    """`node list`, and the report at the end of a day."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("board", "name", "place", "kid", "state", "reason"):
        table.add_column(title, no_wrap=title in ("board", "kid"), overflow="fold")
    for node in nodes:
        state = "works" if node.works else f"stopped at {node.step}" if node.step else "new"
        cells = (node.serial, node.name, node.place, node.kid, state, node.reason)
        table.add_row(*(Text(cell) for cell in cells), style="" if node.works else "bold red")
    console.print(table)
    good = sum(node.works for node in nodes)
    console.print(f"{len(nodes)} nodes, {good} work, {len(nodes) - good} do not", highlight=False)
