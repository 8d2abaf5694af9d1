"""Runs in MicroPython on this computer: signs COUNT messages of 120 bytes with one key and prints the last signature.

    unix_sign.py fast|pure COUNT

MicroPython subset.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.ed25519_pure import SigningKey

SEED, MESSAGE = bytes(range(32)), bytes(120)


def signer(which: str) -> "type[SigningKey]":
    if which == "fast":
        from tallystick_node import ed25519_viper

        return ed25519_viper.SigningKey  # type: ignore[return-value]
    from tallystick_node import ed25519_pure

    return ed25519_pure.SigningKey


def main(which: str, count: int) -> None:
    key, signature = signer(which)(SEED), b""
    for _ in range(count):
        signature = key.sign(MESSAGE)
    print(signature.hex())


main(sys.argv[1], int(sys.argv[2]))
