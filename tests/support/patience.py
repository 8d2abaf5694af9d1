"""How long a test waits for what must come: far longer than a busy machine takes, and yet not for ever."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 60.0  # on two cores that run everything at once a process may get its turn seconds late


def until(what: Callable[[], Any], why: Callable[[], str] | str, patience_s: float = PATIENCE_S) -> Any:
    """What `what` answers once it is true; an AssertionError that says why not."""
    end = time.monotonic() + patience_s
    while not (found := what()):
        if time.monotonic() > end:
            raise AssertionError(f"not in {patience_s:.0f} s: {why if isinstance(why, str) else why()}")
        time.sleep(0.02)
    return found


def whole_lines(text: str) -> list[str]:
    """The lines of a file that somebody is writing: the last one counts when its end is there."""
    return text[: text.rfind("\n") + 1].splitlines()
