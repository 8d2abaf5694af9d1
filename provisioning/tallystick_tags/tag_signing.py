"""Finished tags become signed statements, kept in an outbox and posted when there is a network. May be run again."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tallystick_proof import keys, statement
from tallystick_provisioning.ledger_client import Delivery, LedgerClient
from tallystick_provisioning.outbox import Outbox
from tallystick_tags import tag_statement
from tallystick_tags.tag_job import LOCKED, WRITTEN, Job, JobItem


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs, for which ledger, and where statements wait."""

    installer: keys.Signer
    origin: str
    outbox: Outbox
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def state(self, job: Job, item: JobItem) -> None:
        """Have a statement about this item signed, kept in the job and waiting in the outbox: once, however often."""
        data = item.statement
        if data is None:
            salt = self.random_bytes(tag_statement.SALT_BYTES)
            data = tag_statement.build(self.installer, self.origin, job.head, item, salt, self.random_bytes)
            identity = statement.parse(data).identity.hex()
            # In the job first: after a crash the same bytes go to the outbox, and not a second statement.
            job.change(item.row, salt=salt.hex(), statement=data, identity=identity)
        self.outbox.keep(data)

    def state_all(self, job: Job) -> int:
        """The same for every finished item that the ledger does not have; how many there are."""
        waiting = [item for item in job.items(WRITTEN, LOCKED) if item.sent_ms is None]
        for item in waiting:
            self.state(job, item)
        return len(waiting)

    def send(self, job: Job, client: LedgerClient, now_ms: Callable[[], int]) -> list[Delivery]:
        """Post what waits, and note in the job what the ledger has."""
        deliveries = client.deliver(self.outbox)
        note_sent(job, deliveries, now_ms)
        return deliveries


def note_sent(job: Job, deliveries: Iterable[Delivery], now_ms: Callable[[], int]) -> None:
    """Note in the job what the ledger has. A crash before it sends those again at the next run: the same entries."""
    job.sent([delivery.posted.identity.hex() for delivery in deliveries if delivery.posted is not None], now_ms())
