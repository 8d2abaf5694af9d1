"""Runs in MicroPython on the counting port, in a small heap: what the signer takes of it, and whether it signs there.

Prints bytes of heap after import, bytes made by a signature, and the signature. MicroPython subset.
"""

import gc


def used() -> int:
    gc.collect()
    return int(gc.mem_alloc())  # type: ignore[attr-defined]


before = used()
from tallystick_node import ed25519  # noqa: E402

after_import = used() - before
key = ed25519.SigningKey(bytes(32))
ready = used()
signature = key.sign(bytes(120))
made = gc.mem_alloc() - ready  # type: ignore[attr-defined]
print(after_import, made, signature.hex())
