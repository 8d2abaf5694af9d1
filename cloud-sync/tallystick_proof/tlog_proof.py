"""C2SP tlog-proof: that an entry is in a log, as one text: index, path, checkpoint note. No extra line is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick_proof import checkpoint, merkle, note
from tallystick_proof.errors import CheckpointError, MerkleError, NoteError

MAX_TLOG_PROOF_BYTES = note.MAX_NOTE_BYTES + 4096  # a note, and 63 hash lines of 45 characters with a head

_HEAD = "c2sp.org/tlog-proof@v1\n"
_INDEX = "index "


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Leaf `index`, its path from the leaf upwards, and the checkpoint note, byte for byte. Nothing is verified."""

    index: int
    proof: list[bytes]
    note: bytes


def format(index: int, proof: Sequence[bytes], checkpoint_note: bytes) -> bytes:
    """The one text of a proof; MerkleError when no tree could have it."""
    if not 0 <= index < merkle.MAX_TREE_SIZE:
        raise MerkleError(f"an index is below {merkle.MAX_TREE_SIZE}")
    if len(proof) > merkle.MAX_PATH_HASHES:
        raise MerkleError(f"a path has at most {merkle.MAX_PATH_HASHES} hashes")
    if any(len(item) != merkle.HASH_BYTES for item in proof):
        raise MerkleError(f"a hash is {merkle.HASH_BYTES} bytes")
    lines = "".join(f"{note.encode_base64(item)}\n" for item in proof)
    return f"{_HEAD}{_INDEX}{index}\n{lines}\n".encode() + checkpoint_note


def parse(data: bytes) -> TlogProof:
    """The proof that is written as `data`; a ProofError otherwise. The note in it is canonical, its head is parsed."""
    if len(data) > MAX_TLOG_PROOF_BYTES:
        raise MerkleError(f"a tlog-proof is at most {MAX_TLOG_PROOF_BYTES} bytes")
    top, blank, checkpoint_note = data.partition(b"\n\n")
    if not blank or not top.isascii():
        raise MerkleError("a tlog-proof is ASCII lines, an empty line and a checkpoint")
    lines = top.decode().split("\n")
    if len(lines) < 2 or lines[0] + "\n" != _HEAD or not lines[1].startswith(_INDEX):
        raise MerkleError("a tlog-proof begins with its name and an index line")
    try:
        index = checkpoint.decimal("index", lines[1].removeprefix(_INDEX), merkle.MAX_TREE_SIZE)
        proof = [note.decode_base64(line) for line in lines[2:]]
        checkpoint.parse(note.parse(checkpoint_note).text)
    except (NoteError, CheckpointError) as error:
        raise MerkleError(f"tlog-proof: {error}") from None
    if format(index, proof, checkpoint_note) != data:
        raise MerkleError("a tlog-proof that is not canonical")
    return TlogProof(index, proof, checkpoint_note)
