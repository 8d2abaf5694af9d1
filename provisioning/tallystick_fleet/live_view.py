"""On a terminal one picture that stays in place; elsewhere nothing, and who tells something prints a line."""

from abc import ABC, abstractmethod
from typing import Self

from rich.console import Console, Group
from rich.live import Live


class LiveView(ABC):
    """What NodeView and PlaceView share: they say what the picture is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        has_screen = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False) if has_screen else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
            self._redraw()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def _redraw(self) -> bool:
        """Show how things stand; False where there is no picture."""
        if self._live:
            self._live.update(self.picture(), refresh=True)
        return self._live is not None

    @abstractmethod
    def picture(self) -> Group:
        """The whole screen as it stands."""
