"""Post statements to the ledger's one door, `POST /entries`. Foreign errors are translated here only."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tallystick_proof import statement
from tallystick_proof.enrolment import ALREADY_ENROLLED
from tallystick_proof.errors import StatementError
from tallystick_provisioning import address, bounded_request
from tallystick_provisioning.bounded_request import Answer
from tallystick_provisioning.errors import LedgerRefused, LedgerUnreachable, RequestError
from tallystick_provisioning.outbox import Outbox

MAX_DETAIL_CHARACTERS = 300  # of a foreign error text in our message
# Not about what was sent: a login in between, another address, a proxy, too slow, too early, too often.
_NOT_NOW = {401, 404, 407, 408, 425, 429}


@dataclass(frozen=True, slots=True)
class Posted:
    """The ledger holds the statement durably; index is None until the sequencer gave it one."""

    identity: bytes
    index: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one statement: posted, refused (why), or neither: it waits (why)."""

    path: Path
    posted: Posted | None
    refused: str | None = None
    waits: str | None = None

    @property
    def was_enrolled(self) -> bool:
        """Refused, because the ledger has another enrolment of this key: the one that it has stands."""
        return self.refused is not None and ALREADY_ENROLLED in self.refused


class LedgerClient:
    """A ledger's statement door. AddressError for what is no address; `transport` replaces the network."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = address.check(url)
        self._transport = transport

    def post(self, data: bytes) -> Posted:
        """Submit one statement; LedgerRefused or LedgerUnreachable otherwise."""
        identity = statement.parse(data).identity
        try:
            answer = bounded_request.post(self.url, "/entries", data, "application/cose", self._transport)
        except RequestError as error:
            raise LedgerUnreachable(str(error)) from None
        if answer.status == httpx.codes.CREATED:
            return _posted(self.url, identity, answer)
        if _is_refusal(answer):
            raise LedgerRefused(f"{self.url} says {answer.status}: {_detail(answer)}", answer.status)
        raise LedgerUnreachable(f"{self.url} says {answer.status}: {_detail(answer)}")

    def deliver(self, outbox: Outbox) -> list[Delivery]:
        """Post everything that waits, oldest first; stops trying when the ledger is away."""
        return list(self.deliver_each(outbox))

    def deliver_each(self, outbox: Outbox) -> Iterator[Delivery]:
        """The same, each posted when it is asked for."""
        away: str | None = None
        for path in outbox.waiting():
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # another program delivered it just now
                continue
            delivery = self._deliver(outbox, path, data) if away is None else Delivery(path, None, waits=away)
            away = delivery.waits
            yield delivery

    def _deliver(self, outbox: Outbox, path: Path, data: bytes) -> Delivery:
        try:
            posted = self.post(data)
        except (LedgerRefused, StatementError) as error:
            outbox.refused(path)
            return Delivery(path, None, refused=str(error))
        except LedgerUnreachable as error:
            return Delivery(path, None, waits=str(error))
        # A crash before this line posts the statement again: the same statement, the same entry.
        outbox.delivered(path)
        return Delivery(path, posted)


def _posted(url: str, identity: bytes, answer: Answer) -> Posted:
    found = answer.as_object() or {}
    index = found.get("index", "none")
    if found.get("identity") != identity.hex() or not (index is None or isinstance(index, int)):
        raise LedgerUnreachable(f"{url}: the answer is not that of a ledger")
    return Posted(identity, index)


def _is_refusal(answer: Answer) -> bool:
    """Whether a ledger said no to what was sent. It gives its reason as JSON; the login page of a network does not."""
    is_no = httpx.codes.is_client_error(answer.status) and answer.status not in _NOT_NOW
    return is_no and answer.as_object() is not None


def _detail(answer: Answer) -> str:
    """The reason in a problem+json answer, or the start of its text."""
    problem = answer.as_object()
    text = answer.text if problem is None else str(problem.get("detail") or problem.get("title") or problem)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:MAX_DETAIL_CHARACTERS] or "no reason given"
