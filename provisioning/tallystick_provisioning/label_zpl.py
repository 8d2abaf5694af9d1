"""Labels as ZPL for label printers: drawn here, dot by dot, because few printers have Chinese letters."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from zebrafy.zebrafy_image import ZebrafyImage

from tallystick_provisioning import label
from tallystick_provisioning.label import Label, Modules

DOTS_PER_MM = 8  # 203 dpi, the usual one
_WHITE, _BLACK = 1, 0

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def pages(labels: Sequence[Label]) -> bytes:
    """The ZPL of all labels in order; FileError when a name needs a font that is not there."""
    font = _font(label.font(labels))
    return "\n".join(ZebrafyImage(picture(one, font), format="Z64").to_zpl() for one in labels).encode("ascii")


def picture(one: Label, font: Font | None = None) -> Image.Image:
    """The label in black and white dots, as the printer burns it."""
    image = Image.new("1", (_dots(label.WIDTH_MM), _dots(label.HEIGHT_MM)), _WHITE)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"  # no grey: a printer has none
    _draw(draw, label.qr(one), label.QR_AT, label.QR_MM)
    if one.elements is not None:
        _draw(draw, label.datamatrix(one.elements), label.DATAMATRIX_AT, label.DATAMATRIX_MM)
    font = font or _font(label.font([one]))
    for number, line in enumerate(one.lines[: label.MAX_LINES]):
        at = _dots(label.LEFT_MM), _dots(label.BASELINE_MM + number * label.LINE_MM)
        draw.text(at, _fitting(font, line), font=font, fill=_BLACK, anchor="ls")
    return image


def _draw(draw: ImageDraw.ImageDraw, modules: Modules, at: tuple[float, float], side_mm: float) -> None:
    """Whole dots a module, so that none is wider than another."""
    dot, left, top = max(1, _dots(side_mm) // len(modules)), _dots(at[0]), _dots(at[1])
    for y, row in enumerate(modules):
        for start, count in label.runs(row):
            corner = left + start * dot, top + y * dot
            draw.rectangle((*corner, corner[0] + count * dot - 1, corner[1] + dot - 1), fill=_BLACK)


def _font(path: Path | None) -> Font:
    size = _dots(label.TEXT_MM)
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size, index=label.FONT_FACE)


def _fitting(font: Font, text: str) -> str:
    """The text, cut with an ellipsis where the label ends."""
    most = _dots(label.TEXT_WIDTH_MM)
    if font.getlength(text) <= most:
        return text
    while text and font.getlength(f"{text}...") > most:
        text = text[:-1]
    return f"{text}..."


def _dots(millimetres: float) -> int:
    return round(millimetres * DOTS_PER_MM)
