"""Checkpoints: the head of a tree as the text of a signed note (C2SP tlog-checkpoint, tlog-cosignature)."""

import hashlib
from dataclasses import dataclass

from tallystick_proof import keys, note
from tallystick_proof.errors import CheckpointError, NoteError
from tallystick_proof.merkle import HASH_BYTES, MAX_TREE_SIZE

MAX_LEDGER_ORIGIN_CHARACTERS = 128  # what a node keeps and compares; a gateway's origin adds 90 characters to it
MAX_EPOCH = 2**32 - 1  # a gateway opens an epoch after a lost card, not every day
MAX_EXTENSION_LINES = 4  # one is planned (`state <root>`); witnesses say nothing about them
ANCHOR_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`origin`'s tree had `size` leaves and this root. Checked when made, so `text` is always canonical."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_origin(self.origin)
        if not 0 <= self.size <= MAX_TREE_SIZE:
            raise CheckpointError(f"size must be from 0 to {MAX_TREE_SIZE}")
        if len(self.root) != HASH_BYTES:
            raise CheckpointError(f"root must be {HASH_BYTES} bytes")
        if len(self.extensions) > MAX_EXTENSION_LINES:
            raise CheckpointError(f"at most {MAX_EXTENSION_LINES} extension lines")
        if not all(line and note.is_plain(line) and len(line) <= note.MAX_NAME_CHARACTERS for line in self.extensions):
            raise CheckpointError(f"an extension line has 1 to {note.MAX_NAME_CHARACTERS} plain characters")

    @property
    def text(self) -> str:
        """The note text, up to and including the newline before the blank line."""
        lines = (self.origin, str(self.size), note.encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Checkpoint:
    """The checkpoint whose text is exactly this; CheckpointError otherwise."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:
        raise CheckpointError("a checkpoint is an origin, a size and a root, each with a newline")
    origin, digits, root, *extensions = lines[:-1]
    size = decimal("size", digits, MAX_TREE_SIZE)
    try:
        return Checkpoint(origin, size, note.decode_base64(root), tuple(extensions))
    except NoteError as error:
        raise CheckpointError(f"root: {error}") from None


def anchor_hash(text: str) -> bytes:
    """What a node signs of a ledger checkpoint: 16 bytes, no signatures in it."""
    return hashlib.sha256(text.encode()).digest()[:ANCHOR_HASH_BYTES]


def cosign(signer: keys.Signer, name: str, text: str, time_s: int) -> note.SignatureLine:
    """A witness's line under a checkpoint text; the caller has checked that it is consistent."""
    parse(text)
    return note.sign_cosignature(signer, name, text, time_s)


def cosignature_time(line: note.SignatureLine) -> int:
    """When the witness says that it signed, in seconds; NoteError when the line is no cosignature."""
    return note.cosignature_time_s(line)


def gateway_origin(ledger_origin: str, thumbprint: bytes, epoch: int) -> str:
    """The origin of one epoch of one gateway's tree."""
    check_ledger_origin(ledger_origin)
    if len(thumbprint) != keys.THUMBPRINT_BYTES:
        raise CheckpointError(f"a thumbprint is {keys.THUMBPRINT_BYTES} bytes")
    if not 1 <= epoch <= MAX_EPOCH:
        raise CheckpointError(f"epoch must be from 1 to {MAX_EPOCH}")
    return f"{ledger_origin}/gateway/{thumbprint.hex()}/{epoch}"


def parse_gateway_origin(origin: str) -> tuple[str, bytes, int]:
    """(ledger origin, thumbprint, epoch); CheckpointError when it is no gateway's origin."""
    match = note.GATEWAY_ORIGIN.fullmatch(origin)
    if not match:
        raise CheckpointError("not of the form <ledger origin>/gateway/<thumbprint>/<epoch>")
    epoch = decimal("epoch", match["epoch"], MAX_EPOCH)
    check_ledger_origin(match["ledger"])
    return match["ledger"], bytes.fromhex(match["thumbprint"]), epoch


def check_ledger_origin(origin: str) -> None:
    """A ledger's origin has no scheme, is short, and cannot be taken for a gateway's."""
    _check_origin(origin)
    if len(origin) > MAX_LEDGER_ORIGIN_CHARACTERS:
        raise CheckpointError(f"a ledger origin has at most {MAX_LEDGER_ORIGIN_CHARACTERS} characters")
    if "/gateway/" in origin or "://" in origin:
        raise CheckpointError("a ledger origin has no scheme and does not contain /gateway/")


def _check_origin(origin: str) -> None:
    try:
        note.check_name(origin)
    except NoteError as error:
        raise CheckpointError(f"origin: {error}") from None


def decimal(field: str, digits: str, highest: int) -> int:
    """An ASCII decimal without leading zeros; the length is checked before the conversion."""
    if not digits.isascii() or not digits.isdecimal() or len(digits) > len(str(highest)):
        raise CheckpointError(f"{field} must be a decimal number of at most {highest}")
    value = int(digits)
    if str(value) != digits or value > highest:
        raise CheckpointError(f"{field} must be a decimal number of at most {highest}, without leading zeros")
    return value
