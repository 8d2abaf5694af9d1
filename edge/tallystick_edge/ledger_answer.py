"""What an HTTP answer to a sync means. Pure."""

import random
from dataclasses import dataclass

from tallystick_proof.errors import ProofError
from tallystick_proof.sync import SyncAnswer
from tallystick_wire.errors import WireError

MAX_WAIT_S = 300.0  # what a ledger may ask us to wait
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 60.0  # a ledger that is back is noticed within a minute
MAX_DETAIL_CHARACTERS = 200  # of a foreign error text in our log


@dataclass(frozen=True, slots=True)
class Accepted:
    """Durable at the ledger."""

    answer: SyncAnswer


@dataclass(frozen=True, slots=True)
class KnownSize:
    """409: the ledger's tree of this epoch has another size."""

    size: int


@dataclass(frozen=True, slots=True)
class OtherHistory:
    """410: the epoch is frozen; 422: over the ledger's entries ours do not give the root that we signed."""

    frozen: bool
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The ledger does not take this gateway: not enrolled yet, wrong token or address. A person may have to look."""

    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """No answer, or "later"; `wait_s` when the ledger named a time."""

    why: str
    wait_s: float | None = None


Outcome = Accepted | KnownSize | OtherHistory | Refused | Later


def read(status: int, body: bytes, retry_after: str | None = None) -> Outcome:
    """The meaning of one answer. An answer that makes no sense is `Later`: nothing is concluded from it."""
    detail = _printable(body)
    if status == 200:
        try:
            return Accepted(SyncAnswer.decode(body))
        except (ProofError, WireError) as error:
            return Later(f"an answer that is none: {error}")
    if status == 409:
        text = body.decode("ascii", "replace").strip()
        if text.isascii() and text.isdecimal() and len(text) <= 19:
            return KnownSize(int(text))
        return Later(f"409 without a known size: {detail}")
    if status == 410:
        return OtherHistory(True, detail)
    if status == 422:
        return OtherHistory(False, detail)
    if status in (400, 401, 403, 404, 413, 415):
        return Refused(f"{status}: {detail}")
    wait_s = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdecimal() else None
    return Later(f"{status}: {detail}", None if wait_s is None else min(wait_s, MAX_WAIT_S))


def backoff_s(failures: int, jitter: random.Random) -> float:
    """How long to wait after so many failures in a row: doubling, and spread, so that gateways do not come at once."""
    longest = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 16))
    return jitter.uniform(longest / 2, longest)


def _printable(body: bytes) -> str:
    text = body[: 4 * MAX_DETAIL_CHARACTERS].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else " " for character in text)[:MAX_DETAIL_CHARACTERS]
