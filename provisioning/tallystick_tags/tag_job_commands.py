"""`tallystick tag job ...` and `tallystick tag keys ...`: what happens in the office, before the first tag."""

import secrets
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tallystick_chips import tag_link
from tallystick_chips.errors import OrderError
from tallystick_chips.tag_order import CHIPS, Chip, TagOrder
from tallystick_provisioning import enrolments, item, key_file
from tallystick_provisioning.errors import ItemError, KeyFileError, UsageError
from tallystick_provisioning.exit_codes import DONE, reporting
from tallystick_provisioning.trust_setup import read_trust
from tallystick_tags import (
    job_bundle,
    key_pkcs11,
    key_provider,
    passphrase,
    tag_context,
    tag_job,
    tag_rows,
    tag_table,
    tag_uids,
)
from tallystick_tags.errors import JobError
from tallystick_tags.tag_job import Job, JobHead
from tallystick_tags.tag_rows import Planned, TooLong
from tallystick_wire import message

DAY_MS = 86_400_000
DEFAULT_DAYS = 30
MAX_DAYS = 366  # a sealed job is work of days; keys that lie about for longer are sealed anew
_SHOWN_ITEMS = 3

ChipName = Literal["ntag213", "ntag215", "ntag216", "ntag424", "ntag424tt"]


@reporting()
def new(
    job: Path,
    *,
    source: Annotated[Path, Parameter(name="--from")],
    chip: ChipName,
    host: str,
    column: list[str] | None = None,
    encoding: str | None = None,
    key_set: str | None = None,
    key_version: int = 1,
    no_lock: bool = False,
    dry_run: bool = False,
) -> int:
    """Make a job from a table of items: CSV or XLSX with the columns GTIN and serial, and a name if there is one.

    Every row is checked before the job is made; all complaints come at once. Columns may have Chinese names.

    Example:
        tallystick tag job new shrimp.job --from rows.xlsx --chip ntag424 --host item.example

    Parameters
    ----------
    job
        Job file to make.
    source
        Table of items.
    chip
        The kind of tag, for rows that name none in a column `chip`.
    host
        Host of the links on the tags, like item.example.
    column
        A column that has another name, like serial=Nr; once for each. Columns: gtin, serial, name, chip.
    encoding
        Encoding of a CSV; default: UTF-8, or GB18030 where it is not.
    key_set
        Name of the keys; default: this job's own, so that no other job's keys read its links.
    key_version
        Generation of the keys, 1 to 254.
    no_lock
        No second pass will lock the tags: a sealed job then gives up a tag's keys as soon as it is written.
    dry_run
        Check everything, show the first links, make nothing.
    """
    item.check_host(host)
    table = tag_table.read(source, _columns(column or []), encoding)
    checked = tag_rows.check(table, _too_long(chip, host))
    identity = secrets.token_hex(16)
    key_set = identity[:12] if key_set is None else key_set
    head = JobHead(identity, chip, host, key_set, key_version, not no_lock, tag_context.now_ms())
    tag_job.check_head(head)
    tag_job.check_new(job)
    for remark in checked.remarks:
        print(f"look at this: {remark}")
    print(f"{len(checked.planned)} items in {source.name}, read as {table.read_as}; every row holds")
    for planned in checked.planned[:_SHOWN_ITEMS]:
        print(f"row {planned.row}: {planned.item.url(host)}  {planned.name}".rstrip())
    if dry_run:
        print(f"would make {job}")
        return DONE
    tag_job.create(job, head, checked.planned)
    print(f"made {job}: {CHIPS[chip]}, keys {head.key_set} version {head.key_version}")
    return DONE


@reporting()
def scan(job: Path, *, reader: str, patience: float | None = None, dry_run: bool = False) -> int:
    """Collect the UIDs of a job's tags, when the supplier gives no list: put one down after the other.

    Example:
        tallystick tag job scan shrimp.job --reader usb

    Parameters
    ----------
    job
        Job file.
    reader
        Reader: usb, tty:AMA0:pn532, pcsc:NAME or udp:HOST:PORT.
    patience
        Seconds without a tag after which it ends; default: Ctrl-C ends it.
    dry_run
        Show the tags; remember none.
    """
    with Job(job) as opened, tag_context.alone(opened):
        count = tag_uids.scan(opened, tag_context.reader(reader), patience, dry_run)
    print(f"{count} tags {'would be' if dry_run else 'are'} known to {job}")
    return DONE


@reporting()
def seal(
    job: Path,
    *,
    keys: str,
    authority: Path,
    trust: Path,
    out: Path,
    uids: Path | None = None,
    installer: str | None = None,
    days: int = DEFAULT_DAYS,
    secret_file: Path | None = None,
    out_secret_file: Path | None = None,
    dry_run: bool = False,
) -> int:
    """Pack the keys of this job's tags, and no others, for the installer's laptop: signed, and under a passphrase.

    Give the passphrase on another way than the file. The master key is not in it, and no key of another tag can be
    computed from it. Each tag's keys are erased from the file when the tag is finished.

    Example:
        tallystick tag job seal shrimp.job --uids uids.csv --keys master.key --authority site/authorities/installer.key
        --trust site/trust.toml --out shrimp.tally

    Parameters
    ----------
    job
        Job file.
    keys
        Master key: a file of `tag keys new`, or pkcs11:token=...;object=...?module-path=...
    authority
        Key file of the authority for installers: it signs the delegation.
    trust
        trust.toml of the ledger.
    out
        Sealed job to write.
    uids
        List with a UID a line; default: what `tag job scan` found.
    installer
        Thumbprint of the one installer who may use it; default: whoever has the passphrase.
    days
        Days until it may not be used any more, 1 to 366.
    secret_file
        File with the master's passphrase or PIN; default: it is asked for.
    out_secret_file
        File with the passphrase for the sealed job; default: it is asked for.
    dry_run
        Check everything, write nothing.
    """
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"--days: must be 1 to {MAX_DAYS}")
    trusted, signer = read_trust(trust), key_file.load(authority, "authority-installer")
    enrolments.check_authority(signer, trusted, "installer")
    job_bundle.check_new(out)
    with Job(job) as opened:
        found = tag_uids.read(uids) if uids else opened.scanned()
        tag_uids.check_count(found, sum(opened.counts().values()))
        fields = _delegation(trusted.origin, installer, days)
        master, head = tag_context.open_master(keys, secret_file), opened.head
        source = key_provider.DerivedKeys(master, head.key_set, head.key_version)
        try:
            if dry_run:
                print(f"would seal the keys of {len(found)} tags into {out}")
                return DONE
            words = passphrase.ask(f"new passphrase for {out}", out_secret_file)
            job_bundle.seal(out, head, found, source, passphrase.new_lock(words), signer, fields)
        finally:
            source.close()
    print(f"sealed the keys of {len(found)} tags into {out}, good for {days} days")
    return DONE


@reporting()
def release(job: Path, row: int, *, dry_run: bool = False) -> int:
    """Give a row free whose tag is broken or lost; that tag will never carry an item of this job.

    Example:
        tallystick tag job release shrimp.job 57

    Parameters
    ----------
    job
        Job file.
    row
        The row, as the report shows it.
    dry_run
        Say which tag would be given up; change nothing.
    """
    with Job(job) as opened, tag_context.alone(opened):
        if dry_run:
            print(f"would give up tag {opened.unfinished(row).hex().upper()}; row {row} would wait for a new one")
            return DONE
        uid = opened.abandon(row, tag_context.now_ms())
    print(f"row {row} waits for a new tag; tag {uid.hex().upper()} is given up")
    return DONE


@reporting()
def keys_new(keys: str, *, secret_file: Path | None = None, dry_run: bool = False) -> int:
    """Make a master key: on a PKCS#11 token, where it cannot be taken out, or in a file under a passphrase.

    All tag keys come from it. Make one, keep a second token or copy of the file in a safe, and tell nobody the PIN.

    Example:
        tallystick tag keys new master.key

    Parameters
    ----------
    keys
        File to make, or pkcs11:token=...;object=...?module-path=...
    secret_file
        File with the passphrase or PIN; default: it is asked for.
    dry_run
        Check everything, make nothing.
    """
    if keys.startswith(key_pkcs11.SCHEME):
        address = key_pkcs11.parse(keys)
        key_pkcs11.create(keys, passphrase.ask("PIN of the token", secret_file), dry_run)
        where, remark = f"{address.object!r} on token {address.token!r}", "it cannot be taken out"
    else:
        path = Path(keys)
        if path.exists():
            raise KeyFileError(f"{path}: exists already; a secret is never overwritten")
        key_provider.create_file(path, passphrase.ask(f"new passphrase for {path}", secret_file), dry_run)
        where, remark = keys, "keep a copy in a safe: without it no tag can be changed or checked again"
    print(f"would make {where}" if dry_run else f"made {where}; {remark}")
    return DONE


def _columns(pairs: list[str]) -> dict[str, str]:
    """gtin=EAN serial=Nr -> {"gtin": "EAN", "serial": "Nr"}."""
    found = {}
    for pair in pairs:
        column, equals, name = pair.partition("=")
        if column not in (tag_table.GTIN, tag_table.SERIAL, tag_table.NAME, tag_table.CHIP) or not equals or not name:
            raise JobError(f"--column {pair}: must be gtin=, serial=, name= or chip=NAME")
        found[column] = name
    return found


def _too_long(chip: Chip, host: str) -> TooLong:
    def why(planned: Planned) -> str | None:
        try:
            tag_link.build(TagOrder(planned.chip or chip, host, planned.item))
        except (ItemError, OrderError) as error:
            return str(error)
        return None

    return why


def _delegation(origin: str, installer: str | None, days: int) -> dict[str, object]:
    """The fields of the delegation that do not follow from the job."""
    return {
        "aud": origin,
        "jti": secrets.token_bytes(message.JTI_BYTES),
        "exp": tag_context.now_ms() + days * DAY_MS,
        "installer": None if installer is None else _thumbprint(installer),
    }


def _thumbprint(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise UsageError("--installer: must be a thumbprint of 64 hex digits, as `trust enrol installer` prints it")
    return found
