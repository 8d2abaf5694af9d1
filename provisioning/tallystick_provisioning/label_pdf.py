"""Labels as PDF: one page a label, vector bars, text that can be searched."""

from collections.abc import Sequence
from pathlib import Path

from fpdf import FPDF

from tallystick_provisioning import label
from tallystick_provisioning.label import Label, Modules

_POINTS_PER_MM = 72 / 25.4


def pages(labels: Sequence[Label]) -> bytes:
    """The PDF of all labels in order; FileError when a name needs a font that is not there."""
    pdf = FPDF(unit="mm", format=(label.WIDTH_MM, label.HEIGHT_MM))
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.set_title("Labels")
    _choose_font(pdf, label.font(labels))
    for one in labels:
        pdf.add_page()
        _draw(pdf, label.qr(one), label.QR_AT, label.QR_MM)
        if one.elements is not None:
            _draw(pdf, label.datamatrix(one.elements), label.DATAMATRIX_AT, label.DATAMATRIX_MM)
        for number, line in enumerate(one.lines[: label.MAX_LINES]):
            pdf.text(label.LEFT_MM, label.BASELINE_MM + number * label.LINE_MM, _fitting(pdf, shown(pdf, line)))
    return bytes(pdf.output())


def shown(pdf: FPDF, text: str) -> str:
    """The text, with the number of each character that the font in use lacks: no part of a name vanishes unseen."""
    known = getattr(pdf.current_font, "cmap", None)
    if known is None:
        return text
    return "".join(one if ord(one) in known or one == "\n" else f"<U+{ord(one):04X}>" for one in text)


def _choose_font(pdf: FPDF, path: Path | None) -> None:
    if path is None:
        pdf.set_font("Helvetica", size=label.TEXT_MM * _POINTS_PER_MM)
        return
    pdf.add_font("label", "", path, collection_font_number=label.FONT_FACE)
    pdf.set_font("label", size=label.TEXT_MM * _POINTS_PER_MM)


def _draw(pdf: FPDF, modules: Modules, at: tuple[float, float], side_mm: float) -> None:
    """Each row's black runs as rectangles."""
    size = side_mm / len(modules)
    for y, row in enumerate(modules):
        for start, count in label.runs(row):
            pdf.rect(at[0] + start * size, at[1] + y * size, count * size, size, style="F")


def _fitting(pdf: FPDF, text: str) -> str:
    """The text, cut with an ellipsis where the label ends."""
    if pdf.get_string_width(text) <= label.TEXT_WIDTH_MM:
        return text
    while text and pdf.get_string_width(f"{text}...") > label.TEXT_WIDTH_MM:
        text = text[:-1]
    return f"{text}..."
