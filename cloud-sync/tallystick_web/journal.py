"""The service's log: one JSON object a line, on stderr."""

import json
import logging
import time
import traceback

_LOGGER = logging.getLogger("tallystick.cloud")


def set_up() -> None:
    """Send lines to stderr; a process calls it once."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False


def say(event: str, **fields: object) -> None:
    _LOGGER.info("%s", _line("info", event, fields))


def warn(event: str, **fields: object) -> None:
    _LOGGER.warning("%s", _line("warning", event, fields))


def fault(event: str, error: BaseException, **fields: object) -> None:
    """Something that should not happen, with where it happened."""
    trace = "".join(traceback.format_exception(error))
    _LOGGER.error("%s", _line("error", event, {**fields, "error": str(error), "trace": trace}))


def _line(level: str, event: str, fields: dict[str, object]) -> str:
    return json.dumps({"time_ms": time.time_ns() // 1_000_000, "level": level, "event": event, **fields}, default=str)
