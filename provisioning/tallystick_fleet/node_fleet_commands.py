"""`tallystick node list|identify|survey`: where a site's nodes are, and which of them is which."""

import json as json_module
from contextlib import closing
from pathlib import Path

from rich.console import Console

from tallystick_fleet import boards as board_sources
from tallystick_fleet import node_survey, node_table, node_view
from tallystick_fleet.errors import PlanError
from tallystick_fleet.node_day import now_ms
from tallystick_fleet.node_table import DEFAULT_TABLE, NodeTable
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.serial_port import SerialPort
from tallystick_wire import message


@reporting()
def list_nodes(*, table: Path = DEFAULT_TABLE, json: bool = False) -> int:
    """List the site's nodes: board, name, place, state.

    Example:
        tallystick node list --json

    Parameters
    ----------
    table
        The site's list of nodes.
    json
        Print JSON.
    """
    with NodeTable(node_table.existing(table)) as nodes:
        rows = nodes.nodes()
    if json:
        print(json_module.dumps([node.value() for node in rows], indent=2))
    else:
        node_view.show_list(Console(), rows)
    return DONE


@reporting()
def identify(node: str, *, boards: str = "usb", table: Path = DEFAULT_TABLE) -> int:
    """Make a connected node show itself (its light changes).

    Example:
        tallystick node identify "Cold room 3 north"

    Parameters
    ----------
    node
        Serial number, kid, thumbprint or name.
    boards
        `usb`, or a folder of links to serial ports.
    table
        The site's list of nodes, for names.
    """
    serial = node
    if table.is_file():
        with NodeTable(table) as nodes:
            known = any(node in one.called for one in nodes.nodes())
            serial = nodes.find(node).serial if known else node
    connected = board_sources.source(boards)()
    if serial in board_sources.twins(connected):
        raise PlanError(f"{serial}: {board_sources.TWINS}")
    board = next((one for one in connected if one.serial == serial), None)
    if board is None:
        raise PlanError(f"no board {serial} is connected; a node at a gateway: `tallystick gateway identify`")
    with closing(SerialPort(board.port)) as port:
        taken = port.send(message.build_identify())
    print(f"{serial}: {'asked to show itself' if taken else 'does not take the message'}")
    return DONE if taken else REFUSED


@reporting()
def survey(status: Path, *, table: Path = DEFAULT_TABLE, within_s: int = 3600, json: bool = False) -> int:
    """Which of the site's nodes the gateway hears, and how well their radios hear: its `status --json` and the list.

    Exit code 1: some working node is not heard.

    Example:
        tallystick gateway status gateway/gateway.toml --json > status.json
        tallystick node survey status.json

    Parameters
    ----------
    status
        The gateway's `status --json`.
    table
        The site's list of nodes.
    within_s
        A node that was silent longer counts as not heard.
    json
        Print JSON.
    """
    with NodeTable(node_table.existing(table)) as nodes:
        heard = node_survey.compare(nodes.nodes(), node_survey.read_status(status), now_ms(), within_s)
    if json:
        print(json_module.dumps([one.value() for one in heard], indent=2))
    else:
        print("\n".join(one.line() for one in heard))
        print(node_survey.summary(heard, within_s))
    return DONE if all(one.heard for one in heard) else REFUSED
