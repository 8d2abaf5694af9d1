"""Output on a terminal that cannot show everything: the nearest plain character instead of a traceback."""

import codecs
from io import TextIOWrapper
from typing import TextIO

_HANDLER = "tallystick-plain"
_NEAREST = {
    "\u2022": "*", "\u2013": "-", "\u2014": "-", "\u2026": "...", "\u2018": "'", "\u2019": "'", "\u201c": '"',
    "\u201d": '"', "\u00b1": "+-", "\u00d7": "x", "\u2192": "->", "\u2190": "<-", "\u2500": "-", "\u2502": "|",
}  # fmt: skip


def degrade(*streams: TextIO) -> None:
    """From now on these streams write what their encoding cannot as the nearest plain character, or as its escape."""
    codecs.register_error(_HANDLER, _plain)
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_NEAREST.get(one, one.encode("ascii", "backslashreplace").decode()) for one in text), error.end
