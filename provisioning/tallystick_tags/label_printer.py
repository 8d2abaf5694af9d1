"""The label of each finished tag, to a label printer at once: it comes out while the next tag is put down."""

from pathlib import Path

from tallystick_provisioning import label, label_zpl
from tallystick_provisioning.errors import FileError
from tallystick_tags.tag_run import Moment, View

_ZPL = b"^XA"  # how a label begins


class LabelPrinter:
    """A view in front of another: prints what is done where there is a printer. One that fails stops no tag.

    A file instead of a device collects the labels; FileError where it holds anything else.
    """

    def __init__(self, view: View, path: Path | None, host: str) -> None:
        self._view, self._path, self._host = view, path, host
        self.missing: list[int] = []  # rows whose label did not get to the printer
        self.why: str | None = None
        if path is not None and path.is_file():
            _refuse_other(path)

    def show(self, moment: Moment) -> None:
        self._view.show(moment)
        if self._path is None or moment.kind != "done" or moment.item is None:
            return
        try:
            one = label.of_item(moment.item.item, self._host, moment.item.name)
            with self._path.open("ab") as printer:
                printer.write(label_zpl.pages([one]))
        except OSError as error:
            self.missing.append(moment.item.row)
            self.why = error.strerror

    def summary(self) -> list[str]:
        """Which labels are missing, and what to do; nothing when none is."""
        if not self.missing:
            return []
        rows = ", ".join(map(str, self.missing))
        return [f"labels of rows {rows} were not printed ({self._path}: {self.why}): print them with `tag labels`"]


def _refuse_other(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_ZPL)) not in (b"", _ZPL):
            raise FileError(f"{path}: holds something else than labels; --printer adds to no such file")
