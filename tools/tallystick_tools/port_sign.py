"""Runs in MicroPython on the counting port: instructions of a signature over 120 bytes, for several keys and messages.

    port_sign.py fast|pure INPUTS

A line for `expand` (the key, once at boot) and one for `sign` (with a ready key), each with a count for every input.
Nothing is thrown away in between: looking for free memory would cost more or less. MicroPython subset.
"""

import hashlib
import sys

import port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.ed25519_pure import SigningKey

MESSAGE_BYTES = 120


def derived(label: str, number: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += hashlib.sha256(f"{label} {number} {len(data)}".encode()).digest()
    return data[:length]


def signer(which: str) -> "type[SigningKey]":
    if which == "fast":
        from tallystick_node import ed25519_viper

        return ed25519_viper.SigningKey  # type: ignore[return-value]
    from tallystick_node import ed25519_pure

    return ed25519_pure.SigningKey


def counted(chosen: "type[SigningKey]", number: int) -> "tuple[int, int]":
    """(instructions for the key, for a signature with it)"""
    seed, message = derived("seed", number, 32), derived("message", number, MESSAGE_BYTES)
    key = chosen(seed)
    expand = port.count(lambda: chosen(seed))  # type: ignore[attr-defined]
    return expand, port.count(lambda: key.sign(message))  # type: ignore[attr-defined]


def main(which: str, inputs: int) -> None:
    chosen = signer(which)
    counted(chosen, 0)  # the first call also fills caches
    counts = [counted(chosen, number) for number in range(inputs)]
    print("expand", *[expand for expand, _ in counts])
    print("sign", *[sign for _, sign in counts])


main(sys.argv[1], int(sys.argv[2]))
