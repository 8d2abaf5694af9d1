"""The verdict on one payload from a link. Pure: bytes and knowledge in, a verdict out; nothing is changed here.

Admission is not validity: whatever an enrolled key signed is kept, and the ledger judges it. What nobody vouches for is
refused and counted, but for a bounded number of readings of unknown kids, which may be enrolled later.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tallystick_edge.known import MAX_FORKS_PER_NODE, Known
from tallystick_proof.keys import verify_signature
from tallystick_wire import message, senml
from tallystick_wire.errors import WireError
from tallystick_wire.reading import Reading, parse

NEW = "new"  # store, then acknowledge
FORK = "fork"  # same kid and seq, other identity: store both
DUPLICATE = "duplicate"  # stored already: acknowledge again
STORED_LONG_AGO = "stored-long-ago"  # a duplicate, found in the log: remember it, the node will send it again
ENROLLED_SINCE = "enrolled-since"  # stored while unknown, verified now: acknowledge
UNKNOWN = "unknown"  # store, never acknowledge before the kid is enrolled
UNKNOWN_AGAIN = "unknown-again"
OTHER_MESSAGE = "other-message"  # a node answers somebody; not for the gateway
# Refused: neither stored nor acknowledged.
MALFORMED = "malformed"
BAD_SIGNATURE = "bad-signature"
REVOKED = "revoked"
WRONG_NAME = "wrong-name"
UNKNOWN_FULL = "unknown-full"
RATE_LIMITED = "rate-limited"
FORKS_FULL = "forks-full"
FOREIGN_TOPIC = "foreign-topic"  # of another node than the one that the broker let in

STORES = frozenset({NEW, FORK, UNKNOWN})
ACKNOWLEDGES = frozenset({NEW, FORK, DUPLICATE, STORED_LONG_AGO, ENROLLED_SINCE})
VERIFIED = frozenset({NEW, FORK, ENROLLED_SINCE})
REFUSALS = frozenset(
    {MALFORMED, BAD_SIGNATURE, REVOKED, WRONG_NAME, UNKNOWN_FULL, RATE_LIMITED, FORKS_FULL, FOREIGN_TOPIC}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a payload. `reason` is one of the constants above and the name of a counter."""

    reason: str
    reading: Reading | None = None

    @property
    def store(self) -> bytes | None:
        """The reading to log, with an empty unprotected map, or None."""
        return self.reading.data if self.reading is not None and self.reason in STORES else None

    @property
    def ack(self) -> bytes | None:
        """The kid to acknowledge once everything before it is durable, or None."""
        return self.reading.kid if self.reading is not None and self.reason in ACKNOWLEDGES else None


def judge(
    known: Known,
    payload: bytes,
    is_stored: Callable[[bytes], bool],
    may_spend: Callable[[bytes], bool],
    sender: bytes | None = None,
) -> Verdict:
    """The verdict on `payload`.

    `is_stored` asks the log for exact reading bytes; it is asked rarely. `may_spend` is asked once for each reading
    whether its kid (b"" for all that are not enrolled together) is within its rate. `sender` is the kid that the link
    vouches for, if it can: a node brings its own readings, and the answers go where it hears them.
    """
    try:
        arrived = parse(payload)
    except WireError:
        return Verdict(_judge_other(payload))
    if sender is not None and arrived.kid != sender:
        return Verdict(FOREIGN_TOPIC)
    key = known.node(arrived.kid)
    if not may_spend(b"" if key is None else arrived.kid):
        return Verdict(RATE_LIMITED, arrived)
    if key is None:
        return Verdict(_judge_unknown(known, arrived), arrived)
    if key.revoked_index is not None:
        return Verdict(REVOKED, arrived)
    return Verdict(_judge_enrolled(known, arrived, key.public_key, is_stored), arrived)


def _judge_other(payload: bytes) -> str:
    """What a payload is that is no reading; asked last, because nearly all are readings."""
    try:
        return MALFORMED if message.kind(payload) == "reading" else OTHER_MESSAGE
    except WireError:
        return MALFORMED


def _judge_unknown(known: Known, arrived: Reading) -> str:
    pending = known.pending.get((arrived.kid, arrived.chain.seq), ())
    if arrived.identity in known.unknown.get(arrived.kid, {}) or arrived.identity in pending:
        return UNKNOWN_AGAIN
    return UNKNOWN_FULL if known.unknown_is_full(arrived.kid) else UNKNOWN


def _judge_enrolled(
    known: Known, arrived: Reading, public_key: bytes, is_stored: Callable[[bytes], bool]
) -> str:
    state, seq, identity = known.state(arrived.kid), arrived.chain.seq, arrived.identity
    same_number = state.recent.get(seq, set()) | known.pending.get((arrived.kid, seq), set())
    if identity in same_number:
        return DUPLICATE  # the identity covers the signature, which was verified when it was stored
    if not verify_signature(public_key, arrived.sign1.to_be_signed, arrived.sign1.signature):
        return BAD_SIGNATURE
    if arrived.pack.base_name != senml.base_name(known.pen, arrived.kid):
        return WRONG_NAME
    if identity in known.unknown.get(arrived.kid, {}):
        return ENROLLED_SINCE
    if not same_number and not state.seen.has(seq):
        return NEW
    if not same_number and is_stored(arrived.data):
        return STORED_LONG_AGO
    return FORKS_FULL if state.forks >= MAX_FORKS_PER_NODE else FORK
