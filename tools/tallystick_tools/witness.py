"""A C2SP witness (tlog-witness): cosigns a log's checkpoint only when it grew from the one it cosigned before.

    1 decide     `consider`, a pure function of the remembered state and the request
    2 remember   the new state: temporary file, fsync, rename, fsync of the folder
    3 cosign     only what is remembered

A crash before 2 is done: nothing was signed. After it: the log asks again from the size it believed in, is told the
remembered one by a 409, and gets its cosignature then. In no order of events are two trees of one log cosigned that do
not extend each other, because the state never goes back: without its state file a witness does not start.
"""

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick_proof import checkpoint, merkle, note
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.errors import CheckpointError, MerkleError, NoteError
from tallystick_proof.keys import Signer
from tallystick_proof.merkle import HASH_BYTES, MAX_TREE_SIZE
from tallystick_proof.note import VerifierKey
from tallystick_tools.errors import WitnessError

MAX_PROOF_LINES = 63  # C2SP tlog-witness
# The old size, 63 lines of base64, and a note.
MAX_REQUEST_BYTES = 32 + MAX_PROOF_LINES * 45 + note.MAX_NOTE_BYTES
MAX_LOGS = 64  # a witness of one site; its state file is rewritten with every cosignature
MAX_STATE_BYTES = MAX_LOGS * 1024

PLAIN, TREE_SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest tree of a log that was cosigned."""

    size: int
    root: bytes


NOTHING = Seen(0, merkle.EMPTY_ROOT)
State = dict[str, Seen]  # origin -> newest tree


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed add-checkpoint body; nothing in it is verified."""

    old_size: int
    proof: list[bytes]
    note: note.Note
    head: Checkpoint


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `cosign`: what must be remembered, then signed, for the body."""

    status: int
    body: bytes = b""
    media_type: str = PLAIN
    cosign: Request | None = None


def parse(body: bytes) -> Request:
    """The request in a body; a ProofError when it has another form."""
    if len(body) > MAX_REQUEST_BYTES:
        raise NoteError(f"a request is at most {MAX_REQUEST_BYTES} bytes")
    top, blank, signed = body.partition(b"\n\n")
    if not blank or not top.isascii():
        raise NoteError("a request is lines, an empty line and a checkpoint")
    first, *lines = top.decode().split("\n")
    if not first.startswith("old ") or len(lines) > MAX_PROOF_LINES:
        raise NoteError(f"a request begins with old N and has at most {MAX_PROOF_LINES} proof lines")
    proof = [note.decode_base64(line) for line in lines]
    if any(len(item) != HASH_BYTES for item in proof):
        raise NoteError(f"a proof line is {HASH_BYTES} bytes")
    parsed = note.parse(signed)
    return Request(
        checkpoint.decimal("old size", first.removeprefix("old "), MAX_TREE_SIZE),
        proof,
        parsed,
        checkpoint.parse(parsed.text),
    )


def consider(state: Mapping[str, Seen], logs: Mapping[str, list[VerifierKey]], body: bytes) -> Answer:
    """What to answer; pure. The order of the checks is that of the protocol."""
    try:
        request = parse(body)
    except (NoteError, CheckpointError) as error:
        return Answer(400, f"{error}\n".encode())
    vkeys = logs.get(request.head.origin)
    if vkeys is None:
        return Answer(404, b"unknown log\n")
    text = request.note.text
    if not any(note.verify_line(text, line, vkey) for line in request.note.lines for vkey in vkeys):
        return Answer(403, b"no signature of this log\n")
    if request.old_size > request.head.size:
        return Answer(400, b"the old size is above the checkpoint's\n")
    seen = state.get(request.head.origin, NOTHING)
    if request.old_size != seen.size or (request.head.size == seen.size and request.head.root != seen.root):
        return Answer(409, f"{seen.size}\n".encode(), TREE_SIZE)
    if not _consistent(seen, request):
        return Answer(422, b"the consistency proof does not hold\n")
    return Answer(200, cosign=request)


def _consistent(seen: Seen, request: Request) -> bool:
    head = request.head
    if seen.size == 0:
        return not request.proof and (head.size > 0 or head.root == merkle.EMPTY_ROOT)
    try:
        merkle.verify_consistency(seen.size, head.size, seen.root, head.root, request.proof)
    except MerkleError:
        return False
    return True


class Witness:
    """One witness. Requests take turns, so that deciding and remembering are one step."""

    def __init__(
        self, signer: Signer, name: str, logs: Mapping[str, list[VerifierKey]], state: Path, now_s: Callable[[], int]
    ) -> None:
        self._signer = signer
        self._name = name
        self._logs = logs
        self._path = state
        self._now_s = now_s
        self._lock = threading.Lock()
        self._state = load_state(state)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Decide, remember, cosign."""
        with self._lock:
            answer = consider(self._state, self._logs, body)
            if answer.cosign is None:
                return answer
            head, text = answer.cosign.head, answer.cosign.note.text
            seen = Seen(head.size, head.root)
            if self._state.get(head.origin) != seen:
                state = self._state | {head.origin: seen}
                save_state(self._path, state)
                self._state = state
            line = checkpoint.cosign(self._signer, self._name, text, self._now_s())
            return Answer(200, line.text.encode())


def load_state(path: Path) -> State:
    """What was remembered; WitnessError when the file is missing or broken: starting anew could sign a fork."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_STATE_BYTES:
            raise ValueError(f"more than {MAX_STATE_BYTES} bytes")
        table = json.loads(data)
        return {str(origin): _seen(item) for origin, item in table.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WitnessError(f"{path}: {reason}; without its state a witness must not start") from None


def save_state(path: Path, state: State) -> None:
    """Durable when this returns; the old state or the new one after a crash, never a mixture."""
    table = {origin: {"size": seen.size, "root": seen.root.hex()} for origin, seen in state.items()}
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(json.dumps(table, indent=1).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seen(item: object) -> Seen:
    if not isinstance(item, dict) or set(item) != {"size", "root"}:
        raise ValueError("an entry is {size, root}")
    size, root = item["size"], bytes.fromhex(item["root"])
    if not isinstance(size, int) or not 0 <= size <= MAX_TREE_SIZE or len(root) != HASH_BYTES:
        raise ValueError("a size or a root is out of range")
    return Seen(size, root)
