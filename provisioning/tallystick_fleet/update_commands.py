"""`tallystick node sign-config|sign-firmware|update`: configurations and firmware for nodes, signed and brought."""

import secrets
import sys
import time
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tallystick_fleet import update_manifest
from tallystick_fleet.node_rollout import CANARIES
from tallystick_fleet.node_table import DEFAULT_TABLE
from tallystick_fleet.node_watch import PARALLEL
from tallystick_fleet.rollout_commands import roll_out
from tallystick_fleet.update_node import push
from tallystick_proof import keys
from tallystick_provisioning import key_file, offer_files, site, statement_file, text_file, whole_file
from tallystick_provisioning.errors import StatementFileError
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.offers import Offer
from tallystick_provisioning.serial_port import SerialPort
from tallystick_provisioning.trust_setup import read_trust
from tallystick_wire import manifest

DEFAULT_DAYS = 30  # a node that is not heard for longer needs a visit anyway
MAX_DAYS = 366
MS_PER_DAY = 86_400_000


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SignOptions:
    """The options of both commands that sign."""

    key: Annotated[Path, Parameter(help="Key file of `trust init`: of role downlink or firmware.")]
    trust: Annotated[Path, Parameter(help="trust.toml of the ledger that the nodes belong to.")]
    out: Annotated[Path, Parameter(help="File to write what was signed to.")]
    target: Annotated[
        str | None, Parameter(help="Kid of the one node that it is for (16 hex digits); default: every node.")
    ] = None
    version: Annotated[
        int | None, Parameter(help="Its number; default: the seconds since 1970, so that a later one is always higher.")
    ] = None
    days: Annotated[int, Parameter(help="How long nodes may take it.")] = DEFAULT_DAYS
    force: Annotated[bool, Parameter(help="Write over a file that is there already.")] = False
    dry_run: Annotated[bool, Parameter(help="Check everything; write nothing.")] = False


@reporting()
def sign_config(settings: Path, *, options: SignOptions) -> int:
    """Sign a configuration for nodes, written as TOML.

    A node takes a higher version than the one it has, never a lower one: a configuration replaces the one before as a
    whole. It holds from the node's next boot on, which the node makes at once.

    Example:
        tallystick node sign-config cold.toml --key site/downlink.key --trust site/trust.toml --out cold.offer

    Parameters
    ----------
    settings
        TOML file: interval_ms, batch_readings, batch_ms, give_up_oldest, name, [offsets], [alarms].
    """
    order = _order(options)
    signer = key_file.load(options.key, keys.DOWNLINK)
    text = text_file.read(settings, update_manifest.MAX_SETTINGS_BYTES)
    try:
        data = update_manifest.config(signer, order, text, secrets.token_bytes)
    except StatementFileError as error:
        raise StatementFileError(f"{settings}: {error}") from None
    return _write(data, options)


@reporting()
def sign_firmware(image: Path, *, options: SignOptions, board: str | None = None) -> int:
    """Sign a firmware image of `tools/build-firmware` for nodes.

    A node takes each version once: an image that does not prove itself is gone at the next boot, and its version with
    it; sign the image again to try it again.

    Example:
        tallystick node sign-firmware build/firmware/armv6m.image --key site/firmware.key --trust site/trust.toml
        --out pico.offer

    Parameters
    ----------
    image
        The image file; keep it beside the signed manifest.
    board
        For which boards, where the image does not say it itself.
    """
    order = _order(options)
    signer = key_file.load(options.key, keys.FIRMWARE)
    content = offer_files.read_image(image)
    try:
        data = update_manifest.firmware(signer, order, content, secrets.token_bytes, board)
    except StatementFileError as error:
        raise StatementFileError(f"{image}: {error}") from None
    return _write(data, options)


@reporting()
def update(
    *,
    offer: Path,
    site_key: Path,
    port: str | None = None,
    image: Path | None = None,
    boards: str = "usb",
    table: Path = DEFAULT_TABLE,
    outdated: bool = False,
    canary: int = CANARIES,
    parallel: int = PARALLEL,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Bring a signed configuration or firmware to the node on a serial port, or to all connected nodes of the list.

    Without --port it goes to every connected node that `node provision` wrote down: to the canaries first, one by one,
    then to the rest. It stops where a node fails: what has not begun is left alone, and the exit code is 1.

    When it is interrupted, run it again: the node keeps what it has. New firmware runs on trial after the node's next
    boot and must get a reading through to a gateway within the hour, without losing power: do not unplug a node that
    has no battery before that.

    Example:
        tallystick node update --port /dev/ttyUSB0 --offer pico.offer --site-key site/site.key
        tallystick node update --offer pico.offer --site-key site/site.key --outdated --canary 2

    Parameters
    ----------
    offer
        File of `node sign-config` or `node sign-firmware`.
    site_key
        Key file that the gateways of the site share; trust.toml lies beside it.
    port
        Serial port of one node.
    image
        The firmware's image; default: the one of that hash beside the offer (*.image).
    boards
        `usb`, or a folder of links to serial ports whose names are serial numbers.
    table
        The site's list of nodes.
    outdated
        Ask every node first, and leave out those that say that they have it, or a later one.
    canary
        How many nodes go first, one by one.
    parallel
        Nodes at a time after the canaries.
    dry_run
        Check the files and say who would be sent what; send nothing.
    json
        Print one JSON object.
    """
    one = offer_files.read(offer, image)
    key = site.load(site_key)
    if port is None:
        return roll_out(one, site_key, boards, table, outdated, canary, parallel, dry_run, json)
    if dry_run:
        print(f"would offer {_words(one)}")
        return DONE
    cable = SerialPort(port)
    try:
        pushed = push(cable, one, key, _show if sys.stderr.isatty() else lambda done, chunks: None)
    finally:
        cable.close()
    if json:
        print(dumps({"kid": pushed.kid.hex(), "outcome": pushed.word, "pieces_sent": pushed.pieces}))
    else:
        print(f"node {pushed.kid.hex()}: {pushed.word} ({_words(one)}; {pushed.pieces} pieces sent)")
    return DONE if pushed.is_good else REFUSED


def _order(options: SignOptions) -> update_manifest.Order:
    if not 1 <= options.days <= MAX_DAYS:
        raise StatementFileError(f"days must be 1 to {MAX_DAYS}")
    kid = None if options.target is None else statement_file.hex_bytes("target", options.target)
    if kid is not None and len(kid) != keys.KID_BYTES:
        raise StatementFileError(f"target must be a kid, {2 * keys.KID_BYTES} hex digits")
    now_ms = time.time_ns() // 1_000_000
    number = now_ms // 1000 if options.version is None else options.version
    if not 1 <= number <= manifest.MAX_VERSION:
        raise StatementFileError(f"version must be 1 to {manifest.MAX_VERSION}")
    return update_manifest.Order(read_trust(options.trust).origin, number, now_ms + options.days * MS_PER_DAY, kid)


def _write(data: bytes, options: SignOptions) -> int:
    found, out = manifest.parse(data), options.out
    whole_file.write_output(out, [data], force=options.force, dry_run=options.dry_run)
    if options.dry_run:
        print(f"would write {out}: {found.kind} version {found.version}, {len(data)} bytes")
        return DONE
    print(f"wrote {out}: {found.kind} version {found.version}, identity {found.identity.hex()}")
    return DONE


def _words(one: Offer) -> str:
    told = one.manifest
    whom = "every node" if told.target is None else f"node {told.target.hex()}"
    size = f", {told.board}, {told.size} bytes" if one.is_firmware else ""
    return f"{told.kind} version {told.version} for {whom} of {told.origin}{size}"


def _show(done: int, chunks: int) -> None:
    end = "\n" if done + 1 >= chunks else ""
    print(f"\rchunk {done + 1} of {chunks}", end=end, file=sys.stderr, flush=True)
