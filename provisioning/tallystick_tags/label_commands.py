"""`tallystick tag labels`: the labels of a job's tags."""

from pathlib import Path

from tallystick_provisioning import label, label_pdf, label_zpl, whole_file
from tallystick_provisioning.errors import UsageError
from tallystick_provisioning.exit_codes import DONE, reporting
from tallystick_tags.errors import JobError
from tallystick_tags.tag_job import LOCKED, WRITTEN, Job


@reporting()
def labels(
    job: Path, *, pdf: Path | None = None, zpl: Path | None = None, every: bool = False, force: bool = False
) -> int:
    """Print the labels of the written tags, 50 x 30 mm: QR, GS1 DataMatrix, serial, GTIN and name.

    Example:
        tallystick tag labels shrimp.job --pdf labels.pdf

    Parameters
    ----------
    job
        Job file.
    pdf
        PDF to write, one label a page.
    zpl
        ZPL to write, for a label printer of 203 dpi; send it to the printer as it is.
    every
        Labels of all rows, also of those that have no tag yet.
    force
        Write over a file that is there already.
    """
    if pdf is None and zpl is None:
        raise UsageError("give --pdf FILE or --zpl FILE")
    with Job(job) as opened:
        items = opened.items() if every else opened.items(WRITTEN, LOCKED)
        made = [label.of_item(one.item, opened.head.host, one.name) for one in items]
    if not made:
        raise JobError("no tag is written yet; --every prints the labels of all rows")
    for path, pages in ((pdf, label_pdf.pages), (zpl, label_zpl.pages)):
        if path is not None:
            whole_file.write_output(path, [pages(made)], force=force)
            print(f"{len(made)} labels in {path}")
    return DONE
