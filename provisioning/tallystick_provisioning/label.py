"""One label of 50 x 30 mm: a QR code, a GS1 DataMatrix where there is one, three lines. Where everything lies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import segno
from pystrich.datamatrix import FNC1, DataMatrixData, DataMatrixEncoder

from tallystick_provisioning import label_text
from tallystick_provisioning.errors import FileError
from tallystick_provisioning.item import Item

WIDTH_MM, HEIGHT_MM = 50.0, 30.0
QR_MM, QR_AT = 20.6, (0.5, 0.0)  # its quiet zone inside
DATAMATRIX_MM, DATAMATRIX_AT = 14.0, (34.0, 2.5)
QR_QUIET, DATAMATRIX_QUIET = 4, 2  # modules of white around the code (ISO/IEC 18004; 16022 wants 1)
LEFT_MM, TEXT_WIDTH_MM = 2.0, 46.0
BASELINE_MM, LINE_MM, TEXT_MM = 22.8, 3.0, 2.7
MAX_LINES = 3  # more would stand below the edge
# Debian's fonts-noto-cjk, which has every letter of a Chinese name; the face of the file for simplified Chinese.
FONTS = (
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc"),
)
FONT_FACE = 2

Modules = Sequence[Sequence[bool]]


@dataclass(frozen=True, slots=True)
class Label:
    """What is drawn: the QR code's text, the GS1 element string of the DataMatrix or None, and the lines below."""

    qr: str
    elements: str | None
    lines: tuple[str, ...]


def of_item(one: Item, host: str, name: str) -> Label:
    """The label of a tag's item: what its tag says, for who has no NFC."""
    return Label(one.url(host), label_text.element_string(one), (f"SN {one.serial}", f"GTIN {one.gtin}", name))


def qr(label: Label) -> Modules:
    """The QR code's modules, quiet zone included."""
    code = segno.make(label.qr, error="m", micro=False)
    return [[bool(module) for module in row] for row in code.matrix_iter(border=QR_QUIET)]


def datamatrix(elements: str) -> Modules:
    """The GS1 DataMatrix's modules, quiet zone included. FNC1 as its first codeword is what makes it a GS1 one."""
    data = DataMatrixData(FNC1, elements, encoding="ascii")
    rows = DataMatrixEncoder(data).get_ascii().splitlines()
    width = max(map(len, rows))
    core = [[row.ljust(width)[at] != " " for at in range(0, width, 2)] for row in rows if row.strip()]
    side, quiet = len(core[0]), DATAMATRIX_QUIET
    empty = [[False] * (side + 2 * quiet)] * quiet
    return [*empty, *([*[False] * quiet, *row, *[False] * quiet] for row in core), *empty]


def runs(row: Sequence[bool]) -> list[tuple[int, int]]:
    """(first, how many) of the black modules side by side: one rectangle each."""
    found, start = [], None
    for at, black in enumerate([*row, False]):
        if black and start is None:
            start = at
        elif not black and start is not None:
            found.append((start, at - start))
            start = None
    return found


def font(labels: Sequence[Label]) -> Path | None:
    """The font file; None when there is none and no label needs it."""
    return font_for(line for label in labels for line in label.lines)


def font_for(lines: Iterable[str]) -> Path | None:
    """The same for any text; FileError names what cannot be written without it."""
    found = next((path for path in FONTS if path.exists()), None)
    needed = next((line for line in lines if not line.isascii()), None)
    if found is None and needed is not None:
        raise FileError(f"no font for {needed!r}: apt-get install fonts-noto-cjk")
    return found
