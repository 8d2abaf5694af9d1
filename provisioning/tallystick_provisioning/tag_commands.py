"""`tallystick tag ...` at the reader: write a job's tags, and everything that comes after."""

from pathlib import Path
from typing import Literal

from tallystick_provisioning import tag_context, tag_sound, tag_view
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.label_printer import LabelPrinter
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.tag_job import WRITING, Job
from tallystick_provisioning.tag_run import Run
from tallystick_provisioning.tag_sending import report_deliveries
from tallystick_provisioning.tag_words import Words, choose

UNATTENDED_PATIENCE_S = 10.0  # without a new tag for so long, an unattended run is over


@reporting()
def write(
    job: Path,
    *,
    reader: str,
    keys: str,
    installer: Path | None = None,
    trust: Path | None = None,
    ledger: str | None = None,
    outbox: Path | None = None,
    journal: Path | None = None,
    secret_file: Path | None = None,
    maker: Path | None = None,
    unattended: bool = False,
    patience: float | None = None,
    printer: Path | None = None,
    lang: Literal["en", "zh"] | None = None,
    silent: bool = False,
    dry_run: bool = False,
) -> int:
    """Write the job's tags, hands free: put one down, wait for the beep, take it away, the next one counts itself.

    A high beep and green: done. Two low beeps and red: something is wrong, and it waits until the tag is gone. HOLD
    STILL while keys change. Stop with Ctrl-C at any time and go on with the same command, after a dead battery too.

    Exit code 0: every row has its tag. 1: rows are left. 2: it could not run.

    Example:
        tallystick tag write shrimp.job --reader usb --keys shrimp.tally --installer installer.key --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    reader
        Reader: usb, tty:AMA0:pn532, pcsc:NAME or udp:HOST:PORT.
    keys
        Sealed job, master key file, or pkcs11:token=...;object=...?module-path=...
    installer
        Key file of the installer, who signs each finished tag; without it `tag sync` makes the statements later.
    trust
        trust.toml of the ledger.
    ledger
        Address of the ledger: what is finished is sent at the end.
    outbox
        Folder where statements wait; default: beside the job.
    journal
        Folder with the tags' journals; default: beside the job. One for all jobs finds tags of other jobs too.
    secret_file
        File with passphrase or PIN; default: it is asked for.
    maker
        File with further makers' public keys, for tags that are not NXP's.
    unattended
        Nobody stands there: one line a tag, and it ends when no tag comes any more.
    patience
        Seconds without a new tag after which it ends; default: 10 when unattended, else never.
    printer
        Device or file that gets each finished tag's label at once, as ZPL.
    lang
        Language of the screen; default: that of the system.
    silent
        No sounds.
    dry_run
        Say which row the next tag would get and whether anything is against it; write nothing.
    """
    client = None if ledger is None else LedgerClient(ledger)
    with Job(job) as opened, tag_context.alone(opened):
        signing = tag_context.signing(opened, installer, trust, outbox)
        who = None if signing is None else signing.installer.thumbprint
        provider = tag_context.open_keys(keys, secret_file, opened.head, trust, who)
        words, sound = Words(choose(lang)), tag_sound.choose(silent or unattended)
        title = f"{job.name}  {opened.head.chip}  {reader}"
        waits = UNATTENDED_PATIENCE_S if unattended and patience is None else patience
        try:
            with tag_view.choose(words, sound, title, unattended or dry_run) as view:
                printing = None if printer is None else LabelPrinter(view, printer, opened.head.host)
                run = Run(
                    opened, tag_context.reader(reader), provider, tag_context.journal(opened, journal),
                    printing or view, signing, waits, tag_context.originality(maker),
                )  # fmt: skip
                if dry_run:
                    return DONE if run.try_out().good else REFUSED
                done = _until_told(run)
            print(summary(run))
            if printing is not None and (missing := printing.summary()):
                print(missing)
            if signing is not None and client is not None:
                report_deliveries(signing.send(opened, client, tag_context.now_ms), print)
        finally:
            provider.close()
            sound.close()
    return DONE if done else REFUSED


def _until_told(run: Run) -> bool:
    """Ctrl-C is how a person ends the day: no error, and nothing is lost."""
    try:
        return run.go()
    except KeyboardInterrupt:
        return False


def summary(run: Run) -> str:
    """How it ended, in one or two lines."""
    now = run.progress()
    lines = [f"{now.written} of {now.total} written, {now.left} left, {now.queued} statements wait for the ledger"]
    if now.rejects:
        lines.append("rejects: " + ", ".join(f"{code} {count}" for code, count in now.rejects))
    unfinished = [f"row {item.row} (tag {(item.uid or b'').hex().upper()})" for item in run.job.items(WRITING)]
    if unfinished:
        lines.append(f"put these down again: {', '.join(unfinished)}")
    return "\n".join(lines)
