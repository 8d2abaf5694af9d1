"""What an installer sees while boards are provisioned: one line a board, the totals, what to do next.

On a terminal a table that stays in place, at 80 columns; elsewhere one line for each change.
"""

import threading
import time
from collections.abc import Sequence

from rich import box
from rich.cells import set_cell_size
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tallystick_fleet.boards import TWINS
from tallystick_fleet.live_view import LiveView
from tallystick_fleet.node_table import KnownNode
from tallystick_fleet.provision_node import (
    DONE,
    ENROL,
    ERASE,
    FLASH,
    INTERPRETER,
    LIST,
    NEXT_ACTION,
    TEST,
    NodeReport,
)
from tallystick_provisioning.screen_words import Language

# Never colour alone: every state is a word too.
WORDS = {
    "en": {"done": "ok", "failed": "FAILED", "left": "left", "more": "more failed: `tallystick node list` has them all",
           "ending": "ending: waiting for the boards that are being worked on", "do": "do",
           "waiting": "plug in a board; Ctrl-C ends", "again": "was enrolled already; tested again",
           "moved": "came back on the same USB port as",
           "erase": "{serial} holds {holds}. Erase ALL of it for good? y + Enter: yes; Enter: no"},
    "zh": {"done": "正常", "failed": "失败", "left": "剩余", "more": "块失败未显示,见 tallystick node list",
           "ending": "正在结束:等待进行中的电路板", "do": "处理",
           "waiting": "请接入电路板;按 Ctrl-C 结束", "again": "此前已登记,本次仅重新测试",
           "moved": "在同一 USB 口重新出现,序列号为",
           "erase": "{serial} 内有 {holds}。全部擦除且无法恢复?输入 y 回车:擦除;直接回车:不擦"},
}
STEP_WORDS = {
    "en": {"connect": "connect", INTERPRETER: "MicroPython", ERASE: "erase", FLASH: "copy files", ENROL: "enrol",
           TEST: "first reading", DONE: "works"},
    "zh": {"connect": "连接", INTERPRETER: "写入解释器", ERASE: "擦除", FLASH: "写入程序", ENROL: "登记",
           TEST: "首次读数", DONE: "正常"},
}
ACTION_WORDS = {
    "en": NEXT_ACTION,
    "zh": {"connect": "检查数据线;若是他人的电路板,按住 BOOT 接入并擦除",
           INTERPRETER: "重新接入,写入会从头开始(不能自动复位的须按住 BOOT);型号不符的放到一边",
           ERASE: "放到一边;或加 --erase 重新开始,并在询问时确认",
           FLASH: "重新接入,会从中断处继续", ENROL: "重新接入;属于其他账本的节点须先擦除",
           LIST: "清理本机磁盘后重新接入,已完成的不会重做",
           TEST: "检查传感器和电池后重新接入,仍失败则放到一边"},
}
SCREEN_LINES = 18  # of a terminal of 24: the others are for what is left out, the totals and what to do
FAILURE_LINES = 4  # at most, at 80 columns: who, why and what to do
SERIAL_WIDTH = 20


class NodeView(LiveView):
    """Threads call `tell` and `came`. `expected`: how many boards there will be, None when nobody knows."""

    def __init__(self, console: Console, language: Language, expected: int | None) -> None:
        super().__init__(console)
        self._words, self._steps = WORDS[language], STEP_WORDS[language]
        self._actions = ACTION_WORDS[language]
        self._expected = expected
        self._lock = threading.Lock()
        self._now: dict[str, tuple[str, int]] = {}
        self._names: dict[str, str] = {}
        self._reports: dict[str, NodeReport] = {}
        self._twins: set[str] = set()
        self._question = ""

    def named(self, serial: str, name: str) -> None:
        with self._lock:
            self._names[serial] = name

    def moved(self, serial: str, now: str) -> None:
        """A board shows another serial number than before."""
        with self._lock:
            self._now.pop(serial, None)
            self._names.pop(serial, None)
            self._say(f"{serial}: {self._words['moved']} {now}")

    def ending(self) -> None:
        """Told to stop: what runs is finished, nothing more begins."""
        self._say(self._words["ending"])

    def question(self, serial: str, holds: str) -> None:
        """A board may be erased if the person says so; "" takes the question away."""
        with self._lock:
            self._question = self._words["erase"].format(serial=serial, holds=holds) if holds else ""
            if not self._redraw() and holds:
                self._say(self._question)

    def note(self, serial: str, text: str) -> None:
        """Something that a person should know of a board that goes on."""
        self._say(f"{serial}: {text}")

    def twins(self, serials: set[str]) -> None:
        """Serial numbers that two connected boards have; each is said once."""
        for serial in sorted(serials - self._twins):
            self._say(f"{serial}: {TWINS}")
        self._twins |= serials

    def tell(self, serial: str, step: str, percent: int) -> None:
        """A board is at `step`, so far of it done."""
        with self._lock:
            new = self._now.get(serial, ("", 0))[0] != step
            self._now[serial] = (step, percent)
            if not self._redraw() and new:
                self._say(f"{serial}: {self._steps[step]}")

    def came(self, report: NodeReport) -> None:
        """A board is through, well or not."""
        with self._lock:
            self._reports[report.serial] = report
            self._now.pop(report.serial, None)
            is_seen = self._redraw()
            if report.done and report.was_enrolled:
                self._say(f"{report.serial}: {self._words['again']}")
            elif not is_seen and not report.done:
                text = f"{report.serial}: {self._words['failed']}: {report.reason}. {self._actions[report.step]}"
                self._say(text)

    def filled(self, drive: str) -> None:
        """A drive became a board, which is told of under its own number."""
        with self._lock:
            self._now.pop(drive, None)
            self._redraw()

    def picture(self) -> Group:
        """The whole screen as it stands."""
        failed = [report for report in self._reports.values() if not report.done]
        running = list(self._now.items())[: SCREEN_LINES - FAILURE_LINES]
        room = max(1, (SCREEN_LINES - len(running)) // FAILURE_LINES)
        shown = failed[-room:]
        lines = [self._running(serial, step, percent) for serial, (step, percent) in running]
        lines += [self._failure(report) for report in shown]
        if len(failed) > len(shown):
            lines.append(Text(f"{len(failed) - len(shown)} {self._words['more']}", style="bold red"))
        asked = [Text(self._question, style="bold reverse")] if self._question else []
        return Group(*lines, self._totals(len(failed)), *asked)

    def _running(self, serial: str, step: str, percent: int) -> Text:
        bar = f"{'#' * (percent // 10):.<10} {percent:3d} %" if step in (INTERPRETER, ERASE, FLASH) else ""
        line = Text(_tail(serial).ljust(SERIAL_WIDTH), no_wrap=True, overflow="ellipsis")
        line.append(f"  {set_cell_size(self._names.get(serial, ''), 24)}  {set_cell_size(self._steps[step], 14)}{bar}")
        return line

    def _failure(self, report: NodeReport) -> Text:
        """Who, why, what to do: cut, with dots, where it would need more than FAILURE_LINES lines."""
        who = f"{_tail(report.serial)}  {self._names.get(report.serial, '')}  {self._words['failed']}"
        what = f"{_cut(report.reason, 150)}; {self._words['do']}: {self._actions[report.step]}"
        return Text(f"{who}: {what}", style="bold red")

    def _totals(self, failed: int) -> Text:
        done = len(self._reports) - failed
        parts = [f"{done} {self._words['done']}", f"{failed} {self._words['failed']}"]
        if self._expected is not None:
            parts.append(f"{max(0, self._expected - done)} {self._words['left']}")
        text = Text("\n" + " | ".join(parts), style="bold")
        return text if self._now else text.append(f"\n{self._words['waiting']}", style="dim")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)


def _tail(serial: str) -> str:
    """Boards of one lot differ at the end of their numbers."""
    return serial if len(serial) <= SERIAL_WIDTH else "…" + serial[1 - SERIAL_WIDTH :]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _seen(node: KnownNode) -> str:
    """What it ran when it was last asked; a number of the firmware it was made with it has only after an update."""
    if node.seen_ms is None:
        return ""
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(node.seen_ms / 1000))
    versions = [f"{kind} {number}" for kind, number in _versions(node) if number]
    return "\n" + ", ".join([*versions, f"runs {node.firmware[:8]}", f"seen {day}"])


def _versions(node: KnownNode) -> tuple[tuple[str, int], ...]:
    return ("firmware", node.firmware_version), ("config", node.config_version)


def show_list(console: Console, nodes: Sequence[KnownNode]) -> None:
    """`node list`, and the report at the end of a day: a line a node, then why some do not work."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("board", "name", "place", "kid", "state"):
        table.add_column(title, no_wrap=title in ("board", "kid"), overflow="fold")
    for node in nodes:
        state = "works" if node.works else f"stopped at {node.step}" if node.step else "new"
        state += _seen(node)
        cells = (node.serial, node.name, node.place, node.kid, state)
        table.add_row(*(Text(cell) for cell in cells), style="" if node.works else "bold red")
    console.print(table)
    for node in nodes:
        if node.reason:
            action = NEXT_ACTION.get(node.step, "try it again")
            console.print(Text(f"{node.serial} {node.name}: {node.reason}; do: {action}", style="bold red"))
    good = sum(node.works for node in nodes)
    console.print(f"{len(nodes)} nodes, {good} work, {len(nodes) - good} do not", highlight=False)
