"""`tallystick cloud ...`. Exit codes: 0 done, 1 refused or not clean, 2 could not run."""

import http
import re
import sys
from collections.abc import Iterator
from json import dumps
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from tallystick_ledger import export
from tallystick_ledger.db import Database
from tallystick_ledger.errors import LedgerError
from tallystick_ledger.fsck import fsck as check
from tallystick_ledger.fsck_gateways import Stores
from tallystick_provisioning import whole_file
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_web import config as configuration
from tallystick_web import setup_files
from tallystick_web.client import Client
from tallystick_web.errors import ServiceError, ServiceRefused, UsageError, WebError
from tallystick_web.service import open_ledger, wall_ms
from tallystick_web.show import show
from tallystick_wire.reading import MAX_SEQ

DEFAULT_URL = f"http://127.0.0.1:{configuration.DEFAULT_PORT}"
FAILURES = (WebError, LedgerError)
_HEX = re.compile(r"[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")
Repeatable = Annotated[list[str] | None, Parameter(negative=())]


@reporting(ServiceRefused, failures=FAILURES)
def init(
    folder: Path,
    *,
    origin: str,
    trust: Path | None = None,
    witness: Repeatable = None,
    host: str = "127.0.0.1",
    port: int = configuration.DEFAULT_PORT,
    sequence_ms: int = configuration.SEQUENCE_MS,
    publish_ms: int = configuration.PUBLISH_MS,
    refresh_ms: int = configuration.REFRESH_MS,
    webhook_url: str | None = None,
) -> int:
    """Make a ledger's keys, its API token and a cloud.toml to start from.

    Example:
        tallystick cloud init ledger --origin ledger.example/log --witness http://127.0.0.1:8089 --trust site/trust.toml

    Parameters
    ----------
    folder
        A folder for the ledger's files; nothing in it is overwritten.
    origin
        The log's name: an address without a scheme.
    trust
        Where `tallystick trust init` writes trust.toml; by default beside cloud.toml.
    witness
        The address of a witness; may be given again.
    host
        The address to listen on.
    port
        The port to listen on.
    sequence_ms
        How often pending entries get their indexes.
    publish_ms
        How often a checkpoint is published when there is something new.
    refresh_ms
        How often a checkpoint is published when there is nothing new.
    webhook_url
        Whom to tell what happens to loans; makes webhook.secret.
    """
    settings = setup_files.Settings(
        origin=origin,
        host=host,
        port=port,
        trust=trust or folder / "trust.toml",
        witnesses=witness or [],
        sequence_ms=sequence_ms,
        publish_ms=publish_ms,
        refresh_ms=refresh_ms,
        webhook_url=webhook_url,
    )
    print(setup_files.make(folder, settings))
    return DONE


@reporting(ServiceRefused, failures=FAILURES)
def serve(*, config: Path) -> int:
    """Serve ledger, evidence and loans until SIGTERM.

    Example:
        tallystick cloud serve --config ledger/cloud.toml

    Parameters
    ----------
    config
        The cloud.toml of this ledger.
    """
    from tallystick_web.serve import serve as run  # the web framework costs a second that other commands need not wait

    run(configuration.load(config))
    return DONE


@reporting(ServiceRefused, failures=FAILURES)
def status(*, token_file: Path, url: str = DEFAULT_URL, json: bool = False) -> int:
    """List nodes, gateways, loans and the last proof.

    Example:
        tallystick cloud status --token-file ledger/api.token

    Parameters
    ----------
    token_file
        The file with the API token.
    url
        The ledger's address.
    json
        Print JSON instead of tables.
    """
    client = Client(url, token_file)
    try:
        ledger = client.json("/status")
        loans = _all_loans(client)
        if json:
            print(dumps({**ledger, "loans": loans}, indent=2))
        else:
            show(Console(), ledger, loans, wall_ms())
    except (KeyError, TypeError):
        raise ServiceError(f"{url}: the answer is not that of a ledger") from None
    return DONE


@reporting(ServiceRefused, failures=FAILURES)
def fsck(*, config: Path) -> int:
    """Derive everything in the database anew and compare; exit code 0 when nothing is found.

    Example:
        tallystick cloud fsck --config ledger/cloud.toml

    Parameters
    ----------
    config
        The cloud.toml of this ledger. The service may run meanwhile.
    """
    settings = configuration.load(config)
    ledger = open_ledger(settings)
    # A second handle: this one keeps one view of the database while the other has followed the keys.
    view = Database(settings.database)
    with view.read() as tx:
        stores = Stores(tx, ledger.blobs, ledger.trust, ledger.keys)
        findings = check(stores, lambda step: print(f"checking {step}", file=sys.stderr))
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings" if findings else "clean", file=sys.stderr)
    return REFUSED if findings else DONE


@reporting(ServiceRefused, failures=FAILURES)
def export_readings(*, config: Path, out: Path, force: bool = False) -> int:
    """Write every reading of the log once, as a CBOR sequence.

    Each item is [ledger index, leaf index in the gateway's tree, received_ms or null, verdict, reading].

    Example:
        tallystick cloud export readings --config ledger/cloud.toml --out readings.cborseq

    Parameters
    ----------
    config
        The cloud.toml of this ledger. The service may run meanwhile.
    out
        The file to write.
    force
        Write over a file that is there already.
    """
    ledger = open_ledger(configuration.load(config))
    count = 0

    def items() -> Iterator[bytes]:
        nonlocal count
        for item in export.readings(ledger):
            count += 1
            yield item

    whole_file.write_output(out, items(), force=force)
    print(f"{count} readings")
    return DONE


@reporting(ServiceRefused, failures=FAILURES)
def evidence_reading(
    thumbprint: str, seq: int, *, token_file: Path, out: Path, force: bool = False, url: str = DEFAULT_URL
) -> int:
    """Fetch the bundle that proves one reading.

    Example:
        tallystick cloud evidence reading 3f...9a 17 --token-file ledger/api.token --out reading.zip

    Parameters
    ----------
    thumbprint
        The node's thumbprint, 64 hex digits.
    seq
        The reading's sequence number.
    token_file
        The file with the API token.
    out
        The file to write.
    force
        Write over a file that is there already.
    url
        The ledger's address.
    """
    return _fetch(url, token_file, out, force, f"/evidence/readings/{_name(thumbprint)}/{_number(seq)}")


@reporting(ServiceRefused, failures=FAILURES)
def evidence_window(
    thumbprint: str,
    first: int,
    last: int,
    *,
    token_file: Path,
    out: Path,
    force: bool = False,
    url: str = DEFAULT_URL,
) -> int:
    """Fetch the bundle that proves a window of readings.

    The bundle begins at or before `first`: at the reading whose anchor in time leads to it.

    Example:
        tallystick cloud evidence window 3f...9a 17 40 --token-file ledger/api.token --out window.zip

    Parameters
    ----------
    thumbprint
        The node's thumbprint, 64 hex digits.
    first
        The first sequence number.
    last
        The last sequence number.
    token_file
        The file with the API token.
    out
        The file to write.
    force
        Write over a file that is there already.
    url
        The ledger's address.
    """
    if first > last:
        raise UsageError(f"a window runs from its first reading to its last, not from {first} to {last}")
    path = f"/evidence/readings/{_name(thumbprint)}"
    return _fetch(url, token_file, out, force, path, first=_number(first), last=_number(last))


@reporting(ServiceRefused, failures=FAILURES)
def evidence_decision(
    identity: str, *, token_file: Path, out: Path, force: bool = False, url: str = DEFAULT_URL
) -> int:
    """Fetch the bundle from which a decision is recomputed.

    Example:
        tallystick cloud evidence decision 77...02 --token-file ledger/api.token --out decision.zip

    Parameters
    ----------
    identity
        The decision statement's identity, 64 hex digits.
    token_file
        The file with the API token.
    out
        The file to write.
    force
        Write over a file that is there already.
    url
        The ledger's address.
    """
    return _fetch(url, token_file, out, force, f"/evidence/decisions/{_name(identity)}")


def _fetch(url: str, token_file: Path, out: Path, force: bool, path: str, **query: int) -> int:
    content = Client(url, token_file).bundle(path, **query)
    whole_file.write_output(out, [content], force=force)
    print(f"{out}: {len(content)} bytes")
    return DONE


def _name(text: str) -> str:
    """64 hex digits, as part of a request's path; UsageError otherwise."""
    if not _HEX.fullmatch(text):
        raise UsageError(f"{text!r} is no name: 64 lowercase hex digits are needed")
    return text


def _number(seq: int) -> int:
    if not 1 <= seq <= MAX_SEQ:
        raise UsageError(f"{seq} is no sequence number: they are 1 to {MAX_SEQ}")
    return seq


def _all_loans(client: Client) -> list[dict[str, Any]]:
    """Every loan; none where the ledger has no bank."""
    loans: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        try:
            page = client.json("/v1/loans", after=after)
        except ServiceError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return []
            raise
        loans += page["items"]
        after = page["next"]
    return loans
