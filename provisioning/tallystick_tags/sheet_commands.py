"""`tallystick sheet write|verify`: the closing sheet of an installer's day, signed."""

import hashlib
import json as json_module
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tallystick_fleet.node_table import KnownNode, NodeTable, existing
from tallystick_proof import statement
from tallystick_provisioning import key_file, screen_words, text_file, whole_file
from tallystick_provisioning.errors import UsageError
from tallystick_provisioning.exit_codes import DONE, reporting
from tallystick_provisioning.trust_setup import read_trust
from tallystick_tags import sheet, sheet_pdf, sheet_statement, tag_context
from tallystick_tags.errors import SheetError
from tallystick_tags.sheet_words import SheetWords
from tallystick_tags.tag_job import Job

MAX_SHEET_BYTES = 64 * 1024 * 1024  # a day of 300 tags and 40 nodes takes some hundred KiB
_THUMBPRINT_BYTES = 32


@reporting()
def write(
    pdf: Path,
    *,
    job: Annotated[list[Path] | None, Parameter(name="--job")] = None,
    nodes: Path | None = None,
    installer: Path,
    trust: Path,
    at: datetime | None = None,
    lang: Literal["en", "zh"] | None = None,
    json: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> int:
    """Close the day: one PDF over its tag jobs and nodes, and beside it (.cose) the installer's signature over it.

    Tags by row and state, refusals by reason, nodes by place and state, calibration, what the ledger calls each. The
    same jobs, nodes and --at give the same bytes.

    Example:
        tallystick sheet write day.pdf --job shrimp.job --nodes nodes.db --installer installer.key --trust trust.toml

    Parameters
    ----------
    pdf
        PDF to write.
    job
        Job file of tags; once for each.
    nodes
        The site's list of nodes.
    installer
        Key file of the installer, who signs.
    trust
        trust.toml of the ledger.
    at
        When the sheet is made, like 2026-11-24T17:00:00Z; default: now.
    lang
        Language; default: that of the system.
    json
        Print JSON.
    force
        Write over a file that is there already.
    dry_run
        Make it and say what it came to; write nothing.
    """
    signer, origin = key_file.load(installer, "installer"), read_trust(trust).origin
    made_ms = (tag_context.now_ms() if at is None else _ms(at)) // 1000 * 1000
    with ExitStack() as stack:
        jobs = {path.name: stack.enter_context(_as_it_is(path)) for path in job or []}
        if len(jobs) != len(job or []):
            raise UsageError("--job: two of them have the same file name")
        known = None if nodes is None else _nodes(nodes)
        if not jobs and known is None:
            raise UsageError("give --job FILE, --nodes FILE or both")
        words = SheetWords(screen_words.choose(lang))
        made = sheet.build(jobs, known, sheet.Signature(origin, signer.thumbprint, made_ms), words)
        totals = {name: sheet.totals(one) for name, one in jobs.items()}
    document, pages = sheet_pdf.draw(made)
    signed = sheet_statement.build(signer, origin, document, made_ms)
    _write_both(pdf, document, signed, force, dry_run)
    told = {
        "sheet": str(pdf), "signature": str(_beside(pdf)), "pages": pages, "made_ms": made_ms,
        "sha256": hashlib.sha256(document).hexdigest(), "identity": statement.parse(signed).identity.hex(),
        "installer": signer.thumbprint.hex(), "jobs": totals, "nodes": _counts(known), "written": not dry_run,
    }  # fmt: skip
    if json:
        print(json_module.dumps(told, indent=2, ensure_ascii=False))
    else:
        print(f"{'would write' if dry_run else 'wrote'} {pdf}: {pages} pages, SHA-256 {told['sha256']}")
        print(f"{'would sign' if dry_run else 'signed'} it in {_beside(pdf)} as installer {told['installer']}")
    return DONE


@reporting()
def verify(pdf: Path, *, installer: str, signature: Path | None = None, json: bool = False) -> int:
    """Check a closing sheet against the signature beside it, without any network.

    Exit code 1: another file, or another key.

    Example:
        tallystick sheet verify day.pdf --installer 3f2a...

    Parameters
    ----------
    pdf
        The sheet.
    installer
        Thumbprint of the installer's key, 64 hex digits, from somebody who knows it: `trust enrol` prints it.
    signature
        The statement; default: the file beside it with .cose behind its name.
    json
        Print JSON.
    """
    document = text_file.read_bytes(pdf, MAX_SHEET_BYTES)
    data = text_file.read_bytes(signature or _beside(pdf), statement.MAX_STATEMENT_BYTES)
    try:
        signed = sheet_statement.check(data, document, _thumbprint(installer))
    except SheetError as error:
        raise SheetError(f"{pdf}: {error}") from None
    made, origin = signed.body["made_ms"], signed.body["aud"]
    if json:
        told = {"sheet": str(pdf), "identity": signed.identity.hex(), "made_ms": made, "ledger": origin}
        print(json_module.dumps({**told, "sha256": signed.body["document"].hex()}, indent=2))
        return DONE
    print(f"{pdf} is byte for byte what this installer signed; made {sheet.moment(made)} UTC, for {origin}")
    print("NOT shown: that what it lists is in the ledger. Ask there for the identities that it gives")
    return DONE


def _write_both(pdf: Path, document: bytes, signed: bytes, force: bool, dry_run: bool) -> None:
    """First both are looked at: neither is written where the other may not be."""
    for is_look in (True, dry_run):
        whole_file.write_output(pdf, [document], force=force, dry_run=is_look)
        # A crash here leaves a sheet that nobody signed: the same command with the same --at signs it.
        whole_file.write_output(_beside(pdf), [signed], force=force, dry_run=is_look)


@contextmanager
def _as_it_is(path: Path) -> Iterator[Job]:
    """A job of one moment, whatever is written meanwhile."""
    with Job(path) as job, job.unchanging():
        yield job


def _beside(pdf: Path) -> Path:
    return pdf.with_name(f"{pdf.name}.cose")


def _ms(at: datetime) -> int:
    """A time without a zone is UTC."""
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _nodes(table: Path) -> list[KnownNode]:
    with NodeTable(existing(table)) as open_table:
        return open_table.nodes()


def _counts(nodes: list[KnownNode] | None) -> dict[str, int] | None:
    if nodes is None:
        return None
    working = sum(node.works for node in nodes)
    return {"works": working, "failed": len(nodes) - working}


def _thumbprint(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != _THUMBPRINT_BYTES:
        raise UsageError("--installer: must be a thumbprint of 64 hex digits, as `trust enrol installer` prints it")
    return found
