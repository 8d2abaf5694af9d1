"""Sync: how a gateway's log reaches the ledger. Request, answer, and the ledger's pure check of a batch.

The ledger is the gateway's witness: it extends that gateway's tree itself and compares the root. Order of the checks:
the signature first, then sizes, then the entries' hashes, so that a stranger cannot make the ledger work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tallystick_proof import checkpoint, keys, merkle, note
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.entry import MAX_ENTRY_BYTES
from tallystick_proof.errors import CheckpointConflict, CheckpointError, NoteError, SizeMismatch, SyncError
from tallystick_proof.merkle import Frontier
from tallystick_proof.statement import MAX_STATEMENT_BYTES
from tallystick_wire import cbor
from tallystick_wire.errors import CborError

MAX_BATCH_ENTRIES = 4096  # about a minute at full rate, and one transaction of the ledger
MAX_BATCH_BYTES = 4 * 1024 * 1024  # of entries: bounds the memory of one request
MAX_GATEWAY_NOTE_BYTES = 1024  # an origin of 218 characters twice, a size, a root and one signature line
# The body: entries with their 5-byte heads, the note, and a few heads beside them.
MAX_SYNC_BYTES = MAX_BATCH_BYTES + 5 * MAX_BATCH_ENTRIES + MAX_GATEWAY_NOTE_BYTES + 64
MAX_DOWNLINK_STATEMENTS = 64  # in one answer; the gateway's cursor fetches the rest
MAX_ANSWER_BYTES = MAX_DOWNLINK_STATEMENTS * (MAX_STATEMENT_BYTES + 5) + note.MAX_NOTE_BYTES + 64


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """The entries between two checkpoints of one epoch, and the second checkpoint's note (one signature line)."""

    old_size: int
    entries: list[bytes]
    checkpoint: bytes

    def encode(self) -> bytes:
        """The body to send; SyncError when a limit is passed."""
        _check_request(self)
        return cbor.encode([self.old_size, self.entries, self.checkpoint])

    @classmethod
    def decode(cls, data: bytes) -> "SyncRequest":
        """The request in a (decompressed) body."""
        old_size, entries, head = _array(data, 3, MAX_SYNC_BYTES, "request")
        request = cls(old_size, entries, head)
        _check_request(request)
        return request


@dataclass(frozen=True, slots=True)
class SyncAnswer:
    """What the ledger holds durably of this epoch; the index and note of that checkpoint once they exist.

    `witnessed_size`: up to which size of this epoch a published checkpoint covers it. `downlink`: statements after
    the gateway's cursor.
    """

    known_size: int
    ledger_index: int | None
    ledger_note: bytes | None
    witnessed_size: int
    downlink: list[bytes]

    def encode(self) -> bytes:
        """The body to send."""
        _check_answer(self)
        return cbor.encode(
            [self.known_size, self.ledger_index, self.ledger_note, self.witnessed_size, self.downlink]
        )

    @classmethod
    def decode(cls, data: bytes) -> "SyncAnswer":
        """The answer in a body."""
        answer = cls(*_array(data, 5, MAX_ANSWER_BYTES, "answer"))
        _check_answer(answer)
        return answer


@dataclass(frozen=True, slots=True)
class Head:
    """A gateway's signed checkpoint: its note as sent, its content, its epoch."""

    note: bytes
    checkpoint: Checkpoint
    epoch: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that fits. `repeated`: the ledger holds it already, and the same answer is due."""

    head: Head
    leaf_hashes: list[bytes]
    frontier: Frontier
    repeated: bool


def check_head(note_bytes: bytes, gateway_key: bytes, ledger_origin: str) -> Head:
    """The signed checkpoint of this gateway; SyncError unless it has exactly one line, and that is the gateway's."""
    if len(note_bytes) > MAX_GATEWAY_NOTE_BYTES:
        raise SyncError(f"a gateway's checkpoint is at most {MAX_GATEWAY_NOTE_BYTES} bytes")
    try:
        parsed = note.parse(note_bytes)
        head = checkpoint.parse(parsed.text)
        origin, thumbprint, epoch = checkpoint.parse_gateway_origin(head.origin)
        vkey = note.VerifierKey(head.origin, note.TYPE_ED25519, gateway_key)
    except (NoteError, CheckpointError) as error:
        raise SyncError(f"checkpoint: {error}") from None
    if origin != ledger_origin or thumbprint != keys.thumbprint(gateway_key):
        raise SyncError("checkpoint: the origin is not that of this gateway in this ledger")
    if head.extensions:
        raise SyncError("checkpoint: a gateway writes no extension lines")
    if len(parsed.lines) != 1 or not note.verify_line(parsed.text, parsed.lines[0], vkey):
        raise SyncError("checkpoint: it must have exactly one signature, the gateway's")
    return Head(note_bytes, head, epoch)


def check_batch(
    request: SyncRequest, head: Head, frontier: Frontier, known_root: Callable[[int], bytes | None]
) -> Batch:
    """Whether the batch extends the ledger's copy of this epoch. `head` comes from check_head.

    frontier: the ledger's copy (empty for a new epoch); it is not changed. known_root(size): the root that the ledger
    holds for that size of the epoch, or None. Raises CheckpointConflict: freeze the epoch; SizeMismatch: answer 409
    with its known_size; any other SyncError: answer 400 and keep nothing.
    """
    size, root = head.checkpoint.size, head.checkpoint.root
    if not request.entries or size != request.old_size + len(request.entries):
        raise SyncError("the checkpoint's size must be the old size and the number of entries, one or more")
    known = known_root(size)
    if known is not None and known != root:
        raise CheckpointConflict(f"two signed checkpoints of size {size}")
    leaf_hashes = [merkle.leaf_hash(entry) for entry in request.entries]
    if known is not None:
        return Batch(head, leaf_hashes, frontier.copy(), True)
    if request.old_size != frontier.size:
        raise SizeMismatch(frontier.size)
    grown = frontier.copy()
    for leaf_hash in leaf_hashes:
        grown.append(leaf_hash)
    if grown.root() != root:
        raise SyncError("the root over these entries is not the checkpoint's")
    return Batch(head, leaf_hashes, grown, False)


def _check_request(request: SyncRequest) -> None:
    _check_size("old size", request.old_size)
    if not isinstance(request.entries, list) or len(request.entries) > MAX_BATCH_ENTRIES:
        raise SyncError(f"entries are an array of at most {MAX_BATCH_ENTRIES}")
    if not all(isinstance(entry, bytes) and 0 < len(entry) <= MAX_ENTRY_BYTES for entry in request.entries):
        raise SyncError(f"an entry is 1 to {MAX_ENTRY_BYTES} bytes")
    if sum(map(len, request.entries)) > MAX_BATCH_BYTES:
        raise SyncError(f"the entries are together at most {MAX_BATCH_BYTES} bytes")
    if not isinstance(request.checkpoint, bytes) or len(request.checkpoint) > MAX_GATEWAY_NOTE_BYTES:
        raise SyncError(f"checkpoint must be at most {MAX_GATEWAY_NOTE_BYTES} bytes")


def _check_answer(answer: SyncAnswer) -> None:
    _check_size("known size", answer.known_size)
    if answer.ledger_index is not None:
        _check_size("ledger index", answer.ledger_index)
    head = b"" if answer.ledger_note is None else answer.ledger_note
    if not isinstance(head, bytes) or len(head) > note.MAX_NOTE_BYTES:
        raise SyncError(f"ledger note must be at most {note.MAX_NOTE_BYTES} bytes, or null")
    _check_size("witnessed size", answer.witnessed_size)
    if not isinstance(answer.downlink, list) or len(answer.downlink) > MAX_DOWNLINK_STATEMENTS:
        raise SyncError(f"downlink is an array of at most {MAX_DOWNLINK_STATEMENTS}")
    if not all(isinstance(item, bytes) and 0 < len(item) <= MAX_STATEMENT_BYTES for item in answer.downlink):
        raise SyncError(f"a downlink statement is 1 to {MAX_STATEMENT_BYTES} bytes")


def _check_size(field: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= merkle.MAX_TREE_SIZE:
        raise SyncError(f"{field} must be an integer from 0 to {merkle.MAX_TREE_SIZE}")


def _array(data: bytes, count: int, most: int, what: str) -> list[Any]:
    if len(data) > most:
        raise SyncError(f"a sync {what} is at most {most} bytes")
    try:
        items = cbor.decode(data)
    except CborError as error:
        raise SyncError(f"sync {what}: {error}") from None
    if not isinstance(items, list) or len(items) != count:
        raise SyncError(f"a sync {what} is an array of {count}")
    return items
