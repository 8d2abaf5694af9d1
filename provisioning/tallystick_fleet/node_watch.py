"""Hot-plug: whoever is plugged in is worked on, a few at a time, until told to stop. Unplugging means: try again.

Knows nothing of nodes: `work(board)` does the work and says whether it went well.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from tallystick_fleet.boards import Board, Boards

PARALLEL = 4  # a hub has four ports, and a person watches no more at once
MAX_PARALLEL = 16  # threads of one laptop
LOOK_EVERY_S = 0.5  # soon enough for a person who plugs in


@dataclass(slots=True)
class Watch:
    """`work` gets each board once, and again after it failed and was pulled out.

    `finished` went well; `failed` did not, and are still plugged in; `handled` are all that were worked on. `renamed`:
    boards that show another serial number now, and the one by which they were begun.
    """

    boards: Boards
    work: Callable[[Board], bool]
    parallel: int = PARALLEL
    finished: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    handled: set[str] = field(default_factory=set)
    renamed: Mapping[str, str] = field(default_factory=dict)
    _running: dict[str, Future[bool]] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)  # of those that run, where they are known

    def run(
        self,
        until: Callable[["Watch"], bool],
        look: Callable[[list[Board]], None] = lambda boards: None,
        ending: Callable[[], None] = lambda: None,
    ) -> None:
        """Until `until(self)` holds while nothing runs. `look` hears at every turn which boards are connected.

        KeyboardInterrupt begins nothing more, says `ending`, waits for what runs and returns.
        """
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="board") as pool:
            try:
                while self._running or not until(self):
                    connected = self.boards()
                    look(connected)
                    self._settle()
                    self.failed &= {self._name(board) for board in connected}
                    self._begin(pool, connected)
                    wait(list(self._running.values()), LOOK_EVERY_S, FIRST_COMPLETED) if self._running else _pause()
            except KeyboardInterrupt:
                ending()
                wait(list(self._running.values()))
                self._settle()

    def _begin(self, pool: ThreadPoolExecutor, connected: list[Board]) -> None:
        for board in connected:
            name = self._name(board)
            known = name in self._running or name in self.finished or name in self.failed
            if not known and not self._is_taken(board) and len(self._running) < self.parallel:
                self._places[name] = board.location
                self._running[name] = pool.submit(self.work, board)

    def _name(self, board: Board) -> str:
        return self.renamed.get(board.serial, board.serial)

    def _is_taken(self, board: Board) -> bool:
        """Whether it hangs where another one is worked on, which may show another number at any moment."""
        return bool(board.location) and board.location in (self._places[name] for name in self._running)

    def _settle(self) -> None:
        """What is through. A board that failed and is pulled out may come again."""
        for serial, future in list(self._running.items()):
            if future.done():
                del self._running[serial]
                self.handled.add(serial)
                (self.finished if future.result() else self.failed).add(serial)


def _pause() -> None:
    time.sleep(LOOK_EVERY_S)
