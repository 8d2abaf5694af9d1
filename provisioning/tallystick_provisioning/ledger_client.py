"""Post statements to the ledger's one door, `POST /entries`. Foreign errors are translated here only."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tallystick_proof import statement
from tallystick_proof.enrolment import ALREADY_ENROLLED
from tallystick_proof.errors import StatementError
from tallystick_provisioning import address
from tallystick_provisioning.errors import LedgerRefused, LedgerUnreachable
from tallystick_provisioning.outbox import Outbox

TIMEOUT_S = 10.0  # connect, write and read each; an installer stands beside it
MAX_DETAIL_CHARACTERS = 300  # of a foreign error text in our message


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
        headers = {"content-type": "application/cose"}
        try:
            with httpx.Client(transport=self._transport, timeout=TIMEOUT_S) as client:
                response = client.post(f"{self.url}/entries", content=data, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LedgerUnreachable(address.no_answer(self.url, error)) from None
        if response.status_code == httpx.codes.CREATED:
            return _posted(self.url, identity, response)
        if response.is_client_error:
            raise LedgerRefused(f"{self.url} says {response.status_code}: {_detail(response)}", response.status_code)
        raise LedgerUnreachable(f"{self.url} says {response.status_code}: {_detail(response)}")

    def deliver(self, outbox: Outbox) -> list[Delivery]:
        """Post everything that waits, oldest first; stops trying when the ledger is away."""
        return list(self.deliver_each(outbox))

    def deliver_each(self, outbox: Outbox) -> Iterator[Delivery]:
        """The same, each posted when it is asked for."""
        away: str | None = None
        for path in outbox.waiting():
            delivery = self._deliver(outbox, path) if away is None else Delivery(path, None, waits=away)
            away = delivery.waits
            yield delivery

    def _deliver(self, outbox: Outbox, path: Path) -> Delivery:
        try:
            posted = self.post(path.read_bytes())
        except (LedgerRefused, StatementError) as error:
            outbox.refused(path)
            return Delivery(path, None, refused=str(error))
        except LedgerUnreachable as error:
            return Delivery(path, None, waits=str(error))
        # A crash before this line posts the statement again: the same statement, the same entry.
        outbox.delivered(path)
        return Delivery(path, posted)


def _posted(url: str, identity: bytes, response: httpx.Response) -> Posted:
    try:
        answer = response.json()
        index = answer["index"]
        if answer["identity"] != identity.hex() or not (index is None or isinstance(index, int)):
            raise ValueError(answer)
    except (ValueError, KeyError, TypeError):
        raise LedgerUnreachable(f"{url}: the answer is not that of a ledger") from None
    return Posted(identity, index)


def _detail(response: httpx.Response) -> str:
    """The reason in a problem+json answer, or the start of its text."""
    try:
        problem = response.json()
        text = str(problem.get("detail") or problem.get("title") or problem)
    except (ValueError, AttributeError):
        text = response.text
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:MAX_DETAIL_CHARACTERS] or "no reason given"
