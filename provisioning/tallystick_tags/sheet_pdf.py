"""A closing sheet as PDF: A4 across, tables over as many pages as it takes, the same bytes for the same sheet."""

from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF
from fpdf.fonts import FontFace

from tallystick_provisioning import label
from tallystick_provisioning.label_pdf import shown
from tallystick_tags.sheet import Sheet, Table

MARGIN_MM = 10.0
TITLE_POINTS, HEADING_POINTS, TEXT_POINTS, CELL_POINTS = 18, 11, 9, 7
LINE_MM, CELL_LINE_MM = 5.0, 3.2
_FACT_MM = 75.0  # width of what a fact is called
_FAMILY = "sheet"
_HEAD = FontFace(emphasis="", fill_color=(225, 230, 235))


class _Pages(FPDF):
    """Pages with their number and what they belong to."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(orientation="landscape", unit="mm", format="A4")
        self._sheet = sheet
        self.family = "Helvetica"
        self.count = _word_for_the_count(sheet)
        self.alias_nb_pages(self.count)

    def footer(self) -> None:
        self.set_y(-MARGIN_MM)
        self.set_font(self.family, size=CELL_POINTS)
        made = datetime.fromtimestamp(self._sheet.made_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"{self._sheet.title}  {made}   {self._sheet.page} {self.page_no()} / {self.count}"
        self.cell(0, LINE_MM, text, align="R")


def draw(sheet: Sheet) -> tuple[bytes, int]:
    """The PDF and how many pages it has; FileError when a name needs a font that is not there."""
    pdf = _Pages(sheet)
    pdf.set_creation_date(datetime.fromtimestamp(sheet.made_ms / 1000, UTC))
    pdf.set_title(sheet.title)
    pdf.set_margin(MARGIN_MM)
    pdf.set_auto_page_break(True, 2 * MARGIN_MM)
    _choose_font(pdf, label.font_for(sheet.texts()))
    pdf.add_page()
    pdf.set_font(pdf.family, size=TITLE_POINTS)
    pdf.cell(0, 2 * LINE_MM, sheet.title, new_x="LMARGIN", new_y="NEXT")
    pdf.set_font(pdf.family, size=TEXT_POINTS)
    for name, value in sheet.facts:
        pdf.cell(_FACT_MM, LINE_MM, name)
        pdf.cell(0, LINE_MM, shown(pdf, value), new_x="LMARGIN", new_y="NEXT")
    for table in sheet.tables:
        _draw_table(pdf, table)
    pdf.ln(LINE_MM)
    pdf.set_font(pdf.family, size=TEXT_POINTS)
    pdf.multi_cell(0, LINE_MM, sheet.remark, align="L")
    return bytes(pdf.output()), pdf.page_no()


def _word_for_the_count(sheet: Sheet) -> str:
    """What stands for the number of pages until it is known: something that no name on the sheet contains."""
    word, texts = "{nb}", sheet.texts()
    while any(word in text for text in texts):
        word = f"{{{word}}}"
    return word


def _choose_font(pdf: _Pages, path: Path | None) -> None:
    if path is not None:
        pdf.add_font(_FAMILY, "", path, collection_font_number=label.FONT_FACE)
        pdf.family = _FAMILY


def _draw_table(pdf: _Pages, table: Table) -> None:
    """Heading, then rows; a heading never stands alone at the foot of a page."""
    pdf.ln(LINE_MM)
    if pdf.will_page_break(4 * LINE_MM):
        pdf.add_page()
    pdf.set_font(pdf.family, size=HEADING_POINTS)
    pdf.cell(0, 1.6 * LINE_MM, shown(pdf, table.heading), new_x="LMARGIN", new_y="NEXT")
    pdf.set_font(pdf.family, size=CELL_POINTS)
    widths = tuple(width for _, width in table.columns)
    with pdf.table(
        col_widths=widths, line_height=CELL_LINE_MM, padding=(0.6, 1.0), text_align="LEFT",
        borders_layout="HORIZONTAL_LINES", headings_style=_HEAD,
    ) as drawn:  # fmt: skip
        for cells in (tuple(title for title, _ in table.columns), *table.rows):
            row = drawn.row()
            for cell in cells:
                row.cell(shown(pdf, cell))
