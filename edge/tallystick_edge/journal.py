"""Structured log: one `key=value` line an event, to stderr. Values from outside are quoted and cut."""

import json
import sys
import time
from typing import TextIO

MAX_VALUE_CHARACTERS = 200  # a line stays a line, whatever a peer sends


class Journal:
    """Writes `time level event key=value ...`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        words = [f"time={now}", f"level={level}", f"event={event}"]
        words += [f"{key}={_value(value)}" for key, value in fields.items()]
        # One write call: lines of several threads do not mix.
        stream = self._stream or sys.stderr
        stream.write(" ".join(words) + "\n")
        stream.flush()


def _value(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    if len(text) > MAX_VALUE_CHARACTERS:
        text = text[:MAX_VALUE_CHARACTERS] + "..."
    plain = text and all(character.isalnum() or character in "-_.:/+" for character in text)
    return text if plain and text.isascii() else json.dumps(text)
