"""`tallystick tag verify|lock|resume|recover|reset|retire|check`: tags that were begun or written."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tallystick_provisioning import label_text
from tallystick_provisioning.errors import ItemError
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.screen_words import Words, choose
from tallystick_tags import tag_context
from tallystick_tags.at_reader import AtReader
from tallystick_tags.tag_job import WRITTEN, Job
from tallystick_tags.tag_pass import Pass
from tallystick_tags.tag_sending import sending


@reporting()
def verify(job: Path, *, at: AtReader) -> int:
    """Read the next tag as a phone does, and check link, signature and keys.

    Example:
        tallystick tag verify shrimp.job --reader usb --keys shrimp.tally --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    """
    return _one("verify", job, at)


@reporting()
def lock(job: Path, *, at: AtReader, ledger: str | None = None, outbox: Path | None = None) -> int:
    """The second pass: lock every written tag, one after the other. Nobody can change a locked tag again, you neither.

    Look at labels and tags before. In a sealed job the keys of each locked tag are erased.

    Example:
        tallystick tag lock shrimp.job --reader usb --keys shrimp.tally --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    ledger
        Address of the ledger: statements that still wait are sent meanwhile.
    outbox
        Folder where statements wait; default: beside the job.
    """
    client = None if ledger is None or at.dry_run else LedgerClient(ledger)
    with _bench(job, at) as bench:
        signing = None if client is None else tag_context.signing(bench.job, at.installer, at.trust, outbox)
        with sending(bench.job, signing, client) as sender:
            bench.sender = sender
            outcomes = bench.all("lock", at.patience, lambda: bench.job.counts()[WRITTEN] > 0)
        left = bench.job.counts()[WRITTEN]
    would = "would be " if at.dry_run else ""
    print(f"{sum(outcome.good for outcome in outcomes)} {would}locked, {left} left")
    if at.dry_run:
        return DONE if all(outcome.good for outcome in outcomes) else REFUSED
    return REFUSED if left or (sender is not None and sender.refused) else DONE


@reporting()
def resume(job: Path, *, at: AtReader) -> int:
    """Go on with what was begun on the next tag. `tag write` does that by itself; this is for a single tag.

    Example:
        tallystick tag resume shrimp.job --reader usb --keys shrimp.tally --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    """
    return _one("resume", job, at)


@reporting()
def recover(job: Path, *, at: AtReader) -> int:
    """After anything went wrong with the next tag: it ends wholly written, or blank as from the factory.

    Example:
        tallystick tag recover shrimp.job --reader usb --keys shrimp.tally --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    """
    return _one("recover", job, at)


@reporting()
def reset(job: Path, *, at: AtReader) -> int:
    """Make the next tag blank again, as far as its chip allows, and give its row free. Not possible after lock.

    Example:
        tallystick tag reset shrimp.job --reader usb --keys shrimp.tally --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    """
    return _one("reset", job, at)


@reporting()
def retire(job: Path, *, at: AtReader) -> int:
    """Empty the next tag for good, with keys that nobody keeps, and give its row free for another tag.

    Example:
        tallystick tag retire shrimp.job --reader usb --keys shrimp.tally --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    """
    return _one("retire", job, at)


@reporting()
def check(job: Path, *, at: AtReader) -> int:
    """Scan a label, tap its tag: they must match. Codes come from a scanner that types, one a line, until it ends.

    Example:
        tallystick tag check shrimp.job --reader usb --keys shrimp.tally --trust trust.toml

    Parameters
    ----------
    job
        Job file.
    """
    wrong = 0
    with _bench(job, at) as bench:
        for line in filter(None, map(str.strip, sys.stdin)):
            wrong += not _matches(bench, line, at.patience)
        left = sum(item.checked_ms is None for item in bench.job.items())
    print(f"{wrong} do not match, {left} not checked yet")
    return REFUSED if wrong or left else DONE


def _matches(bench: Pass, line: str, patience_s: float | None) -> bool:
    """Whether the label of this line and the next tag are of one item."""
    try:
        scanned = bench.job.of_item(label_text.parse(line))
    except ItemError as error:
        print(f"{bench.words['no_label']}: {error}")
        return False
    if scanned is None:
        print(f"{bench.words['no_item']}: {line[:80]}")
        return False
    words = bench.words
    who = f"{words['row']} {scanned.row}, {words['serial']} {scanned.item.serial}"
    print(f"{who}: {words['tap']}", flush=True)
    outcome = bench.one("verify", patience_s, scanned)
    if outcome.good and not bench.dry_run:
        bench.job.change(scanned.row, checked_ms=tag_context.now_ms())
    if outcome.good:
        bench.wait_for_removal(outcome, patience_s)
    return outcome.good


def _one(what: str, job: Path, at: AtReader) -> int:
    with _bench(job, at) as bench:
        return DONE if bench.one(what, at.patience).good else REFUSED


@contextmanager
def _bench(job: Path, at: AtReader) -> Iterator[Pass]:
    """Job, keys and reader, open."""
    with Job(job) as opened, tag_context.alone(opened):
        tag_context.check_clock(opened.head, tag_context.now_ms())
        keys = tag_context.open_keys(at.keys, at.secret_file, opened.head, at.trust, at.installer)
        records = tag_context.journal(opened, at.journal)
        try:
            reader = tag_context.reader(at.reader)
            maker, words = tag_context.originality(at.maker), Words(choose(at.lang))
            with Pass(opened, reader, keys, records, print, maker, at.dry_run, words=words) as bench:
                yield bench
        finally:
            keys.close()
