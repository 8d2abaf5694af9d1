"""`tallystick node labels`: what is stuck on a node: QR code with its thumbprint, name, serial number and kid."""

from pathlib import Path

from tallystick_fleet.errors import PlanError
from tallystick_fleet.node_table import KnownNode, NodeTable, existing
from tallystick_provisioning import label_pdf, label_zpl, whole_file
from tallystick_provisioning.errors import UsageError
from tallystick_provisioning.exit_codes import DONE, reporting
from tallystick_provisioning.label import Label


def of_node(node: KnownNode) -> Label:
    """The label of a node. `node place` takes what a scanner reads from its code."""
    return Label(node.thumbprint, None, (node.name, f"SN {node.serial}", f"KID {node.kid}"))


@reporting()
def labels(
    *, table: Path = Path("nodes.db"), pdf: Path | None = None, zpl: Path | None = None, force: bool = False
) -> int:
    """Print the labels of the working nodes, 50 x 30 mm: QR code of the node's key, name, serial number.

    Example:
        tallystick node labels --pdf nodes.pdf

    Parameters
    ----------
    table
        The site's list of nodes.
    pdf
        PDF to write, one label a page.
    zpl
        ZPL to write, for a label printer of 203 dpi.
    force
        Write over a file that is there already.
    """
    if pdf is None and zpl is None:
        raise UsageError("give --pdf FILE or --zpl FILE")
    with NodeTable(existing(table)) as nodes:
        made = [of_node(node) for node in nodes.nodes() if node.works]
    if not made:
        raise PlanError("no node works yet: there is nothing to stick a label on")
    for path, pages in ((pdf, label_pdf.pages), (zpl, label_zpl.pages)):
        if path is not None:
            whole_file.write_output(path, [pages(made)], force=force)
            print(f"{len(made)} labels in {path}")
    return DONE
