"""`tallystick tag sync`: statements about finished tags, on their way to the ledger."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tallystick_provisioning.errors import UsageError
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.ledger_client import Delivery, LedgerClient
from tallystick_tags import tag_context
from tallystick_tags.tag_job import LOCKED, WRITTEN, Job
from tallystick_tags.tag_sender import Sender
from tallystick_tags.tag_signing import Signing, note_sent


@reporting()
def sync(
    job: Path, *, installer: Path, trust: Path, ledger: str, outbox: Path | None = None, dry_run: bool = False
) -> int:
    """Sign what is finished and not signed yet, and send what waits. Sending twice is sending once.

    Exit code 0: the ledger has everything. 1: it refused something, or something waits. 2: it could not run.

    Example:
        tallystick tag sync shrimp.job --installer installer.key --trust trust.toml --ledger http://ledger.example

    Parameters
    ----------
    job
        Job file.
    installer
        Key file of the installer, who signs.
    trust
        trust.toml of the ledger.
    ledger
        Address of the ledger.
    outbox
        Folder where statements wait; default: beside the job.
    dry_run
        Say how many would be signed and sent; do neither.
    """
    client = LedgerClient(ledger)
    with Job(job) as opened, tag_context.alone(opened):
        signing = tag_context.signing(opened, installer, trust, outbox)
        if signing is None:
            raise UsageError("--installer: nobody signs")
        if dry_run:
            unsigned = sum(item.statement is None for item in opened.items(WRITTEN, LOCKED))
            print(f"would sign {unsigned} and send {unsigned + opened.queued()} statements to {client.url}")
            return DONE
        signing.state_all(opened)
        return report_deliveries(signing.send(opened, client, tag_context.now_ms), print)


@contextmanager
def sending(job: Job, signing: Signing | None, ledger: LedgerClient | None) -> Iterator[Sender | None]:
    """What posts a job's statements while its tags are worked on; at the end it says what became of them."""
    if ledger is None:
        yield None
        return
    if signing is None:
        raise UsageError("--ledger needs --installer and --trust: only signed statements can be sent")
    signing.state_all(job)
    with Sender(ledger, signing.outbox) as sender:
        yield sender
        if sender.waiting():
            print("sending what waits; Ctrl-C leaves it to `tag sync`", flush=True)
    note_sent(job, sender.collect(), tag_context.now_ms)
    # One that was sent again before the job knew of it is one statement.
    last = {delivery.path: delivery for delivery in [*sender.deliveries, *sender.waiting()]}
    report_deliveries(list(last.values()), print)


def report_deliveries(deliveries: Sequence[Delivery], say: Callable[[str], None]) -> int:
    """Counts, and each refusal with its reason; the exit code says whether anything was refused or is left."""
    sent = sum(delivery.posted is not None for delivery in deliveries)
    refused = [delivery for delivery in deliveries if delivery.refused]
    waiting = [delivery for delivery in deliveries if delivery.waits]
    say(f"the ledger has {sent} more statements, {len(waiting)} wait, {len(refused)} were refused")
    for delivery in refused:
        say(f"refused {delivery.path.stem}: {delivery.refused}")
    if waiting:
        say(f"they wait because: {waiting[0].waits}")
    return REFUSED if refused or waiting else DONE
