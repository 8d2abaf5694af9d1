"""Runs in MicroPython on the counting port: instructions of signing and of its parts, for random inputs of one length.

A line for each part: its name, then a count for each input. Nothing is thrown away in between: looking for free memory
would cost more or less. MicroPython subset.
"""
# mypy: disable-error-code="no-untyped-call"

import sys

from port_vectors import derived

import port
from tallystick_node import ed25519_viper, sha512_viper, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], object]

MESSAGE_BYTES = 120
ELEMENTS_BYTES = 14 * 40


def count(name: str, prepare: "Callable[[int], Call]", inputs: int) -> None:
    """prepare(number) makes a call that takes no arguments."""
    prepare(0)()  # the first call also fills caches
    print(name, *[port.count(prepare(number)) for number in range(inputs)])  # type: ignore[attr-defined]


def sign(number: int) -> "Call":
    key = ed25519_viper.SigningKey(derived("seed", number, 32))
    message = derived("message", number, MESSAGE_BYTES)
    return lambda: key.sign(message)


def elements(number: int) -> bytearray:
    """14 elements with random limbs of 13 bits."""
    data = bytearray(derived("elements", number, ELEMENTS_BYTES))
    for k in range(1, ELEMENTS_BYTES, 2):
        data[k] = (data[k] & 31) + 112
    return data


def machine(program: bytes) -> "Callable[[int], Call]":
    run = ed25519_viper._run

    def prepare(number: int) -> "Call":
        slots = elements(number)
        return lambda: run(0, 0, program, slots)

    return prepare


def select(number: int) -> "Call":
    chosen, digits, out = ed25519_viper._select, derived("digits", number, 33), bytearray(240)
    column = number % 32
    return lambda: chosen(0, tables.COMB, digits, out, column)


def pack(number: int) -> "Call":
    packed, slots, out = ed25519_viper._pack, elements(number), bytearray(32)
    return lambda: packed(0, slots, slots, out)


def multiply(number: int) -> "Call":
    multiplied, out = ed25519_viper._multiply_add, bytearray(64)
    a, b = derived("a", number, 32), derived("b", number, 32)
    return lambda: multiplied(0, 0, a, b, out)


def reduce(number: int) -> "Call":
    reduced, room, wide, out = ed25519_viper._reduce, bytearray(128), derived("wide", number, 64), bytearray(32)
    return lambda: reduced(0, room, tables.ORDER, wide, out)


def schedule(number: int) -> "Call":
    scheduled, block, words = sha512_viper._schedule, derived("block", number, 128), bytearray(640)
    return lambda: scheduled(0, 0, block, 0, words)


def compress(number: int) -> "Call":
    compressed = sha512_viper._compress
    state, words = bytearray(derived("state", number, 64)), bytearray(derived("words", number, 640))
    return lambda: compressed(0, 0, state, words, tables.SHA512_ROUNDS)


def main(inputs: int) -> None:
    count("sign", sign, inputs)
    count("step", machine(tables.STEP), inputs)
    count("finish", machine(tables.FINISH), inputs)
    count("select", select, inputs)
    count("pack", pack, inputs)
    count("multiply", multiply, inputs)
    count("reduce", reduce, inputs)
    count("schedule", schedule, inputs)
    count("compress", compress, inputs)


main(int(sys.argv[1]))
