"""`tallystick tag ...` at the reader: write a job's tags, and everything that comes after."""

from pathlib import Path

from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.screen_words import Words, choose
from tallystick_provisioning.sound import choose as choose_sound
from tallystick_tags import tag_context, tag_view
from tallystick_tags.at_reader import AtReader
from tallystick_tags.key_provider import JobKeys
from tallystick_tags.label_printer import LabelPrinter
from tallystick_tags.tag_job import WRITING, Job
from tallystick_tags.tag_run import Run, View
from tallystick_tags.tag_sending import sending
from tallystick_tags.tag_signing import Signing

UNATTENDED_PATIENCE_S = 10.0  # without a new tag for so long, an unattended run is over


@reporting()
def write(
    job: Path,
    *,
    at: AtReader,
    ledger: str | None = None,
    outbox: Path | None = None,
    printer: Path | None = None,
    unattended: bool = False,
    silent: bool = False,
) -> int:
    """Write the job's tags, hands free: put one down, wait for the beep, take it away, the next one counts itself.

    A high beep and green: done. Two low beeps and red: something is wrong, and it waits until the tag is gone. HOLD
    STILL while keys change. Stop with Ctrl-C at any time and go on with the same command, after a dead battery too.

    Exit code 0: every row has its tag. 1: rows are left, or the ledger refused statements. 2: it could not run.

    Example:
        tallystick tag write shrimp.job --reader usb --keys shrimp.tally --installer installer.key --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    ledger
        Address of the ledger: what is finished is sent while the run goes on, and waits where there is no network.
    outbox
        Folder where statements wait; default: beside the job. Without --installer, `tag sync` makes them later.
    printer
        Device or file that gets each finished tag's label at once, as ZPL.
    unattended
        Nobody stands there: one line a tag, and it ends when no tag comes any more (--patience, default 10).
    silent
        No sounds.
    """
    client = None if ledger is None or at.dry_run else LedgerClient(ledger)
    words, sound = Words(choose(at.lang)), choose_sound(silent or unattended or at.dry_run)
    try:
        with Job(job) as opened, tag_context.alone(opened):
            tag_context.check_clock(opened.head, tag_context.now_ms())
            signing = tag_context.signing(opened, at.installer, at.trust, outbox)
            provider = tag_context.open_keys(at.keys, at.secret_file, opened.head, at.trust, at.installer)
            try:
                title = f"{job.name}  {opened.head.chip}  {at.reader}"
                view = tag_view.choose(words, sound, title, unattended or at.dry_run)
                with sending(opened, signing, client) as sender, view:
                    run, labels = _run(opened, provider, signing, view, at, printer, unattended)
                    run.sender = sender
                    done = run.try_out().good if at.dry_run else _until_told(run)
                done = done and not (sender is not None and sender.refused)
                if not at.dry_run:
                    print("\n".join(summary(run) + labels.summary()))
            finally:
                provider.close()
    finally:
        sound.close()
    return DONE if done else REFUSED


def _run(
    job: Job, keys: JobKeys, signing: Signing | None, view: View, at: AtReader, printer: Path | None, unattended: bool
) -> tuple[Run, LabelPrinter]:
    labels = LabelPrinter(view, printer, job.head.host)
    patience_s = UNATTENDED_PATIENCE_S if unattended and at.patience is None else at.patience
    open_reader, records = tag_context.reader(at.reader), tag_context.journal(job, at.journal)
    maker = tag_context.originality(at.maker)
    return Run(job, open_reader, keys, records, labels, signing, patience_s, maker), labels


def _until_told(run: Run) -> bool:
    """Ctrl-C is how a person ends the day: no error, and nothing is lost."""
    try:
        return run.go()
    except KeyboardInterrupt:
        return False


def summary(run: Run) -> list[str]:
    """How it ended, in a few lines."""
    now = run.progress()
    lines = [f"{now.written} of {now.total} written, {now.left} left, {now.queued} statements wait for the ledger"]
    if now.rejects:
        lines.append("rejects: " + ", ".join(f"{code} {count}" for code, count in now.rejects))
    unfinished = [f"row {item.row} (tag {(item.uid or b'').hex().upper()})" for item in run.job.items(WRITING)]
    if unfinished:
        lines.append(f"put these down again: {', '.join(unfinished)}")
    return lines
