"""What an installer says about a finished tag: this item is named by that chip. The UID itself stays private."""

import hashlib
from collections.abc import Callable

from tallystick_chips.tag_order import TYPE2_CHIPS
from tallystick_proof import keys, statement
from tallystick_tags.errors import JobError
from tallystick_tags.tag_job import JobHead, JobItem
from tallystick_wire import cbor, message

SALT_BYTES = 16
_COMMIT = b"tallystick/commit/v1\0"
_TYPE = "tag-uid"


def commitment(salt: bytes, uid: bytes) -> bytes:
    """The 32 bytes that stand for a UID in the public log: who has salt and UID can show that they belong to it."""
    return hashlib.sha256(_COMMIT + cbor.encode([salt, _TYPE, uid])).digest()


def build(
    installer: keys.Signer, origin: str, head: JobHead, written: JobItem, salt: bytes,
    random_bytes: Callable[[int], bytes],
) -> bytes:  # fmt: skip
    """The signed statement about a written item of a job."""
    if written.uid is None or written.written_ms is None:
        raise JobError(f"row {written.row} is {written.state}: only a written tag can be stated")
    body = {
        "aud": origin,
        "jti": random_bytes(message.JTI_BYTES),
        "exp": None,
        "item": written.item.path,
        "chip": written.chip,
        "copyable": written.chip in TYPE2_CHIPS,
        "uid": commitment(salt, written.uid),
        "epoch": None if written.chip in TYPE2_CHIPS else written.epoch,
        "key_set": head.key_set,
        "key_version": head.key_version,
        "since_ms": written.written_ms,
    }
    return statement.build(installer, keys.TAG, body)
