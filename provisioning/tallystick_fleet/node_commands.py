"""`tallystick node ...`: give nodes their identities over the cable."""

import secrets
from pathlib import Path

from tallystick_fleet.enrol_node import EnrolledNode, NodeJob, enrol_node, say_hello
from tallystick_provisioning import enrolments, key_file, site, update_keys
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.ledger_client import Delivery, LedgerClient
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.serial_port import SerialPort
from tallystick_provisioning.trust_setup import read_trust


@reporting()
def enrol(
    *,
    port: str,
    authority: Path,
    site_key: Path,
    trust: Path,
    ledger: str,
    model: str,
    serial: str,
    outbox: Path | None = None,
    dry_run: bool = False,
) -> int:
    """Give the node on a serial port its identity, and tell the ledger.

    The node makes its own key and never shows it. Without a network the enrolment waits in the outbox ("enrolled,
    pending"); every later run sends what waits. Repeating it for the same node does no harm.

    Example:
        tallystick node enrol --port /dev/ttyUSB0 --authority site/authorities/node.key --site-key site/site.key
        --trust site/trust.toml --ledger http://ledger.example --model "TS-1" --serial 0042

    Parameters
    ----------
    port
        Serial port that the node is connected to.
    authority
        Key file of the authority for nodes (role authority-node).
    site_key
        Key file that the gateways of the site share. Where updates.toml lies beside it, the node is told whose
        configuration and firmware to take; a node that was enrolled without takes none, ever.
    trust
        trust.toml of the ledger.
    ledger
        Address of the ledger, like http://ledger.example.
    model
        Model, as on the name plate.
    serial
        Serial number, as on the name plate.
    outbox
        Folder for enrolments that the ledger has not confirmed; default: `outbox` beside the authority's key.
    dry_run
        Check keys and say which node is connected; change nothing.
    """
    client = LedgerClient(ledger)
    job = NodeJob(
        trust=read_trust(trust),
        authority=key_file.load(authority, "authority-node"),
        site_key=site.load(site_key),
        outbox=Outbox(outbox or authority.parent / "outbox"),
        random_bytes=secrets.token_bytes,
        update_keys=update_keys.beside(site_key),
    )
    enrolments.check_authority(job.authority, job.trust, "node")
    cable = SerialPort(port)
    try:
        if dry_run:
            found = say_hello(cable)
            print(f"node {found.public_key.hex()} is {found.state}; it would be enrolled in {job.trust.origin}")
            return DONE
        node = enrol_node(cable, job, model, serial)
    finally:
        cable.close()
    return _report(node, client.deliver(job.outbox))


def _report(node: EnrolledNode, deliveries: list[Delivery]) -> int:
    name = f"node {node.thumbprint.hex()} (kid {node.thumbprint[:8].hex()})"
    own = next((item for item in deliveries if item.path.stem == node.identity.hex()), None)
    for item in deliveries:
        if item is not own and item.posted:
            print(f"sent {item.path.stem}, which waited in the outbox")
        elif item is not own and item.refused:
            print(f"{item.path.stem} from the outbox was refused: {item.refused}")
    if own is not None and own.posted:
        print(f"{name}: enrolled, ledger index {_index(own)}")
        return DONE
    if own is not None and own.was_enrolled:
        print(f"{name}: was enrolled already, and is linked; the enrolment that the ledger has stands")
        return DONE
    if own is not None and own.refused:
        print(f"{name}: linked, but the ledger refused the enrolment: {own.refused}")
        return REFUSED
    print(f"{name}: enrolled, pending. The statement waits in the outbox: {own.waits if own else 'it is full'}")
    return DONE


def _index(delivery: Delivery) -> str:
    index = delivery.posted.index if delivery.posted else None
    return "pending" if index is None else str(index)
