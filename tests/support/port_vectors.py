"""Runs in MicroPython: signs derived messages, FIRST to LAST, and prints public key and signature of each.

Seed and message number N come from SHA-512, so that the host derives the same. MicroPython subset.
"""

import sys

from tallystick_node import ed25519, sha512_viper

MAX_MESSAGE_BYTES = 290  # every padding of one, two and three blocks


def derived(label: str, number: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += sha512_viper.digest(f"{label} {number} {len(data)}".encode())  # type: ignore[no-untyped-call]
    return bytes(data[:length])


if __name__ == "__main__":
    if ed25519.slow_because is not None:
        raise SystemExit(ed25519.slow_because)
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        key = ed25519.SigningKey(derived("seed", number, 32))
        signature = key.sign(derived("message", number, number % MAX_MESSAGE_BYTES))
        print(key.public_key.hex(), signature.hex())
