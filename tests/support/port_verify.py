"""Runs on the test port: what one verification costs. Prints verdicts, instructions, and the heap that stays taken."""
# mypy: disable-error-code="attr-defined"

import gc

import port
from tallystick_node import ed25519

key = ed25519.SigningKey(bytes(32))
message = bytes(300)  # the bytes of a configuration that are signed
signature = key.sign(message)
forged = signature[:40] + bytes([signature[40] ^ 1]) + signature[41:]
gc.collect()
before = gc.mem_alloc()
from tallystick_node import ed25519_verify  # noqa: E402

verdicts = [ed25519_verify.verify(key.public_key, message, one) for one in (signature, forged)]
instructions = port.count(lambda: ed25519_verify.verify(key.public_key, message, signature))
gc.collect()
print("".join(str(int(verdict)) for verdict in verdicts), instructions, gc.mem_alloc() - before)
